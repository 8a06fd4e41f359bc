"""The uncentred FFT of a batch."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

SLAB = 2**18  # voxels of a far field that a processor transforms together: they stay in its cache


class Transform:
    """Orthonormal FFT over all axes but the first, DC and the object's centre at index 0 (elsewhere:
    `inphase.fourier`).
    """

    def __init__(self, dimensions: int) -> None:
        self.dims = tuple(range(1, dimensions + 1))

    @classmethod
    def of(cls, whole: Sequence[int], box: Sequence[int]) -> "Transform":
        """Of objects on a box of the grid, where that is less than the whole."""
        return cls(len(whole)) if tuple(box) == tuple(whole) else Boxed(whole, box)

    def forward(self, obj: Tensor) -> Tensor:
        """Object -> far field, (B, N, ...) complex64."""
        field: Tensor = torch.fft.fftn(obj, dim=self.dims, norm="ortho")
        return field

    def backward(self, field: Tensor) -> Tensor:
        """Far field -> object, (B, N, ...) complex64; inverse and adjoint of `forward`."""
        obj: Tensor = torch.fft.ifftn(field, dim=self.dims, norm="ortho")
        return obj


class Boxed(Transform):
    """The same of objects that are zero outside of a box about the centre, and stored without what is outside.

    Lines that hold nothing are not transformed, and planes one after the other, each along all of its axes while it is
    in the cache: for a box of a quarter of every side less than half of the work. All sides are even.
    """

    def __init__(self, whole: Sequence[int], box: Sequence[int]) -> None:
        super().__init__(len(whole))
        self._whole, self._box = tuple(whole), tuple(box)

    def forward(self, obj: Tensor) -> Tensor:
        """Object on the box (B, n, ...) -> far field on the whole, (B, N, ...) complex64."""
        first, *others = self.dims
        lines = self._out(obj, first)
        if not others:
            return lines
        field = obj.new_empty((len(obj), *self._whole))
        for planes in self._slabs(field):
            part = lines[:, planes]
            for dim in others:
                part = self._out(part, dim)
            field[:, planes] = part
        return field

    def backward(self, field: Tensor) -> Tensor:
        """Far field on the whole -> what of its object lies on the box; adjoint of `forward`, which it undoes."""
        first, *others = self.dims
        if not others:
            return self._back(field, first)
        lines = field.new_empty((len(field), self._whole[0], *self._box[1:]))
        for planes in self._slabs(field):
            part = field[:, planes]
            for dim in reversed(others):
                part = self._back(part, dim)
            lines[:, planes] = part
        return self._back(lines, first)

    def _slabs(self, field: Tensor) -> Iterator[slice]:
        count = self._whole[0]
        step = count if field.device.type != "cpu" else max(1, SLAB * count // field.numel())
        return (slice(begin, min(begin + step, count)) for begin in range(0, count, step))

    def _out(self, volume: Tensor, dim: int) -> Tensor:
        """From the box to the whole along one axis."""
        n, half = self._whole[dim - 1], self._box[dim - 1] // 2
        wide = volume.new_zeros([n if axis == dim else k for axis, k in enumerate(volume.shape)])
        wide.narrow(dim, 0, half).copy_(volume.narrow(dim, 0, half))
        wide.narrow(dim, n - half, half).copy_(volume.narrow(dim, half, half))
        out: Tensor = torch.fft.fft(wide, dim=dim, norm="ortho")
        return out

    def _back(self, volume: Tensor, dim: int) -> Tensor:
        """From the whole to the box along one axis."""
        n, half = self._whole[dim - 1], self._box[dim - 1] // 2
        wide: Tensor = torch.fft.ifft(volume, dim=dim, norm="ortho")
        return torch.cat([wide.narrow(dim, 0, half), wide.narrow(dim, n - half, half)], dim).contiguous()
