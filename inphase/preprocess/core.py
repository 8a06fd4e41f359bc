"""The surroundings of the Bragg peak with their holes filled, for measuring only: no filled value enters the result.

Isolated holes take the Gaussian mean of their neighbours. Gaps between detector modules are filled by what sampling allows:
the pattern is oversampled, so along the axis across the gap its autocorrelation is empty beyond 1 / sigma of the box.
The filled values are those that leave the least there (Papoulis 1975, solved directly; Tikhonov term towards the Gaussian
mean), with the narrowest band that explains the measured values. Four voxels across the peak of a crystal with sigma 2.5 to
6 come back to within 4 %.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.pattern import Domain, Pattern
from inphase.preprocess.blocks import block_sums

BOX = 128  # voxels around the peak: cropping keeps sigma, and drops the noise of the far field
BLOCK = 4  # voxels: the peak is first looked for in sums over blocks, where noise does not decide
REACH = 12  # voxels around the brightest block within which the peak is refined
SMOOTH = 1.0  # voxels, Gaussian, for the peak
FILL = 2.0  # voxels, Gaussian, for holes
FILL_REACH = 6  # voxels: where it ends
GAP_SHARE = 0.1  # valid share of a row or column of the box at and below which it belongs to a gap
WIDEST = 0.25  # share of an axis that gaps may take and still be filled from the band
BANDS = np.geomspace(1 / 15, 0.46, 32)  # of the box: the half-widths 1 / sigma that are tried
WIDENED = 1.05  # of the band found: its edge is where the autocorrelation's tip disappears
OUTSIDE = 1e-4  # of the energy: what tips and a cut-off pattern leave outside the band
PRIOR = 1e-4  # least weight of the Gaussian mean; more where noise would be amplified
LINES = 1000  # brightest lines across the gap that decide the band


@dataclass(frozen=True)
class Core:
    """Intensity around the peak, background subtracted, without holes.

    intensity: at most BOX^3, float32, may be negative. start: its first voxel in the pattern. peak: voxel of the pattern.
    """

    intensity: NDArray[np.float32]
    start: tuple[int, int, int]
    peak: tuple[int, int, int]


def core(pattern: Pattern, background: float = 0.0) -> Core:
    """The surroundings of the peak of a pattern with flat `background` counts per voxel."""
    rough = find_peak(pattern)
    box = around(rough, (BOX // 2, BOX // 2, BOX // 2), pattern.shape)
    valid = pattern.valid[box]
    intensity = pattern.intensity[box] - np.float32(background)
    start = (box[0].start, box[1].start, box[2].start)
    if valid.all():
        return Core(intensity, start, rough)
    intensity = _bridged(intensity, valid)
    for axis in (1, 2):
        across = np.mean(valid, axis=tuple(a for a in range(3) if a != axis)) <= GAP_SHARE
        if 0 < across.sum() <= WIDEST * across.size:
            intensity = _band_limited(intensity, across, axis, poisson=pattern.domain is Domain.COUNTS)
    near = around(
        (rough[0] - start[0], rough[1] - start[1], rough[2] - start[2]), (REACH, REACH, REACH), intensity.shape
    )
    smooth = ndimage.gaussian_filter(intensity[near], SMOOTH, mode="nearest")
    spot = np.unravel_index(int(smooth.argmax()), smooth.shape)
    a, b, c = (int(i) + part.start + s for i, part, s in zip(spot, near, start, strict=True))
    return Core(intensity, start, (a, b, c))


def find_peak(pattern: Pattern) -> tuple[int, int, int]:
    """Voxel of the brightest spot, on lightly smoothed data; holes are bridged, so that it may lie in one."""
    coarse = block_sums(pattern.intensity, (BLOCK, BLOCK, BLOCK))
    block = np.unravel_index(int(coarse.argmax()), coarse.shape)
    a, b, c = (int(i) * BLOCK + BLOCK // 2 for i in block)
    box = around((a, b, c), (REACH, REACH, REACH), pattern.shape)
    smooth = _smoothed(pattern.intensity[box], pattern.valid[box])
    spot = np.unravel_index(int(smooth.argmax()), smooth.shape)
    i, j, k = (int(i) + part.start for i, part in zip(spot, box, strict=True))
    return i, j, k


def around(
    spot: tuple[int, int, int], reach: tuple[int, int, int], shape: tuple[int, ...]
) -> tuple[slice, slice, slice]:
    """The box [spot - reach, spot + reach) inside an array of `shape`."""
    a, b, c = (slice(max(0, p - r), min(n, p + r)) for p, r, n in zip(spot, reach, shape, strict=True))
    return a, b, c


def _bridged(intensity: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Holes filled with the Gaussian mean of the valid voxels of their frame; computed for the holes alone, which are few."""
    frames, rows, columns = intensity.shape
    weight = np.zeros((frames, rows + 2 * FILL_REACH, columns + 2 * FILL_REACH), np.float32)
    counts = np.zeros_like(weight)
    inner = (slice(None), slice(FILL_REACH, -FILL_REACH), slice(FILL_REACH, -FILL_REACH))
    weight[inner] = valid
    counts[inner] = np.where(valid, intensity, np.float32(0.0))
    frame, row, column = np.nonzero(~valid)
    width = weight.shape[2]
    index = (frame * weight.shape[1] + row + FILL_REACH) * width + column + FILL_REACH
    spread, share = np.zeros(index.size, np.float32), np.full(index.size, 1e-6, np.float32)
    for down in range(-FILL_REACH, FILL_REACH + 1):
        for right in range(-FILL_REACH, FILL_REACH + 1):
            near = index + (down * width + right)
            factor = np.float32(np.exp(-(down**2 + right**2) / (2 * FILL**2)))
            spread += factor * counts.reshape(-1)[near]
            share += factor * weight.reshape(-1)[near]
    bridged = intensity.copy()
    bridged[frame, row, column] = spread / share
    return bridged


def _smoothed(intensity: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Gaussian mean of the valid voxels; 0 where none is near."""
    weight = valid.astype(np.float32)
    spread = ndimage.gaussian_filter(intensity * weight, SMOOTH, mode="constant")
    share = ndimage.gaussian_filter(weight, SMOOTH, mode="constant")
    smooth: NDArray[np.float32] = np.where(share > 1e-4, spread / np.maximum(share, np.float32(1e-4)), np.float32(0.0))
    return smooth


def _band_limited(
    intensity: NDArray[np.float32], gap: NDArray[np.bool_], axis: int, poisson: bool
) -> NDArray[np.float32]:
    """Fill the planes `gap` (bool along `axis`) of an intensity whose gap already holds a guess."""
    lines = np.moveaxis(intensity, axis, 0)
    flat = lines.reshape(lines.shape[0], -1)
    energy = np.einsum("ij,ij->j", flat, flat)
    bright = flat[:, np.argpartition(energy, -min(LINES, energy.size))[-min(LINES, energy.size) :]].astype(np.float64)
    known = np.where(gap[:, None], 0.0, bright)
    total, noise = float(np.square(known).sum()), float(np.maximum(known, 0).sum()) if poisson else 0.0
    prior = max(PRIOR, noise / total) if total > 0 else PRIOR
    low, high = 0, len(BANDS) - 1  # the energy left outside falls as the band grows
    while low < high:
        middle = (low + high) // 2
        band = float(BANDS[middle])
        projector = _outside(len(gap), band)
        full = _filled(bright, gap, projector, prior)
        left = float(np.einsum("ij,ij->", full, projector @ full))
        low, high = (low, middle) if left < 2 * noise * (1 - 2 * band) + OUTSIDE * total else (middle + 1, high)
    projector = _outside(len(gap), min(0.49, WIDENED * float(BANDS[low])))
    full = _filled(flat.astype(np.float64), gap, projector, prior).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(full.reshape(lines.shape), 0, axis))


def _filled(
    lines: NDArray[np.float64], gap: NDArray[np.bool_], projector: NDArray[np.float64], prior: float
) -> NDArray[np.float64]:
    """Lines (n, count) whose gap has the values that leave the least energy after `projector`."""
    inner = projector[np.ix_(gap, gap)] + prior * np.eye(int(gap.sum()))
    right = prior * lines[gap] - projector[np.ix_(gap, ~gap)] @ lines[~gap]
    full = lines.copy()
    full[gap] = np.maximum(np.linalg.solve(inner, right), 0.0)
    return full


def _outside(n: int, band: float) -> NDArray[np.float64]:
    """(n, n) projector onto what lies beyond `band` * n in the Fourier transform of a line."""
    beyond = (np.abs(np.fft.fftfreq(n)) > band).astype(np.float64)
    row = np.fft.ifft(beyond).real
    index = np.arange(n)
    projector: NDArray[np.float64] = row[(index[:, None] - index[None, :]) % n]
    return projector
