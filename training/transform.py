"""The Fourier convention of inphase.fourier for torch tensors, on the last axes, differentiable."""

from collections.abc import Sequence
from functools import cache
from types import EllipsisType

import torch
from torch import Tensor

AXES = (-3, -2, -1)  # of volumes


def last_axes(rank: int) -> tuple[int, ...]:
    """The last `rank` axes."""
    return tuple(range(-rank, 0))


def spatial(batch: Tensor) -> tuple[int, ...]:
    """All axes but the first, that of the batch: sums of them are one number for each pattern or object."""
    return tuple(range(1, batch.ndim))


@cache
def checkerboard(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """(-1)^(i + j + ...) with the sign that makes voxel N // 2 positive: float32 of this shape, even sizes only."""
    if any(n % 2 for n in shape):
        raise ValueError(f"centring by alternating signs needs even sizes, got {shape}")
    signs = torch.ones((), device=device)
    for n in shape:
        signs = signs[..., None] * (1.0 - 2.0 * ((torch.arange(n, device=device) - n // 2) % 2))
    return signs


def forward(obj: Tensor, *, inverse: bool = False, rank: int = 3) -> Tensor:
    """Centred object (..., n0, n1, n2) complex64 -> centred far field, norm "ortho"; with `inverse` the other way.

    rank: how many of the last axes are transformed. A shift by half the grid is an alternating sign in the other
    domain: two products instead of four rolls.
    """
    transform = torch.fft.ifftn if inverse else torch.fft.fftn
    signs = checkerboard(tuple(obj.shape[-rank:]), obj.device)
    field: Tensor = transform(obj * signs, dim=last_axes(rank), norm="ortho") * signs
    return field


def embed(box: Tensor, frame: tuple[int, ...]) -> Tensor:
    """Put centred boxes (..., m0, m1, m2) into the middle of zero frames (..., n0, n1, n2), N // 2 on N // 2."""
    rank = len(frame)
    result = box.new_zeros(*box.shape[:-rank], *frame)
    result[_middle(frame, box.shape[-rank:])] = box
    return result


def centre(frame: Tensor, box: tuple[int, ...]) -> Tensor:
    """Cut the central box (..., m0, m1, m2) out of centred frames: the adjoint of `embed`."""
    return frame[_middle(frame.shape[-len(box) :], box)]


def _middle(frame: Sequence[int], box: Sequence[int]) -> tuple[EllipsisType | slice, ...]:
    """The central box of frames, on the last axes."""
    return (..., *(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(frame, box, strict=True)))


def far_modulus(box: Tensor, frame: tuple[int, ...]) -> Tensor:
    """|forward(embed(box, frame))| (..., n0, n1, n2) of boxes (..., m0, m1, m2), cheaper: zeros are not transformed.

    Of as many axes as the frame has. Its gradient is finite everywhere, zeros included.
    """
    return _far_field(box, frame).abs()


def far_intensity(box: Tensor, frame: tuple[int, ...]) -> Tensor:
    """The square of `far_modulus`."""
    field = _far_field(box, frame)
    return field.real.square() + field.imag.square()


def _far_field(box: Tensor, frame: tuple[int, ...]) -> Tensor:
    """forward(embed(box, frame)) but for phase factors: where in the frame the box lies changes nothing else."""
    rank = len(frame)
    field = box * checkerboard(tuple(box.shape[-rank:]), box.device)
    for axis, n in zip(last_axes(rank), frame, strict=True):
        field = torch.fft.fft(field, n=n, dim=axis, norm="ortho")
    return field
