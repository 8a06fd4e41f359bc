"""Free voxels: small islands hidden from every projection and from the network,
to judge a result by what it never saw.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
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
    # each voxel joins the first island (in random order of centres) that covers it; take islands until there are enough
    first = _islands(mask.shape, seed)
    joined = np.where(eligible, first, first.dtype.type(mask.size))
    last = np.partition(joined.ravel(), wanted - 1)[wanted - 1]
    free: NDArray[np.bool_] = joined <= last
    return free


@lru_cache(maxsize=2)  # the grids of the networks in use: measurement after measurement has the same
def _islands(shape: tuple[int, ...], seed: int) -> NDArray[np.integer]:
    """The first island that covers each voxel, as its place in the random order of centres; not to be written to."""
    voxels = math.prod(shape)
    kind = np.min_scalar_type(-voxels - 1)  # half as wide, what is sorted of it takes half as long
    order: NDArray[np.integer] = np.random.default_rng(seed).permutation(voxels).astype(kind).reshape(shape)
    return _least_beside(order)


def _least_beside(values: NDArray[np.integer]) -> NDArray[np.integer]:
    """The least of each value and those beside it, over edges and corners: of an island with it in the middle."""
    for axis in range(values.ndim):
        lower, upper = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        found = values.copy()
        np.minimum(found[upper], values[lower], out=found[upper])
        np.minimum(found[lower], values[upper], out=found[lower])
        values = found
    return values


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
    hidden = np.empty_like(eligible)

    def hide(slab: slice) -> None:
        inside = cells[slab.start // ISLAND : -(-slab.stop // ISLAND)]
        for axis in range(eligible.ndim):
            inside = np.repeat(inside, ISLAND, axis=axis)
        np.logical_and(eligible[slab], inside[tuple(slice(n) for n in eligible[slab].shape)], out=hidden[slab])

    slabs.over_planes(hide, eligible, ISLAND)
    return hidden
