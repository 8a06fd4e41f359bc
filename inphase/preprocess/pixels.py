"""Voxels that lie: saturated, dead (and gaps between detector modules), hot. They are masked, never repaired."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.pattern import MaskState, Pattern, as_frames
from inphase.preprocess.recipe import DeadPixels, HotPixels
from inphase.preprocess.report import Number, StepReport

T = TypeVar("T", bound=np.generic)

NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]
CROSS = [(0, 1), (0, -1), (1, 0), (-1, 0)]
RING = [(row, column) for row in range(-2, 3) for column in range(-2, 3) if max(abs(row), abs(column)) == 2]
STUCK = 0.25  # of the frames: a pixel hot in more is masked in all of them
CLUSTER_LEAST = 4  # times the counts of a spike
RING_RATIO = 50.0
CROSS_RATIO = 20.0
LEAST_STUCK = 20.0  # counts over the whole scan


def saturated(pattern: Pattern, level: float) -> tuple[Pattern, StepReport]:
    """Mask voxels at or above `level` counts per frame, where the detector no longer counts."""
    full = np.float32(level)  # the counts have been rounded to float32, too
    voxels = 0
    if slabs.largest(pattern.intensity) >= full:
        found = (pattern.intensity >= full) & pattern.valid
        pattern, voxels = masked(pattern, found), int(np.count_nonzero(found))
    return pattern, StepReport("saturation", {"voxels": voxels, "level": level})


def faulty(
    pattern: Pattern, dead: DeadPixels | None, hot: HotPixels | None, *, own: bool = False
) -> tuple[Pattern, list[StepReport]]:
    """Mask dead and hot pixels, where asked, and spikes with the latter; their counts become zero.

    own: the arrays of the pattern are nobody else's, in C order, and are written to.

    Dead are pixels that are zero in every frame although light fell on them. Two signs, both on the sum over frames:
    the nearest counting pixels on both sides (in the row or in the column) hold at least `dead.least` counts each,
    which a working pixel between them would miss with a chance of exp(-least); or a whole row or column is silent
    between lines that hold at least `least`. So a gap of any width is found, and an empty far field is not.

    Hot are single voxels (spikes), small clusters and pixels that are brighter than a crystal can make them. A fringe
    is at least `oversampling` > 2 voxels wide, so next to a voxel of a crystal another one has at least 0.4 of its
    counts. Hot is a voxel of at least `hot.least` counts with more than `hot.ratio` times the counts of all eight
    neighbours in its frame; or one with 50 times the counts of the whole ring at distance two while two of its four
    direct neighbours have less than a twentieth (clusters of two and three pixels). A pixel hot in a quarter of the
    frames, or hot in the sum over frames, is masked in all of them.
    """
    frames = as_frames(pattern.intensity)
    total = _over_rows(lambda rows: frames[:, rows].sum(axis=0), frames)
    reports = []
    silent = stuck = np.zeros(total.shape, bool)
    spikes = np.empty(0, np.intp)
    if dead is not None:
        silent = _dead(pattern, total, dead.least)
        reports.append(StepReport("dead_pixels", {"pixels": int(silent.sum())}))
    if hot is not None:
        spikes, stuck = _hot(frames, total, hot)
        numbers: dict[str, Number] = {"voxels": int(spikes.size), "pixels_in_every_frame": int(stuck.sum())}
        reports.append(StepReport("hot_pixels", numbers))
    if spikes.size or stuck.any():  # silent ones hold nothing
        intensity = pattern.intensity if own else slabs.copied(pattern.intensity)
        intensity.reshape(-1)[spikes] = 0.0
        as_frames(intensity)[:, stuck] = 0.0
        pattern = replace(pattern, intensity=intensity)
    lying = silent | stuck
    if spikes.size or lying.any():
        mask = pattern.mask if own else slabs.copied(pattern.mask)
        known, states = mask.reshape(-1), mask.reshape(len(frames), -1)
        known[spikes[known[spikes] == MaskState.VALID]] = MaskState.MASKED
        pixels = np.flatnonzero(lying)
        states[:, pixels[(states[:, pixels] == MaskState.VALID).any(axis=0)]] = MaskState.MASKED
        pattern = replace(pattern, mask=mask)
    return pattern, reports


def _dead(pattern: Pattern, total: NDArray[np.float32], least: float) -> NDArray[np.bool_]:
    """(rows, columns). total: sum of the frames."""
    frames, states = as_frames(pattern.intensity), as_frames(pattern.mask)
    least_state = _over_rows(lambda rows: states[:, rows].min(axis=0), states)
    measured = least_state == MaskState.VALID  # no state is less
    silent: NDArray[np.bool_] = measured & (total <= 0)
    if pattern.signed and silent.any():  # noise about zero may sum to nothing or less
        silent[silent] = ~frames[:, silent].any(axis=0)
    if not silent.any():
        return silent
    between = np.maximum(_lower_side(total, axis=0), _lower_side(total, axis=1))
    found = silent & (between >= least)
    for axis in (0, 1):
        line = total.sum(axis=1 - axis, dtype=np.float64)
        dark = (
            (silent | ~measured).all(axis=1 - axis) & measured.any(axis=1 - axis) & (_lower_side(line, axis=0) >= least)
        )
        found |= silent & (dark[:, None] if axis == 0 else dark[None, :])
    return found


def _hot(
    frames: NDArray[np.float32], total: NDArray[np.float32], rule: HotPixels
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Spikes, flat indices, and pixels that are hot in every frame, (rows, columns). total: sum of the frames."""
    spikes = _spikes(frames, rule.least, rule.ratio)
    stuck = np.bincount(spikes % total.size, minlength=total.size) > STUCK * len(frames)
    without = _sum_without(spikes, frames, total)
    bright = _brighter(without[0], np.arange(len(total)), LEAST_STUCK, rule.ratio, distance=1)
    stuck[_alone(without, bright, rule.ratio)] = True
    return spikes, stuck.reshape(total.shape)


def masked(pattern: Pattern, where: NDArray[np.bool_]) -> Pattern:
    """The pattern with valid voxels masked at `where` (same shape) and their counts set to zero."""
    mask, intensity = np.empty_like(pattern.mask), np.empty_like(pattern.intensity)
    spots = np.broadcast_to(where, pattern.shape)

    def cover(slab: slice) -> None:
        known = spots[slab] & (pattern.mask[slab] == MaskState.VALID)
        mask[slab] = np.where(known, np.uint8(MaskState.MASKED), pattern.mask[slab])
        intensity[slab] = np.where(known, np.float32(0.0), pattern.intensity[slab])

    slabs.over_planes(cover, mask)
    return replace(pattern, mask=mask, intensity=intensity)


def _over_rows(look: Callable[[slice], NDArray[T]], frames: NDArray[Any]) -> NDArray[T]:
    """(rows, columns): what a look at some rows of all frames (n, rows, columns) finds of their pixels."""
    images, rows, columns = frames.shape
    return np.concatenate(slabs.over(look, rows, images * columns))


def _sum_without(
    found: NDArray[np.intp], frames: NDArray[np.float32], total: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(1, rows, columns): the sum of the frames, which is known, without the voxels `found` (flat indices)."""
    lines = frames.reshape(len(frames), -1)
    frame, pixel = np.divmod(found, lines.shape[1])
    pixels, place = np.unique(pixel, return_inverse=True)
    if not pixels.size:
        return total[None]
    others = lines[:, pixels]
    others[frame, place] = 0.0
    left = total.copy()  # frame after frame, as the others were added
    left.reshape(-1)[pixels] = np.add.accumulate(others, axis=0)[-1]
    return left[None]


def _lower_side(values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """The smaller of the nearest non-zero values on both sides along `axis`; 0 where one side has none."""
    return np.minimum(_nearest_before(values, axis), np.flip(_nearest_before(np.flip(values, axis), axis), axis))


def _nearest_before(values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    index = np.arange(values.shape[axis]).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    last = np.maximum.accumulate(np.where(values > 0, index, -1), axis=axis)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=axis), 0.0)


def _spikes(frames: NDArray[np.float32], least: float, ratio: float) -> NDArray[np.intp]:
    """Flat indices into (n, rows, columns) of spikes and of small clusters, each frame looked at once."""
    cluster = CLUSTER_LEAST * least
    _, rows, columns = frames.shape

    def bright(slab: slice) -> tuple[NDArray[np.intp], ...]:
        lines = frames[slab].reshape(-1, columns)
        top = lines.max(axis=1)
        return tuple(
            _brighter(lines, np.flatnonzero(top >= lowest), lowest, above, distance) + slab.start * rows * columns
            for lowest, above, distance in ((least, ratio, 1), (cluster, RING_RATIO, 2))
        )

    alone, clustered = map(np.concatenate, zip(*slabs.over_planes(bright, frames), strict=True))
    return np.union1d(_alone(frames, alone, ratio), _clustered(frames, clustered))


def _alone(frames: NDArray[np.float32], bright: NDArray[np.intp], ratio: float) -> NDArray[np.intp]:
    """Those of some voxels, flat indices into (n, rows, columns), above `ratio` times all neighbours in their frame."""
    for step in NEIGHBOURS:  # few survive the first of them
        bright = bright[frames.reshape(-1)[bright] > ratio * _beside(frames, bright, step)]
    return bright


def _clustered(frames: NDArray[np.float32], bright: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of some voxels, flat indices, that stand out of the ring at distance two and drop off on two sides."""
    for step in RING:
        bright = bright[frames.reshape(-1)[bright] > RING_RATIO * _beside(frames, bright, step)]
    own = frames.reshape(-1)[bright]
    falls = np.zeros(bright.size, np.intp)
    for step in CROSS:
        falls += CROSS_RATIO * _beside(frames, bright, step) < own
    return bright[falls >= 2]


def _brighter(
    lines: NDArray[np.float32], some: NDArray[np.intp], least: float, ratio: float, distance: int
) -> NDArray[np.intp]:
    """Flat indices of voxels of some lines of at least `least` and above `ratio` times the voxel `distance` columns on:
    in the processor's cache a bright background costs little more than a dark one.
    """
    counts = lines[some]
    bright = counts >= least
    bright[:, :-distance] &= counts[:, :-distance] > np.float32(ratio) * counts[:, distance:]
    row, column = np.nonzero(bright)
    found: NDArray[np.intp] = some[row] * lines.shape[1] + column
    return found


def _beside(frames: NDArray[np.float32], index: NDArray[np.intp], step: tuple[int, int]) -> NDArray[np.float32]:
    """Values at `index` + step in (row, column) of the same frame; 0 outside it."""
    _, rows, columns = frames.shape
    row, column = index // columns % rows + step[0], index % columns + step[1]
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    flat = frames.reshape(-1)
    return np.where(inside, flat.take(index + step[0] * columns + step[1], mode="clip"), np.float32(0.0))
