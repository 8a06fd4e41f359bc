"""Unknown voxels filled for measuring only: no filled value enters a result, but as the small rest of a bin.

Every hole first takes the Gaussian mean of its neighbours in the frame. Then it is filled by what sampling allows: the
pattern is oversampled, so along every axis its autocorrelation is empty beyond 1 / sigma of the box. The filled values
are those that leave the least there (Papoulis 1975, solved directly; Tikhonov term towards the first value), with the
narrowest band that explains the measured values. Each hole is filled along the axis on which it is narrowest, in units
of that band: a lost frame from the frames beside it, a gap between modules from both sides. Four voxels across the peak
of a crystal with sigma 2.5 to 6 come back to within 4 %.

A compact hole that is much wider along every axis, such as the saturated core of a peak, is no matter of sampling any
more: it keeps the Gaussian mean. On a simulated crystal whose central fringe is saturated sigma is found within 8 % so,
and within 45 % with a dome fitted to the shell around the hole.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from inphase import slabs
from inphase.pattern import as_frames

FILL = 2.0  # voxels, Gaussian
FILL_REACH = 6  # voxels: where it ends
WIDEST = 0.25  # share of an axis that a hole may take and still be filled from the band
HARDEST = 2.2  # of a hole's width times the band's half-width: beyond it the values would be invented
COMPACT = 0.5  # of every axis: a hole that reaches farther is a gap, or a frame
BANDS = np.geomspace(1 / 15, 0.46, 32)  # of the box: the half-widths 1 / sigma that are tried
WIDENED = 1.05  # of the band found: its edge is where the autocorrelation's tip disappears
OUTSIDE = 1e-4  # of the energy: what tips and a cut-off pattern leave outside the band
PRIOR = 1e-4  # least weight of the first value; more where noise would be amplified
NEAR = 8  # voxels around the peak: the lines that decide the band
WHOLE = 0.5  # of their light in lines without a hole is enough; dim lines alone would make the band too narrow
RUN = 16  # frames that are bridged together
PASSES = 3  # what was filled along one axis helps along another

Volume = NDArray[np.float32]
Lines = NDArray[np.float64]  # (voxels, lines)


@dataclass(frozen=True)
class _Band:
    """What the lines along an axis are made of. half_width: 1 / sigma of the box. prior: weight of the first value."""

    half_width: float
    prior: float


@dataclass(frozen=True)
class _Solution:
    """Values (groups, voxels, lines) of the unknown voxels `gaps` (groups, voxels) of `members` (groups, lines)."""

    gaps: NDArray[np.intp]
    members: NDArray[np.intp]
    values: Lines

    @property
    def where(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where they lie in (n, lines)."""
        return self.gaps[:, :, None], self.members[:, None, :]


def filled(intensity: Volume, valid: NDArray[np.bool_], peak: tuple[int, ...], poisson: bool) -> Volume:
    """`intensity` (N, ...) with a value in every voxel that is not valid. peak: its brightest spot, roughly."""
    full, known = _bridged(intensity, valid), valid.copy()
    bands: dict[int, _Band] = {}

    def band_of(axis: int) -> _Band:
        if axis not in bands:
            bands[axis] = _band(full, known, axis, peak, poisson)
        return bands[axis]

    _leave_cores(known, band_of)
    for _ in range(PASSES):
        holes = np.flatnonzero(~known)
        hardness = np.full((known.ndim, holes.size), np.inf)
        for axis, n in enumerate(known.shape):
            width = _widths(holes, known.shape, axis)
            narrow = width <= WIDEST * n
            if narrow.any():
                hardness[axis, narrow] = band_of(axis).half_width * width[narrow]
        easiest = np.where(np.isfinite(hardness).any(axis=0), hardness.argmin(axis=0), -1)
        chosen = {axis: holes[easiest == axis] for axis in bands}
        values = {axis: _along(full, known, axis, where, bands[axis]) for axis, where in chosen.items() if where.size}
        for axis, value in values.items():
            full.reshape(-1)[chosen[axis]] = value
            known.reshape(-1)[chosen[axis]] = True
        if not values or known.all():
            break
    return full


def _leave_cores(known: NDArray[np.bool_], band_of: Callable[[int], _Band]) -> None:
    """Call the compact holes known that are too wide along all axes: they keep the values that bridge them."""
    for box, hole in _thick(~known):
        if any(side > COMPACT * n for side, n in zip(hole.shape, known.shape, strict=True)):
            continue
        if min(band_of(axis).half_width * side for axis, side in enumerate(hole.shape)) > HARDEST:
            known[box] |= hole


def _thick(holes: NDArray[np.bool_]) -> Iterator[tuple[tuple[slice, ...], NDArray[np.bool_]]]:
    """Each hole that is wider than two voxels along every axis, with the box that it lies in.

    What hangs together throws a shadow on the detector that hangs together: most shadows are too narrow, and a volume
    need not be searched for their holes.
    """
    if holes.ndim == 2:
        yield from _pieces(holes)
        return
    through = np.asarray(holes.all(axis=0))
    for spot, shadow in _pieces(np.asarray(holes.any(axis=0))):
        below = holes[(slice(None), *spot)] & shadow
        if through[spot][shadow].all():  # one that goes through all frames need not be searched for
            yield (slice(0, len(holes)), *spot), below
            continue
        for (frames, *inside), hole in _pieces(below):
            yield (
                (frames, *(slice(a.start + b.start, a.start + b.stop) for a, b in zip(spot, inside, strict=True))),
                hole,
            )


def _pieces(holes: NDArray[np.bool_]) -> Iterator[tuple[tuple[slice, ...], NDArray[np.bool_]]]:
    """Each of them that hangs together, over edges and corners too, and is wider than two voxels along every axis."""
    labels, _ = ndimage.label(holes, ndimage.generate_binary_structure(holes.ndim, holes.ndim))
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if min(part.stop - part.start for part in box) > 2:
            yield box, labels[box] == number


def _bridged(intensity: Volume, valid: NDArray[np.bool_]) -> Volume:
    """Holes filled with the Gaussian mean of the valid voxels of their frame; computed for pixels that are holes."""
    bridged = intensity.copy()
    frames, known = as_frames(bridged), as_frames(valid)
    slabs.over_planes(lambda slab: _bridge(frames[slab], known[slab]), frames, RUN)
    return bridged


def _bridge(frames: Volume, known: NDArray[np.bool_]) -> None:
    """The same in place. What a pixel holds in several frames lies side by side: a gap goes through all of them."""
    hole = ~known.all(axis=0)
    row, column = np.nonzero(hole)
    if not row.size:
        return
    width, reach = hole.shape[1] + 2 * FILL_REACH, range(-FILL_REACH, FILL_REACH + 1)
    counts, weight = (_by_pixel(volume) for volume in (np.where(known, frames, np.float32(0.0)), known))
    some = max(1, slabs.SLAB // (4 * len(frames)))  # pixels that stay in the cache
    for first in range(0, row.size, some):
        part = slice(first, first + some)
        index = (row[part] + FILL_REACH) * width + column[part] + FILL_REACH
        spread, share, near = (np.full((index.size, len(frames)), start, np.float32) for start in (0.0, 1e-6, 0.0))
        for down, right in product(reach, reach):
            at, factor = index + (down * width + right), np.float32(np.exp(-(down**2 + right**2) / (2 * FILL**2)))
            for volume, total in ((counts, spread), (weight, share)):
                volume.take(at, axis=0, out=near, mode="clip")
                np.multiply(near, factor, out=near)
                total += near
        spread /= share
        pixels = frames[:, row[part], column[part]]
        frames[:, row[part], column[part]] = np.where(known[:, row[part], column[part]], pixels, spread.T)


def _by_pixel(frames: NDArray[Any]) -> NDArray[np.float32]:
    """(pixels, frames) float32, C-ordered, with FILL_REACH rows and columns of zeros around the frames."""
    images, rows, columns = frames.shape
    pixels = np.zeros((rows + 2 * FILL_REACH, columns + 2 * FILL_REACH, images), np.float32)
    pixels[FILL_REACH:-FILL_REACH, FILL_REACH:-FILL_REACH] = np.moveaxis(frames, 0, -1)
    return pixels.reshape(-1, images)


def _widths(holes: NDArray[np.intp], shape: tuple[int, ...], axis: int) -> NDArray[np.intp]:
    """Voxels along `axis` of the run of holes that each hole (flat index) lies in;
    of one that ends at the border, the axis.
    """
    n = shape[axis]
    line, position = _on_lines(holes, shape, axis)
    key = line * n + position
    order = np.argsort(key, kind="stable")
    key = key[order]
    start = np.flatnonzero((np.diff(key, prepend=-2) != 1) | (key % n == 0))
    length = np.diff(np.append(start, key.size))
    begin = key[start] % n
    run = np.repeat(np.arange(start.size), length)
    width = np.where((begin == 0) | (begin + length == n), n, length)
    widths = np.empty(holes.size, np.intp)
    widths[order] = width[run]
    return widths


def _band(full: Volume, known: NDArray[np.bool_], axis: int, peak: tuple[int, ...], poisson: bool) -> _Band:
    """The narrowest band that explains the lines through the peak."""
    near = tuple(slice(None) if a == axis else slice(max(0, p - NEAR), p + NEAR + 1) for a, p in enumerate(peak))
    lines = _lines(full[near], axis).astype(np.float64)
    measured = _lines(known[near], axis)
    whole = measured.all(axis=0)
    light = np.where(measured, lines, 0.0).sum(axis=0)
    if light[whole].sum() > WHOLE * light.sum():
        lines, measured = lines[:, whole], measured[:, whole]
    counts = lines[measured]
    total, noise = float(np.square(counts).sum()), float(np.maximum(counts, 0).sum()) if poisson else 0.0
    prior = max(PRIOR, noise / total) if total > 0 else PRIOR
    low, high = 0, len(BANDS) - 1  # the energy left outside falls as the band grows
    while low < high:
        middle = (low + high) // 2
        band = float(BANDS[middle])
        left = _energy_outside(_solved(lines, measured, _Band(band, prior)), band)
        low, high = (low, middle) if left < 2 * noise * (1 - 2 * band) + OUTSIDE * total else (middle + 1, high)
    return _Band(min(0.49, WIDENED * float(BANDS[low])), prior)


def _along(
    full: Volume, known: NDArray[np.bool_], axis: int, holes: NDArray[np.intp], band: _Band
) -> NDArray[np.float32]:
    """Values of `holes` (flat indices) from the lines along `axis` that cross them."""
    across, position = _on_lines(holes, full.shape, axis)
    crossed = np.zeros(full.size // full.shape[axis], bool)
    crossed[across] = True
    line = (np.cumsum(crossed) - 1)[across]
    values, measured = (_crossed(volume, crossed, axis) for volume in (full, known))
    full_lines = np.zeros(values.shape, np.float32)
    for solved in _solutions(values, measured, band):
        full_lines[solved.where] = solved.values
    found: NDArray[np.float32] = full_lines[position, line]
    return found


def _crossed(volume: NDArray[Any], crossed: NDArray[np.bool_], axis: int) -> NDArray[Any]:
    """(n, lines): those of `_lines` that are `crossed`."""
    last = np.moveaxis(volume, axis, -1)
    lines: NDArray[Any] = last[crossed.reshape(last.shape[:-1])].T
    return lines


def _on_lines(voxels: NDArray[np.intp], shape: tuple[int, ...], axis: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For flat indices: the line of `_lines` along `axis` that each lies on, and its position there."""
    at = np.unravel_index(voxels, shape)
    others = [a for a in range(len(shape)) if a != axis]
    line = np.ravel_multi_index([at[a] for a in others], [shape[a] for a in others])
    return np.asarray(line, np.intp), np.asarray(at[axis], np.intp)


def _lines(volume: NDArray[Any], axis: int) -> NDArray[Any]:
    """(n, lines): every line of `volume` along `axis`."""
    return np.moveaxis(volume, axis, 0).reshape(volume.shape[axis], -1)


def _solved(lines: Lines, known: NDArray[np.bool_], band: _Band) -> Lines:
    """Lines whose unknown voxels have the values, not below zero, that leave the least energy outside the band."""
    full = lines.copy()
    for solved in _solutions(lines, known, band):
        full[solved.where] = solved.values
    return full


def _solutions(lines: NDArray[np.floating], known: NDArray[np.bool_], band: _Band) -> Iterator[_Solution]:
    """Of all unknown voxels of (n, lines): lines with the same ones share a matrix, matrices of one size are solved
    together.
    """
    projector = _outside(len(lines), band.half_width)
    number = np.count_nonzero(~known, axis=0)
    sizes = defaultdict(list)
    for alike in _alike(known):
        sizes[int(number[alike[0]]), alike.size].append(alike)

    def solve(members: NDArray[np.intp]) -> _Solution:
        gaps = np.nonzero(~known[:, members[:, 0]].T)[1].reshape(len(members), -1)
        inner = projector[gaps[:, :, None], gaps[:, None, :]] + band.prior * np.eye(gaps.shape[1])
        beside = lines.T[members].astype(np.float64)
        unknown = np.arange(len(members))[:, None], slice(None), gaps
        first = beside[unknown]
        beside[unknown] = 0.0
        right = band.prior * first - projector[gaps] @ beside.swapaxes(1, 2)
        return _Solution(gaps, members, np.maximum(np.linalg.solve(inner, right), 0.0))

    def solve_all(groups: NDArray[np.intp], size: int) -> list[_Solution]:
        return slabs.over(lambda part: solve(groups[part]), len(groups), size * len(lines))

    for (size, _), groups in sizes.items():
        if size:
            yield from solve_all(np.stack(groups), size)


def _alike(known: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The columns of (n, lines) in groups of those that are the same."""
    packed = np.ascontiguousarray(np.packbits(known, axis=0).T)
    _, which = np.unique(packed.view(np.dtype((np.void, packed.shape[1]))), return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    return np.split(order, np.cumsum(np.bincount(which.reshape(-1)))[:-1])


def _energy_outside(lines: Lines, band: float) -> float:
    """What lies beyond `band` * n in the Fourier transform of the lines."""
    n = len(lines)
    energy = np.square(np.abs(scipy.fft.rfft(lines, axis=0))).sum(axis=1) * (2.0 / n)
    return float(energy[scipy.fft.rfftfreq(n) > band].sum())


def _outside(n: int, band: float) -> Lines:
    """(n, n) projector onto what lies beyond `band` * n in the Fourier transform of a line."""
    beyond = (np.abs(np.fft.fftfreq(n)) > band).astype(np.float64)
    row = np.fft.ifft(beyond).real
    index = np.arange(n)
    projector: Lines = row[(index[:, None] - index[None, :]) % n]
    return projector
