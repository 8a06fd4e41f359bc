"""One attempt at a ptychographic job, in the compute process: from frames in the store to the object. Loads torch."""

import logging
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from inphase import ptycho
from inphase.errors import DataError
from inphase.imaging.way import CODE
from inphase.live.growth import Grown, look
from inphase.ptycho import parts
from inphase.ptycho.checkpoint import Checkpoint
from inphase.ptycho.engine import Progress
from inphase.ptycho.formats.written import arrays_of, reconstruction_of
from inphase.ptycho.prediction import Drawn, TurnedError
from inphase.ptycho.reconstruction import Reconstruction
from service.document import JobDocument, Ptychography
from service.jobs.errors import StoreError
from service.jobs.ptychogram import measured_of
from service.jobs.state import RecordedProgress
from service.jobs.store import Arrays, Store
from service.jobs.task import Outcome, Planes, Task

logger = logging.getLogger(__name__)

INPUT: Final = "input"


def perform(task: Task, document: JobDocument, told: Ptychography) -> Outcome:
    """One attempt. Raises as `ptycho.reconstruct`, and StoreError where frames are gone."""
    clock, live = task.clock, told.look
    with clock("decode"):
        arrays = task.store.read(task.job_id, INPUT)
        if live is None:
            measured = parts.from_arrays(arrays)
        else:
            measured = measured_of(task.store, live.scan, arrays, told.source, whole=live.final)
    drawn = parts.drawn_of(arrays)
    with clock("refine"):
        try:
            grown = _grown(task, told, measured, arrays, drawn)
        except TurnedError as error:
            if live is None or drawn is None:
                raise
            told = told.unbegun(drawn.label, error)  # a live scan has an image all the same
            grown = _grown(task, told, measured, arrays, None)
    result = grown.image
    found = replace(
        told,
        look=None if live is None else replace(live, frames=len(result.ids), similarity=grown.similarity),
        size=(result.object.shape[0], result.object.shape[1]),
        report=result.report,
    )
    ended = replace(document.imaged(found), attempt=task.attempt).to_json()
    return Outcome(arrays_of(result, ended.decode()), ended)


def _grown(task: Task, told: Ptychography, measured: ptycho.Measurement, arrays: Arrays, drawn: Drawn | None) -> Grown:
    """The image, begun from what a network has drawn where there is that."""
    if told.note:
        measured = measured.noted(told.note)
    if told.look is not None and not told.look.final:
        earlier = _earlier(task.store, arrays)
        return look(measured, told.options, earlier, drawn=drawn, device=task.device, cancelled=task.cancelled)
    image = ptycho.reconstruct(
        measured,
        told.options,
        start=drawn,
        device=task.device,
        progress=partial(_tell, task),
        cancelled=task.cancelled,
        resume=_reached(task.resume),
    )
    return Grown(image, None)


def _earlier(store: Store, arrays: Arrays) -> Reconstruction | None:
    """The image that a look goes on from; None of the first, and where it has expired meanwhile."""
    if "earlier" not in arrays:
        return None
    job, result = arrays["earlier"].tolist()
    try:
        held = store.read(job, result)
    except StoreError:
        return None
    told = JobDocument.from_json(str(held["document"]).encode()).ptychography
    return None if told is None or told.report is None else reconstruction_of(held, told.report)


def _tell(task: Task, progress: Progress) -> None:
    def preview() -> Planes:
        return (progress.preview(),)

    task.progress(RecordedProgress(progress.iteration + 1, progress.total, stage=progress.stage), preview)
    task.checkpoint(lambda: progress.checkpoint().to_arrays() | {"code": np.array(CODE)})


def _reached(arrays: Arrays | None) -> Checkpoint | None:
    """How far an earlier attempt has come; None where there was none, or none of this code."""
    if arrays is None:
        return None
    try:
        found = Checkpoint.from_arrays(arrays)
    except DataError as error:
        logger.warning("the checkpoint is not used: %s", error)
        return None
    if str(arrays.get("code")) != CODE:
        logger.warning("the checkpoint is not used: it was written by another version of inphase")
        return None
    logger.info("goes on at iteration %d", found.iteration)
    return found
