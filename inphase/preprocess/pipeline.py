"""The way of one measurement onto the model grid: every step of the recipe in order, and what each of them did."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern
from inphase.preprocess import background, binning, centring, grid, lost, oversampling, peaks, pixels, validate, values
from inphase.preprocess.core import core
from inphase.preprocess.corrections import Corrections, correct, missing
from inphase.preprocess.placement import Placement
from inphase.preprocess.recipe import Crop, PreprocessRecipe
from inphase.preprocess.report import Number, StepReport

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
) -> Prepared:
    """Bring a measurement of any size onto a grid of `shape` voxels, which has as many axes; by default 64 along each.

    Raises DataError where the data cannot be used: nothing valid left, peak at the border, maps that do not fit, a grid
    of another rank.
    """
    shape = shape or (SIDE,) * len(pattern.shape)
    if len(shape) != len(pattern.shape):
        raise DataError(
            f"the measurement has {len(pattern.shape)} axes {pattern.shape} and the grid {len(shape)}: a network for "
            "rocking curves takes no single frame, and one for frames no curve; choose another model, or start=random"
        )
    clean, origin, steps = _cleaned(pattern, recipe, corrections)
    if not clean.intensity.any():
        raise DataError("no valid voxel holds a count after the corrections: check the dark and flat maps")
    level = _level(clean, recipe)
    surroundings = core(clean, level)
    in_file = tuple(p + o for p, o in zip(surroundings.peak, origin, strict=True))
    steps.append(values.examine(pattern, in_file))
    measured = oversampling.measure(surroundings)
    bins = (1,) * len(shape)
    if recipe.binning and recipe.binning.factors is not None:
        bins = _of_rank(recipe.binning.factors, len(shape))
    elif recipe.binning:
        fits = tuple(n <= most for n, most in zip(clean.shape, shape, strict=True))
        rule = recipe.binning
        bins = oversampling.binning_for(measured.sigma, fits, rule.target, rule.least, rule.most)
    steps.append(measured.report(bins))
    rule_of = recipe.centring
    window = centring.window(
        clean.shape, surroundings, bins, shape, rule_of.reference, measured.sigma, origin, rule_of.voxel
    )
    placed = window.moved(origin)
    steps.append(placed.report("voxel" if rule_of.voxel is not None else rule_of.reference))
    if recipe.aliens is not None:
        clean, report = peaks.removed(clean, surroundings.peak, measured.sigma, level, recipe.aliens.most, origin)
        steps.append(report)
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
        transform=Placement(pattern.shape, placed.start, bins, shape),
        oversampling_measured=measured.sigma,
        oversampling_after=tuple(s / k for s, k in zip(measured.sigma, bins, strict=True)),
        padding_bound=bound,
        steps=tuple(steps),
        valid_fraction=valid / range_,
        counts_inside=min(1.0, max(0.0, inside)),
    )


def _level(clean: Pattern, recipe: PreprocessRecipe) -> float:
    """Background in counts per measured voxel."""
    if recipe.background is None:
        return 0.0
    asked = recipe.background.level
    return background.estimate(clean, recipe.background.quantile) if asked is None else asked


def _of_rank(factors: tuple[int, ...], rank: int) -> tuple[int, ...]:
    if len(factors) != rank:
        raise DataError(f"binning(factors={'x'.join(map(str, factors))}): the measurement has {rank} axes")
    return factors


def _cropped(pattern: Pattern, crop: Crop) -> tuple[Pattern, tuple[int, ...], StepReport]:
    """The part that is asked for, where it begins, and the report."""
    asked = (crop.frames, crop.rows, crop.columns)[-len(pattern.shape) :]
    spans = [slice(0, n) if part is None else slice(*part) for part, n in zip(asked, pattern.shape, strict=True)]
    for name, span, n in zip(lost.AXES[-len(spans) :], spans, pattern.shape, strict=True):
        if span.stop > n or span.stop - span.start < validate.MIN_SIDE:
            raise DataError(
                f"crop({name}={span.start}:{span.stop}): the measurement has {n} {name}, and at least "
                f"{validate.MIN_SIDE} are needed"
            )
    before = float(pattern.intensity.sum(dtype=np.float64))
    part = lost.cut(pattern, spans)
    share = float(part.pattern.intensity.sum(dtype=np.float64)) / before if before else 0.0
    names = lost.AXES[-len(spans) :]
    numbers: dict[str, Number] = {name: [s.start, s.stop] for name, s in zip(names, spans, strict=True)}
    return part.pattern, part.start, StepReport("crop", {**numbers, "counts_share": share})


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
    if absent := missing(pattern, corrections):
        steps.append(absent)
    if recipe.crop is not None:
        pattern, origin, report = _cropped(pattern, recipe.crop)
        steps.append(report)
    if recipe.lost_frames is not None:
        measured, report = lost.measured(pattern, recipe.lost_frames.least)
        pattern = measured.pattern
        origin = tuple(a + b for a, b in zip(origin, measured.start, strict=True))
        steps.append(report)
    if recipe.dead_pixels is not None:
        pattern, report = pixels.dead(pattern, recipe.dead_pixels.least)
        steps.append(report)
    if recipe.hot_pixels is not None:
        pattern, report = pixels.hot(pattern, recipe.hot_pixels.ratio, recipe.hot_pixels.least)
        steps.append(report)
    if recipe.threshold is not None:
        pattern, report = background.thresholded(pattern, recipe.threshold.least)
        steps.append(report)
    return pattern, origin, steps
