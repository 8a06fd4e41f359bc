"""Sums over boxes of voxels, by adding strided planes: several times faster than reduceat on short boxes."""

import numpy as np
from numpy.typing import NDArray


def block_sums(volume: NDArray[np.generic], sides: tuple[int, ...]) -> NDArray[np.float32]:
    """Sums over consecutive boxes of `sides` voxels, float32; a last box that is cut off sums what there is."""
    total = np.asarray(volume)
    for axis, side in enumerate(sides):
        before = (slice(None),) * axis
        summed = total[(*before, slice(None, None, side))].astype(np.float32)
        for k in range(1, side):
            part = total[(*before, slice(k, None, side))]
            summed[(*before, slice(0, part.shape[axis]))] += part
        total = summed
    return total.astype(np.float32, copy=False)
