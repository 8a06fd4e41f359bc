"""What the descents share: an object packed into its support's voxels, its far field, and one volume to work in."""

from abc import ABC, abstractmethod
from dataclasses import InitVar, dataclass

import torch
from torch import Tensor

from inphase.retrieval.fft import Transform
from inphase.retrieval.passes import project_modulus

TINY = 1e-30


class Voxels:
    """The voxels of each start's support side by side, (B, V): what lies outside needs no memory and no arithmetic.

    V is the largest support's volume; smaller ones are filled up with zeros.
    """

    def __init__(self, support: Tensor) -> None:
        rows = support.flatten(1)
        start, voxel = rows.nonzero(as_tuple=True)
        counts = rows.sum(1)
        rank = torch.arange(len(voxel), device=rows.device) - (counts.cumsum(0) - counts)[start]
        self._shape = support.shape
        self._index = torch.zeros(len(rows), max(1, int(counts.max())), dtype=torch.int64, device=rows.device)
        self._inside = torch.zeros(self._index.shape, dtype=torch.float32, device=rows.device)
        self._index[start, rank] = voxel
        self._inside[start, rank] = 1.0
        self.counts = counts

    def of(self, volume: Tensor) -> Tensor:
        """(B, N, ...) -> (B, V)."""
        return volume.flatten(1).gather(1, self._index) * self._inside

    def volume(self, packed: Tensor, out: Tensor | None = None) -> Tensor:
        """(B, V) -> (B, N, ...), zero outside the support: `out` or a new one."""
        if out is None:
            out = torch.empty(self._shape, dtype=packed.dtype, device=packed.device)
        out.zero_().view(len(packed), -1).scatter_add_(1, self._index, packed)
        return out


@dataclass(eq=False)
class Descent(ABC):
    """The state of a batch that descends within its supports; one iteration costs one pair of FFTs.

    start: (B, N, ...) complex64; from now on its memory is the descent's to work in (`room`).
    field: the object's far field. scratch: a volume of its size to work in, which is `room` where that has its size.
    """

    transform: Transform
    constraint: Tensor
    start: InitVar[Tensor]
    support: InitVar[Tensor]

    def __post_init__(self, start: Tensor, support: Tensor) -> None:
        self._voxels = Voxels(support)
        self._packed = self._voxels.of(start)
        self.room = start
        self.field = self._far_field(self._packed)
        self.scratch = start if start.shape == self.field.shape else torch.empty_like(self.field)

    @property
    def object(self) -> Tensor:
        """(B, N, ...) complex64, zero outside the support; a new tensor."""
        return self._voxels.volume(self._packed)

    def projected(self) -> Tensor:
        """P_M o, a new tensor: what the support is drawn from."""
        return self.transform.backward(project_modulus(self.field, self.constraint, self.scratch))

    @abstractmethod
    def advance(self) -> None:
        """One step."""

    def _far_field(self, packed: Tensor) -> Tensor:
        """(B, V) -> (B, N, ...)."""
        return self.transform.forward(self._voxels.volume(packed, self.room))


def each(values: Tensor, like: Tensor | None = None) -> Tensor:
    """(B,) -> (B, 1) float32, or (B, 1, ...) with the dimensions of `like`."""
    return values.float().view(-1, *(1,) * (1 if like is None else like.ndim - 1))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Re <a, b> of each start, (B,) float64."""
    return (a.real * b.real + a.imag * b.imag).flatten(1).sum(1, dtype=torch.float64)
