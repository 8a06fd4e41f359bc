"""Between grids of the same extent in real space and another resolution:
the central part of reciprocal space, and back.

Everything is uncentred: index 0 is the centre. The voxels of reciprocal space keep their size, those of the object grow
as their number falls. With the orthonormal FFT the moduli stay as they are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def resampled(field: Tensor, shape: Sequence[int]) -> Tensor:
    """A far field (..., N, ...) on a grid of these sides, all even: its centre, or zeros around it."""
    for dim, m in enumerate(shape, field.ndim - len(shape)):
        n = field.shape[dim]
        half = min(n, m) // 2
        parts = [field.narrow(dim, 0, half), field.narrow(dim, n - half, half)]
        if m > n:
            parts.insert(1, field.new_zeros([m - n if axis == dim else k for axis, k in enumerate(field.shape)]))
        field = torch.cat(parts, dim)
    return field


def covered(support: Tensor, shape: Sequence[int]) -> Tensor:
    """A support (..., N, ...) bool on a grid of these sides:
    voxels whose centre lies on one that is in, or beside it.
    """
    for dim, m in enumerate(shape, support.ndim - len(shape)):
        n = support.shape[dim]
        index = torch.arange(m, device=support.device)
        signed = torch.where(index < m // 2, index, index - m) * n  # in units of 1 / m of an old voxel
        below, above = signed.div(m, rounding_mode="floor"), -(-signed).div(m, rounding_mode="floor")
        support = support.index_select(dim, below % n) | support.index_select(dim, above % n)
    return support
