"""Where the Bragg peak of a large measurement lies, and how far its light reaches, from one look at every frame.

The frames are never together in memory. They are summed over the rocking curve, and in groups over blocks of pixels, in
which the peak is looked for as in a measurement that is read whole (`inphase.preprocess.core`). Pixels that do not
measure are left out of both: those that the file names, those with a detector's mark in each of some frames, and hot
ones, which the sums show.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats.frames import READERS, Frame, Frames, copied, shared
from inphase.formats.region import WHOLE, Region, Span, Surveyed, parsed
from inphase.formats.scan import FileReading, Limits
from inphase.formats.scan import admit as admit_array
from inphase.pattern import Domain, MaskState, Pattern
from inphase.preprocess import background, lost, oversampling, peaks, pixels
from inphase.preprocess.blocks import block_sums
from inphase.preprocess.core import around, core
from inphase.preprocess.marks import COUNTER_ENDS, LEAST_FRAMES, LEAST_MARK
from inphase.preprocess.reach import reach
from inphase.preprocess.recipe import HotPixels
from inphase.sizes import in_words

MOST_VOXELS: Final = 2**25  # of a region that nobody asked for: its image on the finest grid takes 2 GiB
SAMPLES: Final = 12  # frames that tell which pixels do not measure
SIDE: Final = 8  # pixels of a block
GROUP: Final = 8  # frames that are summed in blocks
BAND: Final = 16 * SIDE  # rows that are worked on together: with their sums they fit into a core's cache
MARGIN: Final = 1.25  # times the reach, which is one of the planes of all frames: of the region's own it is longer
EDGE: Final = 16  # pixels on either side beyond that
LEAST_HALF: Final = 64  # pixels on either side of the peak
MOST_TIMES: Final = 4  # the bound on an array, that a measurement may hold of which a region is found
SUMS_BYTES: Final = 40  # a pixel, beside what each reader holds: sums, and what is made of them
PER_BLOCK: Final = 10  # a block of a group
GRID: Final = 64  # voxels along each axis of the first grid, which is binned to `LEAST_SAMPLED` voxels a fringe
LEAST_SAMPLED: Final = 2.3
NEAR: Final = 128  # pixels around the peak in which its fringes are measured
SIGNIFICANT: Final = 5.0  # standard deviations of a block's counts
PEAKS: Final = 4  # that are looked at, until one lies outside of the region

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Taken:
    """What was read. array: (n, rows, columns). region: None where that is all of every frame. blank: the frames that
    were never written.
    """

    array: NDArray[np.generic]
    region: Region | None
    blank: list[int]


def read(frames: Frames, request: FileReading, bad: Callable[[], Flags | None] = lambda: None) -> Taken:
    """The frames in one array; of a large measurement, or where it is asked for, a region of every one.

    bad: asked for the pixels that do not measure. Raises DataError, TooLargeError before allocating.
    """
    where, shape, limits = str(request.path), frames.shape, request.limits
    if wanted(request, shape):
        admit(shape, frames.dtype, where, limits)
        region: Region | None = found(frames, unmeasured(request, shape, bad()))
    else:
        region = asked(request, shape)
    if region is None:
        array = np.empty(admit_array(shape, frames.dtype, where, limits), frames.dtype)
        return Taken(array, None, copied(frames, array, slice(0, shape[1]), slice(0, shape[2])))
    part = admit_array(region.shape_of(shape), frames.dtype, where, replace(limits, kept=None))
    array = np.empty(part, frames.dtype)
    return Taken(array, region, copied(frames, array, slice(*region.rows), slice(*region.columns)))


def unmeasured(request: FileReading, shape: tuple[int, ...], bad: Flags | None) -> Flags | None:
    """(rows, columns): the pixels that the file (`bad`), caller and beamline name as not measuring, where they have the
    shape of the frames: else the reader says so. None where there are none.
    """
    named = [each for each in (bad, request.unmeasured(shape)) if each is not None and each.shape == shape[-2:]]
    return np.logical_or.reduce(named) if named else None


def asked(request: FileReading, shape: tuple[int, ...]) -> Region | None:
    """The region that somebody asked for, of a measurement of that shape. Raises DataError."""
    text = request.reading.region
    return None if text is None or text == WHOLE else parsed(text, shape[-2:])


def wanted(request: FileReading, shape: tuple[int, ...]) -> bool:
    """Whether the region is to be found: of a rocking curve that is large, and of which nobody asked for another."""
    curve = len(shape) == 3 and shape[0] > 1 and request.domain is Domain.COUNTS
    return curve and request.reading.region is None and math.prod(shape) > request.limits.whole_voxels


def kept(request: FileReading, shape: tuple[int, ...]) -> int:
    """How many voxels of a measurement of that shape are worked on."""
    if (region := asked(request, shape)) is not None:
        return math.prod(region.shape_of(shape))
    return min(MOST_VOXELS, math.prod(shape)) if wanted(request, shape) else math.prod(shape)


def admit(shape: tuple[int, ...], dtype: np.dtype[Any], where: str, limits: Limits) -> None:
    """Checks a measurement that is looked at frame by frame, and declares what that takes. Raises as `scan.admit`."""
    frames, rows, columns = admit_array(shape, dtype, where, replace(limits, max_bytes=2**63, declared=None))
    whole = math.prod(shape) * dtype.itemsize
    if whole > MOST_TIMES * limits.max_bytes:
        raise TooLargeError(
            f"{where}: declares {shape} of {dtype}, {in_words(whole)}, above the limit of {in_words(limits.max_bytes)},"
            f" and {MOST_TIMES} times as much would take too long to look for the peak in: name the rows and columns "
            "around it (region=), or raise the limit"
        )
    if limits.declared is not None:
        blocks = -(-frames // GROUP) * -(-rows // SIDE) * -(-columns // SIDE)
        per_pixel = READERS * (2 * dtype.itemsize + 8) + SUMS_BYTES
        looking = rows * columns * per_pixel + PER_BLOCK * blocks
        limits.declared(MOST_VOXELS, looking + MOST_VOXELS * dtype.itemsize)


def found(frames: Frames, bad: Flags | None = None) -> Region:
    """The region around the brightest peak. bad: (rows, columns) pixels that do not measure, as far as they are known.

    Raises DataError where no frame holds a count.
    """
    good = _measuring(frames, bad)
    sums = _Sums.of(frames, good)
    image, late = _image(sums.total, good)
    blocks = sums.blocks
    _take_away(blocks, np.where(late, sums.total, 0.0))
    if not blocks.any():
        raise DataError(f"none of the {frames.shape[0]} frames of {frames.shape[1:]} pixels holds a count")
    peak = _middle(np.unravel_index(int(blocks.argmax()), blocks.shape), frames.shape)
    level = background.estimate(image)
    spans, reaches = _spans(image, peak, level, frames.shape[0])
    region = Region(*spans, (frames.shape[1], frames.shape[2]))
    second = _second(blocks, image, peak, region)
    light, counts = _shares(image, level, region)
    place = None if second is None else _middle(second.voxel, frames.shape, (GROUP, 2 * SIDE, 2 * SIDE))
    share = 0.0 if second is None else second.share
    return replace(region, surveyed=Surveyed(peak, light, counts, place, share, reaches))


@dataclass(frozen=True)
class _Sums:
    """total: (rows, columns) float64, over all frames. blocks: (groups, rows, columns) float32, of SIDE x SIDE pixels
    over GROUP frames. Both without pixels that do not measure.
    """

    total: NDArray[np.float64]
    blocks: NDArray[np.float32]

    @classmethod
    def of(cls, frames: Frames, good: Flags) -> "_Sums":
        count, rows, columns = frames.shape
        blocks = np.zeros((-(-count // GROUP), -(-rows // SIDE), -(-columns // SIDE)), np.float32)
        keep = good.astype(_summing(frames.dtype))

        def work(groups: range) -> NDArray[np.float64]:
            total = np.zeros((rows, columns))
            band = _Band(keep, total, frames.dtype)
            for group in groups:
                numbers = range(group * GROUP, min((group + 1) * GROUP, count))
                opened = [frame for frame in map(frames.open, numbers) if frame is not None]
                for first in range(0, rows, BAND):
                    end = min(first + BAND, rows)
                    place = blocks[group, first // SIDE : -(-end // SIDE)]
                    band.add(opened, first, end, place)
            return total

        totals = shared(work, len(blocks))
        return cls(sum(totals[1:], totals[0]), blocks)


class _Band:
    """The same few rows of the frames of a group, which stay in the processor's cache until they are summed.

    They are added up in their own type for as long as it holds their sum: a quarter of the time of a wider one.
    """

    def __init__(self, keep: NDArray[Any], total: NDArray[np.float64], dtype: np.dtype[Any]) -> None:
        rows, columns = keep.shape
        self._keep, self._total, self._end = keep, total, _top(dtype)
        self._scratch = np.empty(rows * columns, dtype)
        self._counts = np.empty((BAND, columns), keep.dtype)
        self._sum = np.zeros((BAND, -(-columns // SIDE) * SIDE), keep.dtype)
        self._most = _top(keep.dtype)

    def add(self, frames: list[Frame], first: int, end: int, blocks: NDArray[np.float32]) -> None:
        """Rows `first` to `end` of some frames, into the sums over their blocks and over all frames."""
        counts, held = self._counts[: end - first], 0.0
        summed = self._sum[: end - first, : counts.shape[1]]
        for frame in frames:
            np.multiply(_unsigned(frame.rows(first, end, self._scratch)), self._keep[first:end], out=counts)
            largest = float(counts.max())
            if largest >= self._end:  # full for a moment
                counts[counts >= self._end] = 0
                largest = float(counts.max())
            if held + largest > self._most:
                self._hand_over(first, end, blocks)
                held = 0.0
            np.add(summed, counts, out=summed)
            held += largest
        if held:
            self._hand_over(first, end, blocks)

    def _hand_over(self, first: int, end: int, blocks: NDArray[np.float32]) -> None:
        rows = self._sum[: len(blocks) * SIDE]
        bands = rows.reshape(len(blocks), SIDE, -1).sum(axis=1, dtype=np.float32)
        blocks += bands.reshape(len(blocks), -1, SIDE).sum(axis=2)
        self._total[first:end] += self._sum[: end - first, : self._total.shape[1]]
        rows[...] = 0


def _top(dtype: np.dtype[Any]) -> float:
    """What a counter of this type holds where it is full, or does not measure."""
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else math.inf


def _summing(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "f":
        return np.promote_types(dtype, np.float32)  # half of that holds no sums
    return dtype if dtype.kind == "u" else np.dtype(f"u{dtype.itemsize}")


def _unsigned(rows: NDArray[Any]) -> NDArray[Any]:
    """As counts, in which what is negative, infinite or no number has become 0."""
    if rows.dtype.kind == "u":
        return rows
    if rows.dtype.kind == "f":
        return np.where(np.isfinite(rows) & (rows > 0), rows, rows.dtype.type(0)).astype(_summing(rows.dtype))
    positive: NDArray[Any] = np.maximum(rows, rows.dtype.type(0))
    return positive.view(_summing(rows.dtype))


def _measuring(frames: Frames, bad: Flags | None) -> Flags:
    """(rows, columns): pixels that are not `bad`, nor marked in each of some frames, nor hot in their sum."""
    count, *sides = frames.shape
    good = np.ones(sides, bool) if bad is None else ~bad
    first, same, seen = np.zeros(sides, frames.dtype), np.ones(sides, bool), 0
    scratch = np.empty(math.prod(sides), frames.dtype)
    total = np.zeros(sides)
    for number in np.unique(np.linspace(0, count - 1, SAMPLES).astype(int)):
        opened = frames.open(int(number))
        if opened is None:
            continue
        for begin in range(0, sides[0], BAND):
            band = slice(begin, min(begin + BAND, sides[0]))
            rows = opened.rows(band.start, band.stop, scratch)
            if not seen:
                first[band] = rows
            same[band] &= rows == first[band]
            total[band] += _unsigned(rows)
        seen += 1
    if seen >= LEAST_FRAMES:
        marked = np.flatnonzero(same & (first >= LEAST_MARK))
        good.reshape(-1)[marked[np.isin(first.reshape(-1)[marked], COUNTER_ENDS)]] = False
    return good & ~_hot(total, good)


def _hot(total: NDArray[np.float64], good: Flags) -> Flags:
    """Pixels of a sum of frames that are brighter than their neighbours allow."""
    cleaned, _ = pixels.faulty(_pattern(total, good), None, HotPixels(), own=True)
    hot: Flags = good & (cleaned.mask != MaskState.VALID)
    return hot


def _pattern(total: NDArray[np.float64], good: Flags) -> Pattern:
    mask = np.where(good, np.uint8(MaskState.VALID), np.uint8(MaskState.MASKED))
    return Pattern(np.where(good, total, 0.0).astype(np.float32), mask)


def _image(total: NDArray[np.float64], good: Flags) -> tuple[Pattern, Flags]:
    """The sum of all frames, and the pixels that only it shows to be hot: they were so in a few frames."""
    late = _hot(total, good)
    return _pattern(total, good & ~late), late


def _take_away(blocks: NDArray[np.float32], counts: NDArray[np.float64]) -> None:
    """The counts of some pixels (rows, columns), from their blocks of every group: nobody knows which one had them."""
    if counts.any():
        np.maximum(blocks - block_sums(counts, (SIDE, SIDE)), 0.0, out=blocks)


def _middle(
    block: tuple[Any, ...], shape: tuple[int, ...], sides: tuple[int, ...] = (GROUP, SIDE, SIDE)
) -> tuple[int, int, int]:
    """The voxel in the middle of a block."""
    frame, row, column = (
        min(int(index) * side + side // 2, most - 1) for index, side, most in zip(block, sides, shape, strict=True)
    )
    return frame, row, column


def _spans(image: Pattern, peak: tuple[int, int, int], level: float, frames: int) -> tuple[tuple[Span, Span], bool]:
    """Rows and columns around the peak, as far as its light reaches and the first grid needs, and whether it reaches
    farther than memory allows.
    """
    spot = peak[1:]
    near = lost.cut(image, list(around(spot, (NEAR, NEAR), image.shape))).pattern
    sampled = oversampling.measure(core(near, level)).sigma
    halves = [
        max(LEAST_HALF, math.ceil(MARGIN * far) + EDGE, GRID // 2 * math.ceil(sigma / LEAST_SAMPLED) + EDGE)
        for far, sigma in zip(reach(image, spot, level), sampled, strict=True)
    ]
    halves = [min(half, max(at, side - at)) for half, at, side in zip(halves, spot, image.shape, strict=True)]
    most = MOST_VOXELS / frames
    shrunk = min(1.0, math.sqrt(most / math.prod(_end - first for first, _end in _around(spot, halves, image.shape))))
    bounded = [max(LEAST_HALF, math.floor(shrunk * half) - SIDE) for half in halves] if shrunk < 1 else halves
    rows, columns = _around(spot, bounded, image.shape)
    while _pixels(rows, columns) > most and max(bounded) > SIDE:  # the least half of many frames is too much
        bounded[int(np.argmax(bounded))] -= SIDE
        rows, columns = _around(spot, bounded, image.shape)
    return (rows, columns), shrunk < 1


def _pixels(rows: Span, columns: Span) -> int:
    return (rows[1] - rows[0]) * (columns[1] - columns[0])


def _around(spot: tuple[int, ...], halves: list[int], sides: tuple[int, ...]) -> list[Span]:
    """Spans about a pixel, inside the frame, that begin and end with a block."""
    return [
        (max(0, at - half) // SIDE * SIDE, min(side, -(-(at + half) // SIDE) * SIDE))
        for at, half, side in zip(spot, halves, sides, strict=True)
    ]


def _second(
    blocks: NDArray[np.float32], image: Pattern, peak: tuple[int, int, int], region: Region
) -> peaks.SecondPeak | None:
    """The brightest other peak outside of the region, its voxel one of the blocks, four of which are one here."""
    coarse = block_sums(blocks, (1, 2, 2))
    known = block_sums(image.valid.astype(np.float32), (2 * SIDE, 2 * SIDE)) > (2 * SIDE) ** 2 / 2
    mask = np.where(known, np.uint8(MaskState.VALID), np.uint8(MaskState.MASKED))
    pattern = Pattern(np.where(known, coarse, np.float32(0.0)), np.broadcast_to(mask, coarse.shape).copy())
    if not known.any():
        return None
    spot = tuple(at // side for at, side in zip(peak, (GROUP, 2 * SIDE, 2 * SIDE), strict=True))
    level = float(np.median(coarse[:, known]))
    sigma = (1.0, 1.0, 1.0)
    for _ in range(PEAKS):
        second = peaks.second(pattern, spot, sigma, level)
        if second is None:
            return None
        _, row, column = (at * 2 * SIDE + SIDE for at in second.voxel)
        inside = region.rows[0] <= row < region.rows[1] and region.columns[0] <= column < region.columns[1]
        if not inside:
            return second
        away = sum(
            (axis - at) ** 2 for axis, at in zip(np.ogrid[tuple(map(slice, coarse.shape))], second.voxel, strict=True)
        )
        pattern = pixels.masked(pattern, np.asarray(away <= peaks.ALIEN**2))
    return None


def _shares(image: Pattern, level: float, region: Region) -> tuple[float, float]:
    """Of the light above the background, and of all counts, that lie in the region.

    Outside only blocks count whose light is certain: of a wide detector the uncertain background outweighs it.
    """
    counts, known = (block_sums(part, (SIDE, SIDE)) for part in (image.intensity, image.valid.astype(np.float32)))
    rows, columns = (slice(first // SIDE, -(-end // SIDE)) for first, end in (region.rows, region.columns))
    outside = np.ones(counts.shape, bool)
    outside[rows, columns] = False
    measured = outside & (known > 0)
    around_ = float(np.median(counts[measured] / known[measured])) if measured.any() else level
    excess = counts - np.float32(around_) * known
    certain = outside & (excess > SIGNIFICANT * np.sqrt(np.maximum(counts, 1.0)))
    inner = max(float((counts - np.float32(level) * known)[~outside].sum(dtype=np.float64)), 0.0)
    outer = float(excess[certain].sum(dtype=np.float64))
    total = image.total
    return inner / (inner + outer) if inner + outer > 0 else 0.0, float(
        region.of(image.intensity).sum(dtype=np.float64)
    ) / total
