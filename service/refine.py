"""The refinement step, in the worker and in the command line. Loads torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import torch

from inphase.errors import DataError
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import Progress, retrieve
from inphase.retrieval.ensemble import Candidate, assess, best_of
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts, of_every_kind, random, together
from service import pipeline
from service.clock import Clock
from service.document import JobDocument, Score
from service.frame import Frame
from service.jobs.state import Progress as RecordedProgress
from service.jobs.task import Outcome, Task
from service.options import CONVENTIONAL
from service.pipeline import Draft, Finished
from service.runs import Runs


def refine(
    draft: Draft,
    document: JobDocument,
    clock: Clock,
    *,
    runs: Runs | None = None,
) -> Finished:
    """Refine from the start that the document names, escalate where the result is not sane (start=auto), finish.

    runs: how the retrievals are run; by default here, unseen. Raises CancelledError, and DataError where the iterations
    diverge.
    """
    runs = runs or Runs()

    def run(recipe: str, *batches: Starts) -> list[Candidate]:
        kinds = [batch.kind for batch in batches for _ in batch.objects]
        solutions = runs(draft.problem, recipes.resolve(recipe), together(batches))
        return [
            Candidate(s.object, s.support, draft.measure(s.object, s.support, s.kernel), kind, s.kernel)
            for s, kind in zip(solutions, kinds, strict=True)
        ]

    start = document.start
    with clock("refine"):
        if start.requested == "mixed":
            candidates = run(document.recipe.refine, *_of_every_kind(draft, document))
        elif start.kind == "network":
            candidates = run(document.recipe.refine, draft.network_start())
            if start.requested == "auto" and (wrong := pipeline.shortfalls(draft, candidates[0])):
                document = _escalated(document, wrong)
                candidates += run(CONVENTIONAL, _random(draft, document))
        else:
            recipe = document.recipe.refine if start.requested == "random" else CONVENTIONAL
            candidates = run(recipe, _random(draft, document))
    ensemble = None
    if len(candidates) > 1:
        with clock("rank"):
            ensemble = assess(draft.problem, candidates, oversampling=draft.oversampling, geometry=draft.geometry)
    best = candidates[ensemble.best if ensemble else 0]
    document = _with_random_score(document, [c for c in candidates if c.origin == "random"])
    document = _with_recipe_used(document, best).model_copy(update={"resumed_from": runs.resumed_from})
    return pipeline.finish(draft, document, best, clock, ensemble)


def perform(task: Task) -> Outcome:
    """One attempt at a job, for service.jobs.compute. Raises MemoryError where torch has no room either."""
    document = JobDocument.from_json(task.document)
    clock = Clock()
    clock.ms |= document.timings_ms
    waited = datetime.now(UTC) - datetime.fromisoformat(document.created)
    clock.add("queue", max(0.0, waited.total_seconds() * 1e3))
    with clock("decode"):
        draft = Draft.from_arrays(task.store.read(task.job_id, "input"), document)
    if document.series is not None:
        draft = replace(draft, frame=Frame(task.store, document.series.id))

    def report(progress: Progress) -> None:
        told = RecordedProgress(
            progress.iteration, progress.total, progress.chi2, progress.support_voxels, progress.stage
        )
        task.progress(told, progress.preview)

    runs = Runs(task.device, progress=report, cancelled=task.cancelled, keep=task.checkpoint, resume=task.resume)
    document = document.model_copy(update={"attempt": task.attempt})
    with _memory_errors():
        done = refine(draft, document, clock, runs=runs)
    return Outcome(done.arrays, done.document.to_json())


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
    generator = np.random.default_rng(0)
    modulus = generator.random(pipeline.GRID, dtype=np.float32)
    problem = Problem(modulus, np.zeros(pipeline.GRID, np.uint8))
    retrieve(problem, recipes.parse("ER+HIO+RAAR+DM+2*AER | SW(every=1)"), random(problem, 1, 0), device=device)


def _random(draft: Draft, document: JobDocument) -> Starts:
    return random(draft.problem, document.start.random_starts, document.start.seed)


def _of_every_kind(draft: Draft, document: JobDocument) -> list[Starts]:
    if draft.prediction is None:
        raise DataError("no network was asked for a start: start=mixed needs one")
    amplitude, phase = draft.prediction.amplitude, draft.prediction.phase
    start = document.start
    return of_every_kind(amplitude, phase, draft.problem, start.random_starts, start.seed, draft.support_threshold)


def _with_random_score(document: JobDocument, conventional: list[Candidate]) -> JobDocument:
    if not conventional:
        return document
    best = conventional[best_of(conventional, document.oversampling.after)]
    metrics = document.metrics.model_copy(update={"random_start": Score.of(best.metrics)})
    return document.model_copy(update={"metrics": metrics})


def _escalated(document: JobDocument, wrong: list[str]) -> JobDocument:
    why = f"refined from the network's start it falls short: {'; '.join(wrong)}; compared with {CONVENTIONAL} from random starts"
    return document.model_copy(update={"start": document.start.model_copy(update={"why": why})})


def _with_recipe_used(document: JobDocument, best: Candidate) -> JobDocument:
    """The recipe that made the result: the conventional one where start=auto has come to random starts."""
    if best.origin == "network" or document.start.requested in ("random", "mixed"):
        return document
    recipe = document.recipe.model_copy(update={"refine": recipes.resolve(CONVENTIONAL).text})
    return document.model_copy(update={"recipe": recipe})
