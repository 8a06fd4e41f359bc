"""The uncentred FFT of a batch."""

import torch
from torch import Tensor


class Transform:
    """Orthonormal FFT over all axes but the first, DC and the object's centre at index 0 (elsewhere:
    `inphase.fourier`).
    """

    def __init__(self, dimensions: int) -> None:
        self.dims = tuple(range(1, dimensions + 1))

    def forward(self, obj: Tensor) -> Tensor:
        """Object -> far field, (B, N, ...) complex64."""
        field: Tensor = torch.fft.fftn(obj, dim=self.dims, norm="ortho")
        return field

    def backward(self, field: Tensor) -> Tensor:
        """Far field -> object, (B, N, ...) complex64; inverse and adjoint of `forward`."""
        obj: Tensor = torch.fft.ifftn(field, dim=self.dims, norm="ortho")
        return obj
