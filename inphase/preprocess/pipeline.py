"""The way of one measurement onto the model grid: every step of the recipe in order, and what each of them did."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern
from inphase.preprocess import (
    background,
    binning,
    centring,
    grid,
    lost,
    oversampling,
    peaks,
    pixels,
    slicing,
    validate,
    values,
)
from inphase.preprocess.core import core
from inphase.preprocess.corrections import Corrections, correct
from inphase.preprocess.placement import Placement
from inphase.preprocess.recipe import PreprocessRecipe
from inphase.preprocess.report import StepReport

SIDE: Final = 64  # voxels along each axis of a grid that nobody asks for otherwise


@dataclass(frozen=True)
class Prepared:
    """A measurement on the model grid.

    pattern: intensity and mask on the grid, peak at N // 2; its geometry is the grid's.
    transform: the way back to the measured grid.
    oversampling_measured, oversampling_after: sigma per axis of the measurement and of the grid.
    padding_bound: largest |F| that a PADDING voxel may keep; 0 without padding.
    steps: what each step did.
    valid_fraction: VALID share of the grid's voxels that lie in the measured range.
    counts_inside: share of the corrected, measured counts above background that lie in valid voxels of the grid.
    """

    pattern: Pattern
    transform: Placement
    oversampling_measured: tuple[float, ...]
    oversampling_after: tuple[float, ...]
    padding_bound: float
    steps: tuple[StepReport, ...]
    valid_fraction: float
    counts_inside: float


def preprocess(
    pattern: Pattern,
    recipe: PreprocessRecipe,
    shape: tuple[int, ...] | None = None,
    corrections: Corrections | None = None,
    *,
    central_slice: bool = False,
) -> Prepared:
    """Bring a measurement of any size onto a grid of `shape` voxels, which has as many axes; by default 64 along each.

    central_slice: only the frame through the peak of a rocking curve is brought there; the peak is looked for, and what
    is not known is masked, in the whole curve.
    Raises DataError where the data cannot be used: nothing valid left, peak at the border, maps that do not fit, a grid
    of another rank.
    """
    rank = 2 if central_slice else len(pattern.shape)
    shape = shape or (SIDE,) * rank
    if len(shape) != rank:
        raise DataError(_another_rank(pattern.shape, len(shape), central_slice))
    clean, origin, steps = _cleaned(pattern, recipe, corrections)
    if not clean.intensity.any():
        raise DataError("no valid voxel holds a count after the corrections: check the dark and flat maps")
    level = background.estimate(clean, recipe.background.quantile) if recipe.background else 0.0
    surroundings = core(clean, level)
    in_file = tuple(p + o for p, o in zip(surroundings.peak, origin, strict=True))
    steps.append(values.examine(pattern, in_file))
    if central_slice:
        clean, report = slicing.central(clean, surroundings.peak, origin[0])
        steps.append(report)
        origin, surroundings = origin[1:], core(clean, level)
    measured = oversampling.measure(surroundings)
    bins = (1,) * len(shape)
    if recipe.binning:
        fits = tuple(n <= most for n, most in zip(clean.shape, shape, strict=True))
        rule = recipe.binning
        bins = oversampling.binning_for(measured.sigma, fits, rule.target, rule.least, rule.most)
    steps.append(measured.report(bins))
    window = centring.window(clean.shape, surroundings, bins, shape, recipe.centring.reference, measured.sigma, origin)
    placed = window.moved(origin)
    doubts = centring.cut(surroundings.peak, clean.shape, measured.sigma, origin)
    steps.append(placed.report(recipe.centring.reference, doubts))
    another = peaks.second(clean, surroundings.peak, measured.sigma, level)
    steps.append(peaks.report(another, surroundings.peak, window, origin))
    total = float(clean.intensity.sum(dtype=np.float64)) - level * int(np.count_nonzero(clean.mask == MaskState.VALID))
    cut, report = grid.cut(clean, window)
    steps.append(report)
    on_grid, report = binning.binned(cut, bins, grid.expected(surroundings, window, level))
    steps.append(report)
    if recipe.background:
        on_grid, report = background.subtract(on_grid, level * float(np.prod(bins)))
        steps.append(report)
    else:
        on_grid = background.clipped(on_grid)
    if not on_grid.intensity.any():
        raise DataError(
            "no valid voxel holds a count on the model grid: all counts lie outside the window or are masked"
        )
    bound = grid.padding_bound(on_grid)
    valid = int(np.count_nonzero(on_grid.mask == MaskState.VALID))
    range_ = int(np.count_nonzero(on_grid.mask != MaskState.PADDING))
    inside = grid.counts_kept(cut, on_grid.mask, bins, level) / total if total > 0 else 0.0
    steps.append(StepReport("grid", {"shape": list(shape), "padding_bound": bound}))
    return Prepared(
        pattern=on_grid,
        transform=Placement(pattern.shape[-rank:], placed.start, bins, shape),
        oversampling_measured=measured.sigma,
        oversampling_after=tuple(s / k for s, k in zip(measured.sigma, bins, strict=True)),
        padding_bound=bound,
        steps=tuple(steps),
        valid_fraction=valid / range_,
        counts_inside=min(1.0, max(0.0, inside)),
    )


def _another_rank(shape: tuple[int, ...], grid_axes: int, central_slice: bool) -> str:
    """Why a measurement cannot come onto a grid of other axes, and what to do."""
    if grid_axes == 3:
        what = "slice=center makes one of a curve" if central_slice else "the measurement has 2 axes"
        return (
            f"a network for rocking curves takes no single frame, and {what} {shape}: name a network of the family "
            "image (model=), or start=random"
        )
    return (
        f"a network for single frames takes no rocking curve, and the measurement has 3 axes {shape}: take its central "
        "slice (slice=center), or, where each frame is a pattern of its own, reconstruct the stack"
    )


def _cleaned(
    pattern: Pattern, recipe: PreprocessRecipe, corrections: Corrections | None
) -> tuple[Pattern, tuple[int, ...], list[StepReport]]:
    """The steps that mask what is not known, the first voxel of the measured part that is left, and their reports."""
    steps = [validate.report(pattern)] if pattern.unknown else []
    origin = (0,) * len(pattern.shape)
    if recipe.saturation is not None:
        pattern, report = pixels.saturated(pattern, recipe.saturation)
        steps.append(report)
    if corrections is not None:
        pattern, report = correct(pattern, corrections)
        steps.append(report)
    if recipe.lost_frames is not None:
        measured, report = lost.measured(pattern, recipe.lost_frames.least)
        pattern, origin = measured.pattern, measured.start
        steps.append(report)
    if recipe.dead_pixels is not None:
        pattern, report = pixels.dead(pattern, recipe.dead_pixels.least)
        steps.append(report)
    if recipe.hot_pixels is not None:
        pattern, report = pixels.hot(pattern, recipe.hot_pixels.ratio, recipe.hot_pixels.least)
        steps.append(report)
    return pattern, origin, steps
