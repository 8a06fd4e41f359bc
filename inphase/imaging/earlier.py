"""The image of an unfinished measurement, taken along to the next one: as a start, and to see how much changes.

From look to look the grid may change: what is measured decides where the peak is and how the voxels are binned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.ambiguity import align, unramped
from inphase.imaging.report import Preprocessing


@dataclass(frozen=True)
class Earlier:
    """An image and the grid on which it lies. object: (N, ...) complex64, centred. grid: of its report."""

    object: NDArray[np.complex64]
    grid: Preprocessing

    def on(self, grid: Preprocessing) -> NDArray[np.complex64]:
        """The same object on another grid of the same measurement, (N, ...) complex64, interpolated linearly.

        A voxel of the object measures 1 / (N bins) of a measured voxel's period. Where the DC voxel lies d measured
        voxels further, F(q + d) is the transform of o(r) exp(-i d r).
        """
        mine, its = self.grid, grid
        if (mine.binning, mine.offset, mine.shape) == (its.binning, its.offset, its.shape):
            return self.object
        scale = np.array(
            [n * b / (m * c) for n, b, m, c in zip(mine.shape, mine.binning, its.shape, its.binning, strict=True)]
        )
        offset = np.array(mine.shape) // 2 - scale * (np.array(its.shape) // 2)
        parts = (self.object.real, self.object.imag)
        real, imaginary = (ndimage.affine_transform(part, scale, offset, its.shape, order=1) for part in parts)
        further = np.array(_centre(its)) - np.array(_centre(mine))
        slope = 2 * np.pi * further / (np.array(its.shape) * np.array(its.binning))
        return np.asarray(unramped(real + 1j * imaginary, slope.tolist()), np.complex64)


def _centre(grid: Preprocessing) -> tuple[float, ...]:
    """The measured voxel at the DC voxel, the middle of its bin."""
    return tuple(
        first + n // 2 * b + (b - 1) / 2 for first, n, b in zip(grid.offset, grid.shape, grid.binning, strict=True)
    )


def similarity(image: NDArray[np.complexfloating], other: NDArray[np.complexfloating]) -> float:
    """Correlation of two amplitudes of one shape, sum |a| |b| / (|a| |b|), at their best place and twin; 0 to 1."""
    return align(np.abs(image).astype(np.complex64), np.abs(other).astype(np.complex64))[1].score
