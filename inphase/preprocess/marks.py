"""Values by which an array says that something was not measured:
frames filled with one value, marks of pixels, a counter's end.

A file rarely names its marks, and the type of an array tells them only where nobody has converted it: the 65535 of a
16-bit detector also stands in uint32, int32 and float. What no light can do gives them away: one value in a whole
frame, or the end of a counter in a pixel in every frame.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase import slabs

SENTINEL = float(2**32 - 1)  # what 32-bit detectors write where they do not measure, also in wider types
COUNTER_ENDS = np.unique([kind(2**n - 1) for n in range(8, 65) for kind in (float, np.float32)]).astype(float)
LEAST_MARK = float(COUNTER_ENDS[0])
LEAST_END = 2.0**10 - 1  # of a counter that is recognised without a pixel that marks with it: 255 counts are common
WRAPPING = (2.0**16 - 1, 2.0**32 - 1)  # ends of the types in which a count below zero becomes a large one
NEAR_END = 256.0  # counts
DARK = 1 / 16  # of a counter: the neighbours of a voxel near its end have more, if light brought it there
LEAST_WRAPPED = 10  # voxels
SPARSE = 8  # every eighth row and column tells most frames from filled ones
FEW = 64  # voxels of those, whose median would be the fill value
LEAST_FRAMES = 8  # in which one value is no chance

Array = NDArray[Any]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Marks:
    """frames: (n0,) bool, filled with one value. counting: (n0,) bool, neither filled nor zero throughout.
    pixels: (n1, n2) bool, at one impossible value in every counting frame. values: those values.
    """

    frames: Flags
    counting: Flags
    pixels: Flags
    values: tuple[float, ...]

    @property
    def any(self) -> bool:
        """Whether something is marked."""
        return bool(self.frames.any() or self.pixels.any())

    @property
    def voxels(self) -> Flags:
        """(n0, n1, n2): what is marked."""
        marked: Flags = self.frames[:, None, None] | self.pixels
        return marked


@dataclass(frozen=True)
class Ends:
    """at_end: (n0, n1, n2) bool, voxels at a counter's end. wrapped: the same, voxels that hold a count below zero
    without its sign; None where there are none.
    """

    at_end: Flags | None = None
    wrapped: Flags | None = None


def find(data: Array, high: float) -> Marks:
    """Filled frames and marked pixels of an array (n0, n1, n2) of real numbers. high: its largest value, NaN if any is.

    A mark of pixels is 2^n - 1 from 255 on, the type's maximum, or a value above everything that other pixels hold.
    """
    frames, silent = _filled(data)
    if (frames | silent).all():  # nothing is left to compare with
        frames, silent = np.zeros_like(frames), np.zeros_like(silent)
    counting = ~(frames | silent)
    pixels, values = np.zeros(data.shape[1:], bool), np.empty(0)
    if not high < LEAST_MARK and np.count_nonzero(counting) >= LEAST_FRAMES:
        pixels, values = _constant(data, counting)
    return Marks(frames, counting, pixels, tuple(float(value) for value in np.unique(values)))


def counter_end(dtype: np.dtype[Any]) -> float:
    """The largest value that a counter of this type can hold: 2^32 - 1 in wider ones, and in floating ones."""
    return SENTINEL if dtype.kind == "f" or dtype.itemsize > 4 else float(np.iinfo(dtype).max)


def ends(data: Array, unknown: Flags | None, marks: Marks, high: float) -> Ends:
    """Voxels of counts at a counter's end. unknown: what is masked already (same shape). high: the largest value.

    The end is the maximum of a type of 16 or 32 bits, 2^32 - 1 in wider ones; and 2^n - 1 where nothing else lies above
    it, if pixels are marked with it or more than one voxel has it. Voxels near the end of 16 or 32 bits that lie in the
    dark are counts below zero that lost their sign.
    """
    if data.dtype.itemsize == 1 or high < LEAST_END:  # 255 counts are common
        return Ends()
    own = counter_end(data.dtype)
    known = None if unknown is None else ~unknown
    top = rest = high if known is None else _largest(data, known)
    at_end: Flags | None = None
    if top >= own:
        at_end = _both(data >= own, known)
        rest = _largest(data, _both(~at_end, known))
    if rest in marks.values or (rest >= LEAST_END and rest in COUNTER_ENDS and np.count_nonzero(data == rest) > 1):
        same = _both(data == rest, known)
        at_end = same if at_end is None else at_end | same
    for end in WRAPPING:
        if end - NEAR_END <= top <= end + 1:  # float32 rounds 2^32 - 1 up
            return Ends(at_end, _wrapped(data, known, end))
    return Ends(at_end)


def _largest(data: Array, known: Flags) -> float:
    """The largest value of known voxels, and no less than 0."""
    return float(max(0, *slabs.over_planes(lambda slab: np.where(known[slab], data[slab], 0).max(), data)))


def _both(these: Flags, known: Flags | None) -> Flags:
    return these if known is None else these & known


def _filled(data: Array) -> tuple[Flags, Flags]:
    """Frames that hold one value but for marks: a fill value, and zero."""
    sample = data[:, ::SPARSE, ::SPARSE].reshape(len(data), -1)
    few = np.sort(sample[:, :: max(1, sample.shape[1] // FEW)], axis=1)
    value = few[:, few.shape[1] // 2]
    alike = _alike(sample, value[:, None])
    varied = (~alike & (sample >= 0) & (sample < LEAST_MARK)).any(axis=1)
    candidates = np.flatnonzero(~varied & (alike.mean(axis=1) > 0.5))
    filled, silent = np.zeros(len(data), bool), np.zeros(len(data), bool)
    counts = sample[varied]
    floor = float(counts[counts >= 0].min()) if counts.size else np.inf  # a pedestal under all frames is no fill value
    for frame in candidates:
        if not 0 < value[frame] == floor and _one_value(data[frame], value[frame]):
            (silent if value[frame] == 0 else filled)[frame] = True
    return filled, silent


def _one_value(part: Array, value: np.generic) -> bool:
    """Whether `part` holds `value` and, beside it, marks of pixels alone."""
    other = part[~_alike(part, value)]
    return other.size == 0 or bool((~(other >= 0) | np.isin(other, COUNTER_ENDS)).all())


def _alike(part: Array, value: Array | np.generic) -> Flags:
    same: Flags = (part == value) | ((part != part) & (value != value))  # NaN is like NaN
    return same


def _constant(data: Array, counting: Flags) -> tuple[Flags, NDArray[np.float64]]:
    """Pixels (n1, n2) at one impossible value in every counting frame, and the value of each."""
    frames = np.flatnonzero(counting)
    first, middle, last = (data[frames[k]].reshape(-1) for k in (0, frames.size // 2, -1))
    same = (first == middle) & (first == last)
    marked = np.zeros(first.size, bool)
    if same.all():  # no rocking curve: every pixel would be a mark
        return marked.reshape(data.shape[1:]), np.empty(0)
    pixels = np.flatnonzero(same & (first >= LEAST_MARK))
    lines = data.reshape(len(data), -1)
    for frame in frames:
        pixels = pixels[lines[frame, pixels] == first[pixels]]
    values = first[pixels].astype(np.float64)
    impossible = np.isin(values, COUNTER_ENDS)
    if not impossible.all():
        varying = np.ones(first.size, bool)
        varying[pixels] = False
        impossible |= values > float(lines.max(initial=0, where=varying & (lines == lines)))
    marked[pixels[impossible]] = True
    return marked.reshape(data.shape[1:]), values[impossible]


def _wrapped(data: Array, known: Flags | None, end: float) -> Flags | None:
    """Voxels in the upper half of the counter that lie in the dark, where most of those near its end do;
    None where they do not.
    """
    near = np.flatnonzero(_both(data >= end - NEAR_END, known))
    if near.size < LEAST_WRAPPED or _in_the_dark(data, near, DARK * end).mean() <= 0.5:
        return None
    upper = np.flatnonzero(_both(data >= end / 2, known))
    wrapped = np.zeros(data.shape, bool)
    wrapped.reshape(-1)[upper[_in_the_dark(data, upper, DARK * end)]] = True
    wrapped.reshape(-1)[near] = True
    return wrapped


def _in_the_dark(data: Array, index: NDArray[np.intp], limit: float) -> Flags:
    """Whether a neighbour in the row of each voxel (flat index) is below `limit`."""
    flat, columns = data.reshape(-1), data.shape[-1]
    column = index % columns
    left = (column > 0) & (flat.take(index - 1, mode="clip") < limit)
    right = (column < columns - 1) & (flat.take(index + 1, mode="clip") < limit)
    dark: Flags = left | right
    return dark
