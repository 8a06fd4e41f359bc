"""A flat crystal, and the detector frame that it gives."""

import numpy as np
from numpy.typing import NDArray

from inphase import fourier

SHAPE = (131, 160)  # rows, columns
PEAK = (70, 75)  # where the Bragg peak lies on the detector


def crystal(shape: tuple[int, ...] = SHAPE, scale: tuple[float, ...] = (1.0, 1.0)) -> NDArray[np.complex64]:
    """A polygon without a centre of symmetry, with a smooth phase. scale: voxels per voxel of the grid SHAPE."""
    y, x = (
        (np.arange(n) - n // 2).reshape((-1, 1) if axis == 0 else (1, -1)) / s
        for axis, (n, s) in enumerate(zip(shape, scale, strict=True))
    )
    inside = (np.abs(x) < 16) & (np.abs(y) < 11.5) & (x + y < 17) & (2 * y - x < 26)
    obj: NDArray[np.complex64] = (inside * np.exp(0.6j * np.sin(x / 7 + 0.3 * y / 8))).astype(np.complex64)
    return obj


def counts(photons: float = 1e7, seed: int = 3) -> NDArray[np.int32]:
    """Poisson counts of its far field, SHAPE int32, with the peak at PEAK."""
    intensity = np.abs(fourier.forward(crystal())) ** 2
    drawn = np.random.default_rng(seed).poisson(intensity * (photons / intensity.sum()))
    return np.roll(drawn, [p - n // 2 for p, n in zip(PEAK, SHAPE, strict=True)], axis=(0, 1)).astype(np.int32)
