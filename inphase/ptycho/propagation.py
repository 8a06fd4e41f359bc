"""The exit wave's way to the detector, as a unitary operator on batches: far field and near field.

Nothing is centred here: the far field's DC pixel is index 0, so that no iteration pays for an fftshift. Where in its
window an exit wave lies only changes the phase of the far field.
"""

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.ptycho.optics import NearField, Optics

PLANE = (-2, -1)


class Propagation(Protocol):
    """Exit waves (..., y, x) complex64 -> fields at the detector of the same shape.

    shift: (B, 2) pixels by which each exit wave (B, modes, y, x) lies too far along rows and columns, None where none.
    """

    def forward(self, waves: Tensor, shift: Tensor | None) -> Tensor:
        """To the detector."""

    def adjoint(self, field: Tensor, shift: Tensor | None) -> Tensor:
        """Adjoint and inverse of `forward`."""

    def put_back(self, field: Tensor, axis: int) -> Tensor | None:
        """Derivative of a field (B, modes, y, x) by the shift along an axis, which `forward` corrects; None for 0."""

    def arranged(self, patterns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Patterns as files have them (DC pixel at N // 2) in the order of the field's pixels."""


class FarFieldPropagation:
    """The Fourier transform. A shifted exit wave has the same modulus there, so that the shift needs no correction."""

    def forward(self, waves: Tensor, shift: Tensor | None) -> Tensor:
        """To the detector."""
        field: Tensor = torch.fft.fft2(waves, norm="ortho")
        return field

    def adjoint(self, field: Tensor, shift: Tensor | None) -> Tensor:
        """Adjoint and inverse of `forward`."""
        waves: Tensor = torch.fft.ifft2(field, norm="ortho")
        return waves

    def put_back(self, field: Tensor, axis: int) -> Tensor | None:
        """No correction, no derivative."""
        return None

    def arranged(self, patterns: NDArray[np.float32]) -> NDArray[np.float32]:
        """The DC pixel goes to index 0."""
        return np.ascontiguousarray(np.fft.ifftshift(patterns, axes=PLANE))


class NearFieldPropagation:
    """Fresnel propagation, exp(-i pi lambda z f^2) in the Fourier plane; periodic, as every FFT is.

    The same multiplication puts a shifted exit wave back to its place, which the near field shows.
    """

    def __init__(self, fresnel_numbers: tuple[float, float], shape: tuple[int, int], device: torch.device) -> None:
        rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64) for n in shape)
        angle = rows[:, None] ** 2 / fresnel_numbers[0] + columns**2 / fresnel_numbers[1]
        self._transfer = torch.polar(torch.ones_like(angle), -math.pi * angle).to(torch.complex64).to(device)

    def forward(self, waves: Tensor, shift: Tensor | None) -> Tensor:
        """To the detector."""
        spectrum = torch.fft.fft2(waves, norm="ortho") * self._transfer
        if shift is not None:
            spectrum = spectrum * ramps(-shift, waves.shape[-2:])
        field: Tensor = torch.fft.ifft2(spectrum, norm="ortho")
        return field

    def adjoint(self, field: Tensor, shift: Tensor | None) -> Tensor:
        """Adjoint and inverse of `forward`."""
        spectrum = torch.fft.fft2(field, norm="ortho") * self._transfer.conj()
        if shift is not None:
            spectrum = spectrum * ramps(shift, field.shape[-2:])
        waves: Tensor = torch.fft.ifft2(spectrum, norm="ortho")
        return waves

    def put_back(self, field: Tensor, axis: int) -> Tensor | None:
        """The field moves by the shift in the other direction."""
        spectrum = torch.fft.fft2(field) * -rate(field.shape[-2:], axis, field.device)
        moved: Tensor = torch.fft.ifft2(spectrum)
        return moved

    def arranged(self, patterns: NDArray[np.float32]) -> NDArray[np.float32]:
        """As they are."""
        return patterns


def propagation(optics: Optics | None, shape: tuple[int, int], device: torch.device) -> Propagation:
    """The operator of a measurement; where the optics are not known, the far field."""
    if isinstance(optics, NearField):
        return NearFieldPropagation(optics.fresnel_numbers(), shape, device)
    return FarFieldPropagation()


def ramps(shift: Tensor, shape: tuple[int, ...] | torch.Size) -> Tensor:
    """(B, 1, y, x) complex64 that moves an image by `shift` (B, 2) pixels when its Fourier transform is multiplied."""
    lines = []
    for axis, n in enumerate(shape):
        angle = -2 * math.pi * shift[:, axis, None] * torch.fft.fftfreq(n, device=shift.device)
        lines.append(torch.polar(torch.ones_like(angle), angle))
    return (lines[0][:, :, None] * lines[1][:, None, :])[:, None]


def rate(shape: tuple[int, ...] | torch.Size, axis: int, device: torch.device) -> Tensor:
    """Derivative of the exponent of `ramps` by the shift along an axis, (y, 1) or (x,) complex64."""
    frequency = torch.fft.fftfreq(shape[axis], device=device)
    along: Tensor = -2j * math.pi * (frequency[:, None] if axis == 0 else frequency)
    return along
