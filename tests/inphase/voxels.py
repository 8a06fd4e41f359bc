"""Where voxels lie, and which have neighbours."""

import numpy as np

from inphase.geometry import Geometry


def positions(geometry: Geometry, shape: tuple[int, int, int]) -> np.ndarray:
    """(N0, N1, N2, 3) metres from the DC voxel, by the voxel basis."""
    indices = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    return indices @ geometry.voxel_basis_m(shape)


def bulk(inside: np.ndarray) -> np.ndarray:
    """Voxels with both neighbours along every axis."""
    both = inside.copy()
    for axis in range(3):
        both &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    return both
