"""Free voxels: small islands hidden from every projection and from the network,
to judge a result by what it never saw.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter

from inphase.pattern import MaskState

ISLAND = 3  # voxels across, like a speckle: its neighbours would give a single hidden voxel away
CENTRE = 1 / 8  # half axes of the excluded central ellipsoid, in units of the side


def free_voxels(mask: NDArray[np.uint8], seed: int, fraction: float = 0.05) -> NDArray[np.bool_]:
    """Choose `fraction` of the VALID voxels as islands of up to 3 voxels a side, outside the central zone;
    the same seed, the same islands.

    mask: uint8 of MaskState, any dimension. Returns bool of that shape, all False for fraction 0. The central zone
    holds the shape of the object and most photons: hiding it would change the reconstruction, not test it. Where less
    than `fraction` lies outside the zone, all that lies there is taken.
    """
    eligible = (mask == MaskState.VALID) & ~_central(mask.shape)
    wanted = min(round(fraction * int((mask == MaskState.VALID).sum())), int(eligible.sum()))
    if wanted == 0:
        return np.zeros(mask.shape, bool)
    order = np.random.default_rng(seed).permutation(mask.size).astype(np.int64).reshape(mask.shape)
    # each voxel joins the first island (in random order of centres) that covers it; take islands until there are enough
    joined = np.where(eligible, minimum_filter(order, size=ISLAND, mode="nearest"), mask.size)
    last = np.partition(joined.ravel(), wanted - 1)[wanted - 1]
    free: NDArray[np.bool_] = joined <= last
    return free


def _central(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels within the ellipsoid around N // 2."""
    axes = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    distance = sum((axis / (CENTRE * n)) ** 2 for axis, n in zip(axes, shape, strict=True))
    inside: NDArray[np.bool_] = np.asarray(distance) <= 1
    return inside


def free_cells(eligible: NDArray[np.bool_], seed: int, fraction: float = 0.05) -> NDArray[np.bool_]:
    """Choose `fraction` of the cells of a lattice of 3 voxels a side, and hide their eligible voxels.

    For volumes of tens of millions of voxels, where the islands of `free_voxels` take longer than a retrieval.
    eligible: bool, any dimension; returns bool of that shape.
    """
    cells = np.random.default_rng(seed).random([-(-n // ISLAND) for n in eligible.shape], np.float32) < fraction
    for axis, n in enumerate(eligible.shape):
        cells = np.repeat(cells, ISLAND, axis=axis).take(np.arange(n), axis=axis)
    hidden: NDArray[np.bool_] = cells & eligible
    return hidden
