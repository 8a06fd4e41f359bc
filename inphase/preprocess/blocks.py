"""Sums over boxes of voxels, by adding strided planes: several times faster than reduceat on short boxes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.pattern import MaskState

MOST_IN_BYTE = 255  # voxels: so many are counted in a byte


def block_sums(volume: NDArray[np.generic], sides: tuple[int, ...]) -> NDArray[np.float32]:
    """Sums over consecutive boxes of `sides` voxels, float32; a last box that is cut off sums what there is."""
    whole = np.asarray(volume)
    return _by_slab(lambda slab: whole[slab], whole, sides)


def valid_sums(mask: NDArray[np.uint8], sides: tuple[int, ...]) -> NDArray[np.float32]:
    """How many voxels of each box are VALID, as `block_sums` has them."""
    return _by_slab(lambda slab: mask[slab] == MaskState.VALID, mask, sides)


def _by_slab(
    read: Callable[[slice], NDArray[Any]], volume: NDArray[Any], sides: tuple[int, ...]
) -> NDArray[np.float32]:
    """What is read of a volume, summed slab by slab."""
    found = slabs.over_planes(lambda slab: _summed(read(slab), sides), volume, sides[0])
    return np.concatenate(found)


def _summed(total: NDArray[Any], sides: tuple[int, ...]) -> NDArray[np.float32]:
    for axis, side in enumerate(sides):
        before = (slice(None),) * axis
        kind: type[np.uint8 | np.float32] = np.float32
        if total.dtype == bool and side <= MOST_IN_BYTE:
            kind, total = np.uint8, total.view(np.uint8)
        summed: NDArray[Any] = total[(*before, slice(None, None, side))].astype(kind)
        for k in range(1, side):
            part = total[(*before, slice(k, None, side))]
            summed[(*before, slice(0, part.shape[axis]))] += part
        total = summed
    return total.astype(np.float32, copy=False)
