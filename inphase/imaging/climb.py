"""From the refined image on the model grid to the finest grid that the measurement is worth, level by level.

Loads torch.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from inphase.errors import DataError
from inphase.fourier import embedded
from inphase.imaging import report
from inphase.imaging.candidates import retrieved
from inphase.imaging.clock import Clock
from inphase.imaging.options import NO_REFINEMENT
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Report
from inphase.imaging.retrievals import OutOfTimeError, Retrievals
from inphase.imaging.signs import estimate
from inphase.imaging.way import CommonFrame, judge
from inphase.metrics import noise_chi2
from inphase.pattern import Domain, MaskState
from inphase.preprocess.reach import GAIN
from inphase.retrieval import ladder as ladders
from inphase.retrieval import recipe as recipes
from inphase.retrieval.ensemble import Candidate, Ensemble
from inphase.retrieval.ladder import Ladder, Shape
from inphase.retrieval.memory import free_bytes
from inphase.retrieval.problem import Problem

logger = logging.getLogger(__name__)

SECONDS: Final = 480.0  # for all levels together, where nobody says another limit
OF_THE_MODEL_GRID: Final = (
    "the probability is that of the image on the grid of the model, from which this finer one was refined: "
    "no finer images were calibrated"
)

Revised = Callable[[Reconstruction], None]


@dataclass(frozen=True)
class Image:
    """What has been reached: a candidate on the grid of `prepared`, and what is said of it."""

    prepared: PreparedPattern
    report: Report
    best: Candidate


def climb(
    image: Image,
    clock: Clock,
    *,
    retrievals: Retrievals,
    ensemble: Ensemble | None = None,
    frame: CommonFrame | None = None,
    revised: Revised | None = None,
    seconds: float = SECONDS,
) -> Reconstruction:
    """Refine the image on one level after the other, and judge the last one that is better than the one before.

    image: on the model grid, its report with the finest grid. revised: takes the image of every level but the last, as
    soon as it is there. seconds: after which no level is begun, and one at work is given up. The probability of being
    right is carried up from the model grid, as images there were calibrated. Raises CancelledError, and DataError where
    the memory does not hold a grid that was asked for.
    """
    ladder, grid = image.prepared.ladder, image.report.grid
    assert ladder is not None
    assert grid is not None
    bottom, deadline = image.prepared, time.monotonic() + seconds
    refined = image.report.recipe.refine != NO_REFINEMENT
    estimated = estimate(bottom, image.best, image.report.preprocess.counts_inside, ensemble, refined=refined)
    coherent = ladders.width(image.best.kernel, ladder.way.bins) is None
    ladder, stopped = _determined(ladder, grid, image.report.detail)
    if ladder is not None:
        ladder, less = _that_fits(ladder, grid, retrievals.device, coherent)
        stopped = "; ".join(each for each in (stopped, less) if each)
    levels: list[report.Level] = []
    for number, shape in enumerate(ladder.shapes if ladder else (), 1):
        if revised is not None:
            told = _told(image.report, levels, "")
            revised(judge(image.prepared, told, image.best, clock, ensemble, estimated=estimated))
        assert ladder is not None
        last = number == len(ladder.shapes)
        try:
            with clock("refine"):
                level, found = _level(bottom, ladder, image, shape, last, retrievals, deadline)
        except OutOfTimeError:
            stopped = f"the level of {_text(shape)} voxels was given up: {seconds:g} s are over"
            break
        levels.append(replace(found, kept=bool(found.better) or grid.requested != "auto"))
        if not levels[-1].kept:
            stopped = (
                f"no voxels are hidden on {_text(shape)} that could tell whether the image is better"
                if found.better is None
                else f"on {_text(shape)} voxels the hidden ones are fitted no better than by the coarser image: "
                "the measurement holds no more"
            )
            break
        image = level
        estimated = replace(estimated, why=estimated.why or OF_THE_MODEL_GRID)
    told = _told(image.report, levels, stopped)
    return judge(image.prepared, told, image.best, clock, ensemble, frame, estimated)


def _level(
    bottom: PreparedPattern,
    ladder: Ladder,
    image: Image,
    shape: Shape,
    last: bool,
    retrievals: Retrievals,
    deadline: float,
) -> tuple[Image, report.Level]:
    """The image on a level, and what became of it there."""
    begun = time.monotonic()
    problem = ladder.level(shape)
    prepared, found = _described(bottom, image.report, problem)
    best = image.best
    finer = ladder.way.bins if best.object.shape == ladder.way.shape_out else (1,) * len(shape)
    sigma = ladders.width(best.kernel, finer)
    text = ladders.recipe(last=last, sigma=sigma)
    start = ladder.start(best.object, best.support, shape, best.kind)
    before = None
    if problem.free is not None:
        before = prepared.measure(*(embedded(each[0], shape) for each in (start.objects, start.supports)))
    (done,) = retrieved(prepared, text, start, retrievals=retrievals, deadline=deadline)
    metrics = done.candidate.metrics
    told = report.part(
        report.Level,
        metrics,
        shape=shape,
        recipe=recipes.parse(text).text,
        start_free_llk=None if before is None else before.free_llk,
        kept=True,
        seconds=round(time.monotonic() - begun, 2),
    )
    logger.info("level %s: free llk %s -> %s", _text(shape), told.start_free_llk, told.free_llk)
    return Image(prepared, replace(found, history=done.history), done.candidate), told


def _described(bottom: PreparedPattern, found: Report, problem: Problem) -> tuple[PreparedPattern, Report]:
    """The measurement on a level, and the report of an image there."""
    grid = found.grid
    assert grid is not None
    assert grid.finest is not None
    whole, shape = grid.finest, problem.modulus.shape
    valid = problem.mask == MaskState.VALID
    geometry = whole.geometry.geometry() if whole.geometry else None
    inside = float(np.square(problem.modulus, dtype=np.float64).sum(where=valid)) / grid.counts
    offset = tuple(
        o + (n - k) // 2 * b for o, n, k, b in zip(whole.offset, whole.shape, shape, whole.binning, strict=True)
    )
    fraction = float(np.count_nonzero(valid) / np.count_nonzero(problem.mask != MaskState.PADDING))
    noise = noise_chi2(problem.modulus**2, problem.mask) if bottom.domain is Domain.COUNTS else None
    prepared = replace(
        bottom,
        problem=problem,
        prediction=None,
        oversampling=grid.oversampling,
        valid_fraction=fraction,
        noise_chi2=noise,
        geometry=geometry,
        ladder=None,
    )
    preprocess = replace(
        whole,
        valid_fraction=fraction,
        counts_inside=whole.counts_inside * inside,
        offset=offset,
        shape=shape,
        voxel_size_m=geometry.voxel_size_m(shape) if geometry else None,
        geometry=report.GridGeometry.of(geometry, shape) if geometry else None,
    )
    return prepared, replace(
        found,
        detail=None if geometry is None else found.detail,  # of the model grid, in whose voxels it may be told
        preprocess=preprocess,
        oversampling=replace(found.oversampling, after=grid.oversampling),
        metrics=replace(found.metrics, noise_chi2=noise),
    )


def _determined(ladder: Ladder, grid: report.Grid, detail: report.Detail | None) -> tuple[Ladder | None, str]:
    """With grid=auto the part of the ladder that the counts determine, and what was left out; None where it is nothing.

    Along an axis on which the images of two halves of the photons part within the model's window, there are too few
    photons beyond it for the detail of a larger one, although there are some (docs/decisions/0034).
    """
    if grid.requested != "auto" or detail is None:
        return ladder, ""
    own, whole = ladder.first, ladder.problem.modulus.shape
    part = tuple(a if along.crossed else z for a, z, along in zip(own, whole, detail.along, strict=True))
    if part == whole:
        return ladder, ""
    axes = ", ".join(str(axis) for axis, along in enumerate(detail.along) if along.crossed)
    told = f"two halves of the photons agree to less than the window of the model grid holds along axis {axes}"
    if all(side < GAIN * a for side, a in zip(part, own, strict=True)):
        return None, f"{told}: the measurement determines no more"
    return ladder.reduced(part), f"{told}: refined on the central {_text(part)}"


def _that_fits(ladder: Ladder, grid: report.Grid, device: str, coherent: bool) -> tuple[Ladder | None, str]:
    """The ladder, or with grid=auto the part that the memory holds, and what was left out; None where that is all.

    Raises DataError.
    """
    shape, room = ladder.problem.modulus.shape, free_bytes(device)
    needed = ladders.needed_bytes(shape, coherent=coherent)
    if needed <= room:
        return ladder, ""
    told = f"a grid of {_text(shape)} voxels takes up to {needed / 2**30:.1f} GiB, and {room / 2**30:.1f} GiB are free"
    if grid.requested != "auto":
        raise DataError(f"{told}: ask for grid=auto or for fewer voxels, or give the worker more memory")
    fits = next((part for part in ladder.parts() if ladders.needed_bytes(part, coherent=coherent) <= room), None)
    if fits is None:
        return None, f"{told}: the image stays on the grid of the model"
    return ladder.reduced(fits), f"{told}: refined on the central {_text(fits)}"


def _told(found: Report, levels: list[report.Level], stopped: str) -> Report:
    assert found.grid is not None
    return replace(found, grid=replace(found.grid, levels=tuple(levels), stopped=stopped))


def _text(shape: Shape) -> str:
    return " x ".join(str(side) for side in shape)
