"""Between grids of the same extent in real space and another resolution: the central part of reciprocal space, and back.

Everything is uncentred: index 0 is the centre. The voxels of reciprocal space keep their size, those of the object grow
by the factor that the grid shrinks by, and so does its far field's distance from the edge: with the orthonormal FFT the
moduli stay as they are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def cropped(field: Tensor, factor: int, dims: Sequence[int]) -> Tensor:
    """The central 1 / factor of these axes of a far field; what is left has even sides."""
    for dim in dims:
        half = field.shape[dim] // factor // 2
        field = torch.cat([field.narrow(dim, 0, half), field.narrow(dim, field.shape[dim] - half, half)], dim)
    return field.contiguous()


def padded(field: Tensor, factor: int, dims: Sequence[int]) -> Tensor:
    """The adjoint of `cropped`: zeros around it."""
    for dim in dims:
        half = field.shape[dim] // 2
        shape = list(field.shape)
        shape[dim] *= factor - 1
        field = torch.cat([field.narrow(dim, 0, half), field.new_zeros(shape), field.narrow(dim, half, half)], dim)
    return field.contiguous()


def coarser(support: Tensor, factor: int, dims: Sequence[int]) -> Tensor:
    """What a support holds at the centres of the larger voxels."""
    for dim in dims:
        support = support[(slice(None),) * dim + (slice(None, None, factor),)]
    return support.contiguous()


def finer(support: Tensor, factor: int, dims: Sequence[int]) -> Tensor:
    """The voxels that a coarser support covers or touches: `coarser` undoes it."""
    for dim in dims:
        shape = list(support.shape)
        shape[dim] *= factor
        spread = support.new_zeros(shape)
        for shift in range(-(factor // 2), factor // 2 + 1):
            places = (torch.arange(support.shape[dim], device=support.device) * factor + shift) % shape[dim]
            spread.index_copy_(dim, places, support | spread.index_select(dim, places))
        support = spread
    return support
