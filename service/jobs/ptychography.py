"""One attempt at a ptychographic job, in the compute process: from frames in the store to the object. Loads torch."""

import logging
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase import ptycho
from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.formats.maps import corrections_of
from inphase.imaging.way import CODE
from inphase.live.growth import look
from inphase.live.ptychogram import Ptychogram
from inphase.ptycho import parts
from inphase.ptycho.checkpoint import Checkpoint
from inphase.ptycho.engine import Progress
from inphase.ptycho.formats.contents import Given
from inphase.ptycho.formats.written import arrays_of, reconstruction_of
from inphase.ptycho.reconstruction import Reconstruction
from service.document import JobDocument, Ptychography
from service.jobs.errors import StoreError
from service.jobs.state import RecordedProgress
from service.jobs.store import Arrays, Store
from service.jobs.task import Outcome, Planes, Task

logger = logging.getLogger(__name__)

INPUT: Final = "input"


def perform(task: Task, document: JobDocument, told: Ptychography) -> Outcome:
    """One attempt. Raises as `ptycho.reconstruct`, and StoreError where frames are gone."""
    clock = task.clock
    live, similarity = told.look, None
    with clock("decode"):
        arrays = task.store.read(task.job_id, INPUT)
        if live is None:
            measured = parts.from_arrays(arrays)
        else:
            measured = _measured(task.store, told, live.scan, arrays, whole=live.final)
    with clock("refine"):
        if live is None or live.final:
            result = ptycho.reconstruct(
                measured,
                told.options,
                start=parts.drawn_of(arrays),
                device=task.device,
                progress=partial(_tell, task),
                cancelled=task.cancelled,
                resume=_reached(task.resume),
            )
        else:
            earlier = _earlier(task.store, arrays)
            grown = look(measured, told.options, earlier, device=task.device, cancelled=task.cancelled)
            result, similarity = grown.image, grown.similarity
    found = replace(
        told,
        look=None if live is None else replace(live, frames=len(result.ids), similarity=similarity),
        size=(result.object.shape[0], result.object.shape[1]),
        report=result.report,
    )
    ended = replace(document.imaged(found), attempt=task.attempt).to_json()
    return Outcome(arrays_of(result, ended.decode()), ended)


def _measured(store: Store, told: Ptychography, scan: str, arrays: Arrays, *, whole: bool) -> ptycho.Measurement:
    """The frames of a look, as they lie in the batches in which they came."""
    frames: NDArray[np.generic] | None = None
    for number, batch in enumerate(arrays["batches"].tolist()):
        held = store.read(scan, batch)["frames"]
        if frames is None:
            frames = np.empty((len(arrays["places"]), *held.shape[1:]), held.dtype)
        mine = arrays["batch"] == number
        frames[mine] = held[arrays["index"][mine]]
    assert frames is not None, "a look has frames"
    maps = corrections_of(arrays, told.source)
    template = RawScan(frames[0], None, "", "", mask=arrays.get("mask"), corrections=maps)
    unit = str(arrays["unit"])
    beam = Given.of_numbers(arrays["beam"], unit).optics()
    field = Ptychogram.made(template, None, beam, unit, arrays.get("probe"))
    return field.measurement(frames, arrays["positions"], arrays["places"], told.source, part=not whole)


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
