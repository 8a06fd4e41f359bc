"""The Fourier convention of inphase.fourier for torch tensors, on the last three axes, differentiable."""

from collections.abc import Sequence
from functools import cache
from types import EllipsisType

import torch
from torch import Tensor

AXES = (-3, -2, -1)


@cache
def checkerboard(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """(-1)^(i + j + k) with the sign that makes voxel N // 2 positive: float32 of this shape, even sizes only."""
    if any(n % 2 for n in shape):
        raise ValueError(f"centring by alternating signs needs even sizes, got {shape}")
    lines = [1.0 - 2.0 * ((torch.arange(n, device=device) - n // 2) % 2) for n in shape]
    return lines[0][:, None, None] * lines[1][:, None] * lines[2]


def forward(obj: Tensor, *, inverse: bool = False) -> Tensor:
    """Centred object (..., n0, n1, n2) complex64 -> centred far field, norm "ortho"; with `inverse` the other way.

    A shift by half the grid is an alternating sign in the other domain: two products instead of four rolls.
    """
    transform = torch.fft.ifftn if inverse else torch.fft.fftn
    n0, n1, n2 = obj.shape[-3:]
    signs = checkerboard((n0, n1, n2), obj.device)
    field: Tensor = transform(obj * signs, dim=AXES, norm="ortho") * signs
    return field


def embed(box: Tensor, frame: tuple[int, int, int]) -> Tensor:
    """Put centred boxes (..., m0, m1, m2) into the middle of zero frames (..., n0, n1, n2), N // 2 on N // 2."""
    result = box.new_zeros(*box.shape[:-3], *frame)
    result[_middle(frame, box.shape[-3:])] = box
    return result


def centre(frame: Tensor, box: tuple[int, int, int]) -> Tensor:
    """Cut the central box (..., m0, m1, m2) out of centred frames: the adjoint of `embed`."""
    return frame[_middle(frame.shape[-3:], box)]


def _middle(frame: Sequence[int], box: Sequence[int]) -> tuple[EllipsisType | slice, ...]:
    """The central box of frames, on the last axes."""
    return (..., *(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(frame, box, strict=True)))


def far_modulus(box: Tensor, frame: tuple[int, int, int]) -> Tensor:
    """|forward(embed(box, frame))| (..., n0, n1, n2) of boxes (..., m0, m1, m2), cheaper: zeros are not transformed.

    Its gradient is finite everywhere, zeros included.
    """
    return _far_field(box, frame).abs()


def far_intensity(box: Tensor, frame: tuple[int, int, int]) -> Tensor:
    """The square of `far_modulus`."""
    field = _far_field(box, frame)
    return field.real.square() + field.imag.square()


def _far_field(box: Tensor, frame: tuple[int, int, int]) -> Tensor:
    """forward(embed(box, frame)) but for phase factors: where in the frame the box lies changes nothing else."""
    m0, m1, m2 = box.shape[-3:]
    field = box * checkerboard((m0, m1, m2), box.device)
    for axis, n in zip(AXES, frame, strict=True):
        field = torch.fft.fft(field, n=n, dim=axis, norm="ortho")
    return field
