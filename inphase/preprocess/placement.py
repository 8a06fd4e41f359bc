"""The way back from the model grid to the measured one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase import fourier
from inphase.geometry import Geometry


@dataclass(frozen=True)
class Placement:
    """How the model grid lies on the measured one: grid voxel i along an axis holds measured voxels offset + i b ...
    + b - 1.

    shape_in: measured voxels. offset: first measured voxel of the window, in measured (unbinned) voxels, may be
    negative.
    bins: measured voxels per grid voxel. shape_out: model grid.
    """

    shape_in: tuple[int, ...]
    offset: tuple[int, ...]
    bins: tuple[int, ...]
    shape_out: tuple[int, ...]

    def geometry(self, measured: Geometry) -> Geometry:
        """Of the model grid, at its DC voxel N // 2: the middle of the bin there. measured: of the measured grid."""
        sides = zip(self.shape_in, self.offset, self.bins, self.shape_out, strict=True)
        moved = tuple(at + k // 2 * b + (b - 1) / 2 - n // 2 for n, at, b, k in sides)
        return measured.moved(moved).binned(self.bins)

    def voxel_basis(self, geometry: Geometry) -> NDArray[np.float64]:
        """(3, 3) metres: real-space steps of the object on the model grid. geometry: of the MEASURED grid."""
        return geometry.binned(self.bins).voxel_basis_m(self.shape_out)

    def voxel_size_m(self, geometry: Geometry) -> tuple[float, ...]:
        """Lengths of the real-space steps, d = 2 pi / (n b dq) where the axes are orthogonal.
        geometry: of the MEASURED grid.
        """
        return geometry.binned(self.bins).voxel_size_m(self.shape_out)

    def to_measured(self, obj: NDArray[np.complex64], box: tuple[int, ...] | None = None) -> NDArray[np.complex64]:
        """Object on the model grid -> on the real-space grid of the whole measurement, (shape_in) complex64.

        box: even sides of the central part of it that is wanted; by default all.

        Binning is undone by zero-padding the object (finer sampling of the far field), cropping by padding the far
        field with zeros. |fourier.forward(result)|^2 predicts the measured counts voxel by voxel, with the peak where
        it was measured: the object therefore carries the phase ramp of an off-centre peak. One axis at a time, so that
        memory stays at a few arrays of the result's size.
        """
        for axis, side in enumerate(box or self.shape_in):
            obj = self._axis_to_measured(obj, axis, side)
        return obj

    def onto(self, other: "Placement") -> "Placement":
        """The way to another grid of the same measurement, instead of to all of it.

        Raises ValueError where the other one is of another measurement, or its voxels are no whole parts of these.
        """
        steps = [mine - its for mine, its in zip(self.offset, other.offset, strict=True)]
        uneven = any(b % its or step % its for b, its, step in zip(self.bins, other.bins, steps, strict=True))
        if uneven or other.shape_in != self.shape_in:
            raise ValueError(f"{other} has no voxels that the bins of {self} could be made of")
        offset = tuple(step // its for step, its in zip(steps, other.bins, strict=True))
        bins = tuple(b // its for b, its in zip(self.bins, other.bins, strict=True))
        return Placement(other.shape_out, offset, bins, self.shape_out)

    def support_to_measured(self, support: NDArray[np.bool_], box: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
        """The same part of real space on the finer voxels of `to_measured`, (shape_in)
        bool: the nearest model voxel decides.

        A model voxel measures shape_in / (shape_out * bins) of the measured grid's; False beyond the model grid. box:
        as for `to_measured`.
        """
        sides = box or self.shape_in
        for axis, (n, b, full, side) in enumerate(zip(self.shape_out, self.bins, self.shape_in, sides, strict=True)):
            nearest = np.rint((np.arange(side) - side // 2) * (n * b / full)).astype(np.intp) + n // 2
            inside = (nearest >= 0) & (nearest < n)
            support = np.take(support, np.clip(nearest, 0, n - 1), axis=axis)
            support &= inside.reshape([-1 if a == axis else 1 for a in range(support.ndim)])
        return support

    def place(self, volume: NDArray[np.generic], fill: float = 0) -> NDArray[np.generic]:
        """A volume on the model grid in reciprocal space (mask, calculated intensity)
        -> on the measured grid (shape_in).

        Each grid voxel is repeated over its bin; `fill` where the grid does not reach.
        """
        placed = np.full(self.shape_in, fill, volume.dtype)
        for axis, b in enumerate(self.bins):
            volume = np.repeat(volume, b, axis=axis)
        source, target = zip(*(self._overlap(axis) for axis in range(volume.ndim)), strict=True)
        placed[target] = volume[source]
        return placed

    def _overlap(self, axis: int) -> tuple[slice, slice]:
        """The measured part along an axis: in the unbinned window, and in the measured grid."""
        offset, size = self.offset[axis], self.shape_out[axis] * self.bins[axis]
        first, last = max(0, offset), max(0, min(self.shape_in[axis], offset + size))
        last = max(first, last)
        return slice(first - offset, last - offset), slice(first, last)

    def _axis_to_measured(self, obj: NDArray[np.complex64], axis: int, side: int) -> NDArray[np.complex64]:
        n, b, full = self.shape_out[axis], self.bins[axis], self.shape_in[axis]
        obj = np.moveaxis(obj, axis, -1)
        padded = np.zeros((*obj.shape[:-1], n * b), np.complex64)
        first = n * b // 2 - n // 2
        padded[..., first : first + n] = obj
        # the DC voxel of the model grid is the middle of its bin; shift the far field so that it falls there again
        shift = (n // 2) * b + (b - 1) / 2 - n * b // 2
        padded *= np.exp(2j * np.pi * shift / (n * b) * (np.arange(n * b) - n * b // 2)).astype(np.complex64)
        field = fourier.forward(padded, axes=(-1,))
        source, target = self._overlap(axis)
        measured = np.zeros((*obj.shape[:-1], full), np.complex64)
        measured[..., target] = field[..., source]
        first = full // 2 - side // 2
        found = fourier.backward(measured, axes=(-1,))[..., first : first + side]
        return np.ascontiguousarray(np.moveaxis(found, -1, axis))
