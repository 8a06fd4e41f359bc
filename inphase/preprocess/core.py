"""The surroundings of the Bragg peak with their holes filled, for measuring only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.pattern import Domain, MaskState, Pattern
from inphase.preprocess.blocks import block_sums
from inphase.preprocess.holes import filled

BOX = 128  # voxels around the peak: cropping keeps sigma, and drops the noise of the far field
BLOCK = 4  # voxels: the peak is first looked for in sums over blocks, where noise does not decide
REACH = 12  # voxels around the brightest block within which the peak is refined
SMOOTH = 1.0  # voxels, Gaussian, for the peak


@dataclass(frozen=True)
class Core:
    """Intensity around the peak, background subtracted, without holes.

    intensity: at most BOX^3, float32, may be negative. start: its first voxel in the pattern. peak: voxel of the
    pattern.
    """

    intensity: NDArray[np.float32]
    start: tuple[int, ...]
    peak: tuple[int, ...]


def core(pattern: Pattern, background: float = 0.0) -> Core:
    """The surroundings of the peak of a pattern with flat `background` counts per voxel."""
    rough = find_peak(pattern)
    box = around(rough, (BOX // 2,) * len(rough), pattern.shape)
    valid = pattern.mask[box] == MaskState.VALID
    intensity = pattern.intensity[box] - np.float32(background)
    start = tuple(part.start for part in box)
    if valid.all():
        return Core(intensity, start, rough)
    inside = tuple(p - s for p, s in zip(rough, start, strict=True))
    intensity = filled(intensity, valid, inside, poisson=pattern.domain is Domain.COUNTS)
    near = around(inside, (REACH,) * len(inside), intensity.shape)
    smooth = ndimage.gaussian_filter(intensity[near], SMOOTH, mode="nearest")
    spot = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return Core(intensity, start, tuple(int(i) + part.start + s for i, part, s in zip(spot, near, start, strict=True)))


def find_peak(pattern: Pattern) -> tuple[int, ...]:
    """Voxel of the brightest spot, on lightly smoothed data; holes are bridged, so that it may lie in one."""
    coarse = block_sums(pattern.intensity, (BLOCK,) * len(pattern.shape))
    block = np.unravel_index(int(coarse.argmax()), coarse.shape)
    middle = tuple(int(i) * BLOCK + BLOCK // 2 for i in block)
    box = around(middle, (REACH,) * len(middle), pattern.shape)
    smooth = _smoothed(pattern.intensity[box], pattern.mask[box] == MaskState.VALID)
    spot = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return tuple(int(i) + part.start for i, part in zip(spot, box, strict=True))


def around(spot: tuple[int, ...], reach: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The box [spot - reach, spot + reach) inside an array of `shape`."""
    return tuple(slice(max(0, p - r), min(n, p + r)) for p, r, n in zip(spot, reach, shape, strict=True))


def _smoothed(intensity: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Gaussian mean of the valid voxels; 0 where none is near."""
    weight = valid.astype(np.float32)
    spread = ndimage.gaussian_filter(intensity * weight, SMOOTH, mode="constant")
    share = ndimage.gaussian_filter(weight, SMOOTH, mode="constant")
    smooth: NDArray[np.float32] = np.where(share > 1e-4, spread / np.maximum(share, np.float32(1e-4)), np.float32(0.0))
    return smooth
