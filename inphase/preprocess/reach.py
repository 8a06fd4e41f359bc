"""How far a measurement holds more than noise, and the finest grid that this is worth.

Planes across an axis are summed, in bands from the peak outwards. A band holds something where its counts exceed those
of the background by more than noise leaves, and by more than the background may be wrong. The reach is the last band of
an unbroken row of such: beyond it a finer voxel would show noise.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from inphase import slabs
from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern
from inphase.preprocess.centring import Window
from inphase.preprocess.pipeline import Cleaned
from inphase.preprocess.placement import Placement

Grid = Literal["model", "auto", "measured"] | int

SIGNIFICANT = 5.0  # standard deviations of the Poisson noise of a band
WRONG = 0.1  # of the background, by which its estimate may be off
BANDS = 32  # between the peak and the farther end of an axis
FINE = 4.0  # oversampling that a binned final grid keeps: a bin of half a fringe's quarter averages nothing away
GAIN = 1.1  # a window of at least so much more along an axis is worth another refinement
PER_OCTAVE = 8  # lengths of a side, so that scans of one kind come to one grid
RANGE = (64, 2048)  # voxels along an axis that may be asked for


def parsed(text: str) -> Grid:
    """The grid that a caller names. Raises DataError."""
    if text in ("model", "auto", "measured"):
        return text  # type: ignore[return-value]  # one of them
    if text.isascii() and text.isdigit() and RANGE[0] <= int(text) <= RANGE[1]:
        return int(text)
    raise DataError(
        f"grid is model, auto, measured or the most voxels along an axis, {RANGE[0]} to {RANGE[1]}, not {text!r}"
    )


@dataclass(frozen=True)
class Finest:
    """window: the finest grid that is worth climbing to, None where it is the model's. why: in words."""

    window: Window | None
    why: str


def finest(found: Cleaned, model: Placement, asked: Grid) -> Finest:
    """What to climb to from the model grid. Its voxels are whole parts of the model's bins, its window holds theirs.

    Factors of a binning that a caller has named stay, unless the whole measurement is asked for.
    """
    if asked == "model":
        return Finest(None, "as requested")
    if asked == "auto" and len(model.bins) < 3:
        return Finest(None, "a single frame stays on the grid of the model unless another one is asked for")
    bins = (1,) * len(model.bins)
    rule = found.recipe.binning
    if asked != "measured" and rule is not None and rule.factors is not None:
        bins = model.bins
    elif asked != "measured":
        bins = tuple(_bin(b, s) for b, s in zip(model.bins, found.sampled.sigma, strict=True))
    corner = _corner(found, model, bins)
    sizes = found.pattern.shape
    own = tuple(n * b // its for n, b, its in zip(model.shape_out, model.bins, bins, strict=True))
    if asked == "measured":
        halves = tuple(max(at, size - at) for at, size in zip(corner, sizes, strict=True))
        told = "the whole measurement, as requested"
    else:
        counts = reach(found.pattern, tuple(c + b // 2 for c, b in zip(corner, bins, strict=True)), found.level)
        # as wide as the measurement, wherever the peak lies: scans whose peaks drift come to one grid
        halves = tuple(
            min(_stepped(-(-r // b)), -(-size // (2 * b))) for r, b, size in zip(counts, bins, sizes, strict=True)
        )
        told = f"counts stand above noise up to {_text(counts)} voxels from the peak"
        if isinstance(asked, int):
            halves = tuple(min(half, asked // 2) for half in halves)
            told += f", and at most {asked} voxels along an axis were asked for"
    sides = tuple(max(n, 2 * _quick(half)) for n, half in zip(own, halves, strict=True))
    wider = any(side >= GAIN * n for side, n in zip(sides, own, strict=True))
    if not wider and (asked != "measured" or sides == model.shape_out):
        return Finest(None, f"{told}: the grid of the model holds them")
    start = tuple(c - side // 2 * b for c, side, b in zip(corner, sides, bins, strict=True))
    centre = tuple(c + (b - 1) // 2 for c, b in zip(corner, bins, strict=True))
    share = tuple(
        max(0, min(s + n * b, size) - max(s, 0)) / (n * b)
        for s, n, b, size in zip(start, sides, bins, sizes, strict=True)
    )
    return Finest(Window(start, bins, sides, centre, share), told)


def reach(pattern: Pattern, peak: tuple[int, ...], level: float) -> tuple[int, ...]:
    """Along each axis, the distance from the peak below which every plane holds more than noise, in voxels.

    level: flat background in counts per voxel. A band without valid voxels, in a gap of the detector, is passed over.
    """
    found = []
    for n, p, (counts, known) in zip(pattern.shape, peak, _by_plane(pattern), strict=True):
        far = max(p, n - 1 - p)
        band = np.minimum(abs(np.arange(n) - p) * BANDS // (far + 1), BANDS - 1)
        sums, voxels = (np.bincount(band, weights, BANDS).astype(np.float64) for weights in (counts, known))
        found.append(_last(sums, level * voxels, far))
    return tuple(found)


def _by_plane(pattern: Pattern) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Along each axis, the counts and the number of valid voxels of its planes."""
    rank = pattern.mask.ndim - 1
    rest = [tuple(a for a in range(rank) if a != axis) for axis in range(rank)]

    def look(slab: slice) -> list[list[NDArray[np.float64]]]:
        found = []
        for counts, mask in zip(pattern.intensity[slab], pattern.mask[slab], strict=True):
            both = counts.astype(np.float64), (mask == MaskState.VALID).astype(np.float64)  # counts: zero where not
            found.append([np.array([[one.sum() for one in both]]).T, *(_profiles(both, axes) for axes in rest)])
        return found

    planes = [plane for slab in slabs.over_planes(look, pattern.mask) for plane in slab]
    first, *others = zip(*planes, strict=True)
    return [tuple(np.concatenate(first, axis=1)), *(tuple(np.sum(along, axis=0)) for along in others)]


def _profiles(both: tuple[NDArray[np.float64], ...], axes: tuple[int, ...]) -> NDArray[np.float64]:
    return np.array([one.sum(axis=axes) for one in both])


def _last(counts: NDArray[np.float64], background: NDArray[np.float64], far: int) -> int:
    """The end of the row of bands that hold something, in voxels."""
    excess = counts - background
    holds = (excess > SIGNIFICANT * np.sqrt(np.maximum(counts, 1.0))) & (excess > WRONG * background)
    last = 0
    for band in range(BANDS):
        if holds[band]:
            last = band + 1
        elif counts[band] > 0 or background[band] > 0:
            break
    return int(np.ceil(last * (far + 1) / BANDS))


def _bin(model: int, sigma: float) -> int:
    """The largest part of a model bin that leaves an oversampling of FINE."""
    return max(b for b in range(1, model + 1) if model % b == 0 and (b == 1 or sigma / b >= FINE))


def _corner(found: Cleaned, model: Placement, bins: tuple[int, ...]) -> tuple[int, ...]:
    """First voxel, of what is left of the measurement, of the brightest box of `bins` voxels in the model's DC bin."""
    first = tuple(
        o + n // 2 * b - begin
        for o, n, b, begin in zip(model.offset, model.shape_out, model.bins, found.origin, strict=True)
    )
    around = found.surroundings
    inside = tuple(f - s for f, s in zip(first, around.start, strict=True))
    box = around.intensity[tuple(slice(max(0, i), max(0, i) + b) for i, b in zip(inside, model.bins, strict=True))]
    if box.shape != model.bins:
        return first
    for axis, b in enumerate(bins):
        box = np.add.reduceat(box, np.arange(0, box.shape[axis], b), axis=axis)
    brightest = np.unravel_index(int(box.argmax()), box.shape)
    return tuple(f + int(k) * b for f, k, b in zip(first, brightest, bins, strict=True))


def _stepped(half: int) -> int:
    """The next of the lengths that lie an eighth of an octave apart."""
    return int(np.ceil(2 ** (np.ceil(PER_OCTAVE * np.log2(max(half, 1)) - 1e-9) / PER_OCTAVE)))


def _quick(half: int) -> int:
    """The next length that is quick to transform."""
    return int(scipy.fft.next_fast_len(half, real=False))


def _text(numbers: tuple[int, ...]) -> str:
    return " x ".join(str(number) for number in numbers)
