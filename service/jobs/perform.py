"""One attempt at a job, in the compute process: from the arrays in the store to the result. Loads torch."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import torch

from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.refine import refine
from inphase.imaging.retrievals import Retrievals
from inphase.preprocess.pipeline import SIDE
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import Progress, retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import random
from service.document import JobDocument
from service.jobs import ptychography
from service.jobs.state import RecordedProgress
from service.jobs.task import Outcome, Task
from service.series.frame import Frame

_FOR_LEVELS: Final = 0.75  # of a job's time: the rest is for the model grid, and for writing what was reached


def perform(task: Task) -> Outcome:
    """One attempt at a job, for service.jobs.compute. Raises MemoryError where torch has no room either."""
    document = JobDocument.from_json(task.document)
    if document.ptychography is not None:
        with _memory_errors():
            return ptychography.perform(task, document, document.ptychography)
    report = document.reported
    clock = task.clock
    clock.ms |= report.timings_ms
    clock.add("queue", task.waited_s * 1e3)
    with clock("decode"):
        prepared = PreparedPattern.from_arrays(task.store.read(task.job_id, "input"), report)
    frame = None if report.series is None else Frame(task.store, report.series.id, document.id)

    def tell(progress: Progress) -> None:
        told = RecordedProgress(
            progress.iteration, progress.total, progress.chi2, progress.support_voxels, progress.stage
        )
        task.progress(told, progress.preview)

    retrievals = Retrievals(
        task.device, progress=tell, cancelled=task.cancelled, keep=task.checkpoint, resume=task.resume
    )
    numbers = itertools.count(1)

    def revise(done: Reconstruction) -> None:
        told = replace(document, report=done.report, attempt=task.attempt).to_json()
        task.revise(next(numbers), done.with_document(told.decode()))

    with _memory_errors():
        done = refine(
            prepared, report, clock, retrievals=retrievals, frame=frame, revised=revise,
            seconds=_FOR_LEVELS * task.time_limit_s,
        )  # fmt: skip
    ended = replace(document.succeeded(done.report), attempt=task.attempt).to_json()
    return Outcome(done.with_document(ended.decode()), ended)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """torch has an error of its own for a GPU without room, and a general one for the host."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise MemoryError(str(error).partition("\n")[0]) from error
        raise


def warm(device: str, threads: int | None = None) -> None:
    """Run every kind of step once on the usual grid, so that the first job does not wait for compilation.

    threads: of torch; None leaves its default.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    grid = (SIDE, SIDE, SIDE)
    modulus = np.random.default_rng(0).random(grid, dtype=np.float32)
    problem = Problem(modulus, np.zeros(grid, np.uint8))
    retrieve(problem, recipes.parse("ER+HIO+RAAR+DM+2*AER | SW(every=1)"), random(problem, 1, 0), device=device)
