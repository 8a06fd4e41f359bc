"""The way of one measurement onto the model grid: every step of the recipe in order, and what each of them did."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from inphase import slabs
from inphase.errors import DataError
from inphase.pattern import AXES, MaskState, Pattern
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
from inphase.preprocess.core import Core, core
from inphase.preprocess.corrections import Corrections, correct, missing
from inphase.preprocess.placement import Placement
from inphase.preprocess.recipe import Crop, PreprocessRecipe
from inphase.preprocess.report import Number, StepReport

EMPTY: Final = 16  # times as many voxels in a window as were measured, of which it holds no more than all
SMALL: Final = 2**26  # voxels of a window that is never too large: 0.3 GB
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


@dataclass(frozen=True)
class Cleaned:
    """A measurement without what is not known of it, and where its peak lies: any grid can be laid on it.

    pattern: what is left of the measurement, on its own voxels. origin: its first voxel in the measurement of
    `shape_in` voxels. level: flat background, counts per voxel. far_field: as it is estimated, where a caller has named
    another; else None. surroundings: of the peak. sampled: oversampling.
    neighbour: a second peak. counts: those above background. steps: what was done so far.
    """

    pattern: Pattern
    shape_in: tuple[int, ...]
    origin: tuple[int, ...]
    level: float
    far_field: float | None
    surroundings: Core
    sampled: oversampling.Oversampling
    neighbour: peaks.SecondPeak | None
    counts: float
    recipe: PreprocessRecipe
    steps: tuple[StepReport, ...]

    def on(self, shape: tuple[int, ...]) -> Prepared:
        """On the grid of a network: binned as the recipe says, the peak at the DC voxel. Raises DataError."""
        bins = (1,) * len(shape)
        if self.recipe.binning and self.recipe.binning.factors is not None:
            bins = _of_rank(self.recipe.binning.factors, len(shape))
        elif self.recipe.binning:
            fits = tuple(n <= most for n, most in zip(self.pattern.shape, shape, strict=True))
            rule = self.recipe.binning
            bins = oversampling.binning_for(self.sampled.sigma, fits, rule.target, rule.least, rule.most)
        _check_bins(bins, self.pattern.shape, shape)
        rule_of = self.recipe.centring
        window = centring.window(
            self.pattern.shape,
            self.surroundings,
            bins,
            shape,
            rule_of.reference,
            self.sampled.sigma,
            self.origin,
            rule_of.voxel,
        )
        return self.in_window(window)

    def in_window(self, window: centring.Window) -> Prepared:
        """In any window of what is left, with its bins. Raises DataError where it holds no count."""
        clean, level, bins = self.pattern, self.level, window.bins
        steps = [*self.steps, self.sampled.report(bins)]
        placed = window.moved(self.origin)
        doubts = centring.cut(self.surroundings.peak, clean.shape, self.sampled.sigma, self.origin)
        rule_of = self.recipe.centring
        steps.append(placed.report("voxel" if rule_of.voxel is not None else rule_of.reference, doubts))
        steps.append(peaks.report(self.neighbour, self.surroundings.peak, window, self.origin))
        cut, report = grid.cut(clean, window)
        steps.append(report)
        expected = grid.expected(self.surroundings, window, level) if max(bins) > 1 else None
        on_grid, report = binning.binned(cut, bins, expected)
        steps.append(report)
        if self.recipe.background:
            full = float(np.prod(bins))
            estimated = None if self.far_field is None else full * self.far_field
            on_grid, report = background.subtract(on_grid, full * level, estimated)
            steps.append(report)
        else:
            on_grid = background.clipped(on_grid)
        if slabs.dark(on_grid.intensity):
            raise DataError(
                "no valid voxel holds a count on the model grid: all counts lie outside the window or are masked"
            )
        bound = grid.padding_bound(on_grid)
        valid = on_grid.number(MaskState.VALID)
        range_ = on_grid.mask.size - on_grid.number(MaskState.PADDING)
        inside = grid.counts_kept(cut, on_grid.mask, bins, level) / self.counts if self.counts > 0 else 0.0
        steps.append(StepReport("grid", {"shape": list(window.shape), "padding_bound": bound}))
        return Prepared(
            pattern=on_grid,
            transform=Placement(self.shape_in, placed.start, bins, window.shape),
            oversampling_measured=self.sampled.sigma,
            oversampling_after=tuple(s / k for s, k in zip(self.sampled.sigma, bins, strict=True)),
            padding_bound=bound,
            steps=tuple(steps),
            valid_fraction=valid / range_,
            counts_inside=min(1.0, max(0.0, inside)),
        )


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
    shape = grid_for(pattern, shape, central_slice=central_slice)
    return cleaned(pattern, recipe, corrections, central_slice=central_slice).on(shape)


def grid_for(pattern: Pattern, shape: tuple[int, ...] | None, *, central_slice: bool = False) -> tuple[int, ...]:
    """`shape`, by default 64 voxels along each axis. Raises DataError where it has another rank than the pattern."""
    rank = 2 if central_slice else len(pattern.shape)
    shape = shape or (SIDE,) * rank
    if len(shape) != rank:
        raise DataError(_another_rank(pattern.shape, len(shape), central_slice))
    return shape


def cleaned(
    pattern: Pattern, recipe: PreprocessRecipe, corrections: Corrections | None = None, *, central_slice: bool = False
) -> Cleaned:
    """Mask what is not known, and find background, peak and oversampling. Raises DataError as `preprocess`."""
    clean, origin, steps = _cleaned(pattern, recipe, corrections)
    if slabs.dark(clean.intensity):
        raise DataError("no valid voxel holds a count after the corrections: check the dark and flat maps")
    level, far_field = _levels(clean, recipe)
    surroundings = core(clean, level)
    in_file = tuple(p + o for p, o in zip(surroundings.peak, origin, strict=True))
    steps.append(values.examine(pattern, in_file, recipe.saturation))
    shape_in = pattern.shape
    if central_slice:
        clean, report = slicing.central(clean, surroundings.peak, origin[0])
        steps.append(report)
        origin, shape_in, surroundings = origin[1:], shape_in[1:], core(clean, level)
    sampled = oversampling.measure(surroundings)
    if recipe.aliens is not None:
        clean, report = peaks.removed(clean, surroundings.peak, sampled.sigma, level, recipe.aliens.most, origin)
        steps.append(report)
    another = peaks.second(clean, surroundings.peak, sampled.sigma, level)
    counts = clean.total - level * clean.number(MaskState.VALID)
    return Cleaned(
        clean, shape_in, origin, level, far_field, surroundings, sampled, another, counts, recipe, tuple(steps)
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


def _levels(clean: Pattern, recipe: PreprocessRecipe) -> tuple[float, float | None]:
    """Background in counts per measured voxel, and what it is estimated at where a caller has named it.

    Raises DataError where a caller has named more than all the light.
    """
    if recipe.background is None:
        return 0.0, None
    estimated, asked = background.estimate(clean, recipe.background.quantile), recipe.background.level
    if asked is None:
        return estimated, None
    mean = clean.total / clean.number(MaskState.VALID)
    if asked >= mean:
        raise DataError(
            f"background(level={asked:g}): the valid voxels hold {mean:.3g} counts on average, so nothing would be "
            f"left of all the light together; the far field has {estimated:.3g}"
        )
    return asked, estimated


def _of_rank(factors: tuple[int, ...], rank: int) -> tuple[int, ...]:
    if len(factors) != rank:
        raise DataError(f"binning(factors={'x'.join(map(str, factors))}): the measurement has {rank} axes")
    return factors


def _check_bins(bins: tuple[int, ...], measured: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """DataError where a binning leaves too few voxels to see a fringe, or a window that is nearly all empty."""
    told = f"a binning by {'x'.join(map(str, bins))}"
    for name, n, b in zip(AXES[-len(bins) :], measured, bins, strict=True):
        if b > 1 and n // b < validate.MIN_SIDE:
            raise DataError(
                f"{told} leaves {n // b} voxels of {n} {name}, and at least {validate.MIN_SIDE} are needed: bin less "
                "(binning(factors=...))"
            )
    window = math.prod(n * b for n, b in zip(shape, bins, strict=True))
    if window > max(EMPTY * math.prod(measured), SMALL):
        raise DataError(
            f"{told} makes the grid of {' x '.join(map(str, shape))} as large as {window:.3g} measured voxels, and "
            f"{math.prod(measured):.3g} were measured: bin less (binning(factors=...))"
        )


def _cropped(pattern: Pattern, crop: Crop) -> tuple[Pattern, tuple[int, ...], StepReport]:
    """The part that is asked for, where it begins, and the report."""
    asked = (crop.frames, crop.rows, crop.columns)[-len(pattern.shape) :]
    spans = [slice(0, n) if part is None else slice(*part) for part, n in zip(asked, pattern.shape, strict=True)]
    names = AXES[-len(spans) :]
    for name, span, n in zip(names, spans, pattern.shape, strict=True):
        if span.stop > n or span.stop - span.start < validate.MIN_SIDE:
            raise DataError(
                f"crop({name}={span.start}:{span.stop}): the measurement has {n} {name}, and at least "
                f"{validate.MIN_SIDE} are needed"
            )
    part = lost.cut(pattern, spans)
    share = part.pattern.total / pattern.total if pattern.total else 0.0
    numbers: dict[str, Number] = {name: [s.start, s.stop] for name, s in zip(names, spans, strict=True)}
    return part.pattern, part.start, StepReport("crop", {**numbers, "counts_share": share})


def _cleaned(
    pattern: Pattern, recipe: PreprocessRecipe, corrections: Corrections | None
) -> tuple[Pattern, tuple[int, ...], list[StepReport]]:
    """The steps that mask what is not known, the first voxel of the measured part that is left, and their reports."""
    given = pattern
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
    if recipe.dead_pixels or recipe.hot_pixels:
        own = not any(
            np.may_share_memory(*arrays)
            for arrays in ((pattern.intensity, given.intensity), (pattern.mask, given.mask))
        )
        pattern, reports = pixels.faulty(pattern, recipe.dead_pixels, recipe.hot_pixels, own=own)
        steps += reports
    if recipe.threshold is not None:
        pattern, report = background.thresholded(pattern, recipe.threshold.least)
        steps.append(report)
    return pattern, origin, steps
