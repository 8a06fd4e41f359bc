"""What is known of the far field, as the projections need it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.errors import DataError
from inphase.pattern import MaskState

RESOLUTION = 1e-7  # of single precision


@dataclass(frozen=True)
class Problem:
    """A measured modulus with its three-state mask; 1D, 2D or 3D, every side even, the DC voxel at N // 2.

    modulus: float32, square root of the measured intensity; its scale is never changed.
    mask: uint8 of MaskState, same shape.
    free: bool, same shape, or None: valid voxels hidden from every projection.
    padding_bound: largest |F| that a PADDING voxel may keep, in units of the modulus.
    """

    modulus: NDArray[np.float32]
    mask: NDArray[np.uint8]
    free: NDArray[np.bool_] | None = None
    padding_bound: float = 0.0

    def __post_init__(self) -> None:
        shape = self.modulus.shape
        if self.mask.shape != shape or (self.free is not None and self.free.shape != shape):
            raise DataError(f"modulus {shape}, mask {self.mask.shape} and free voxels must have one shape")
        if not 1 <= len(shape) <= 3 or any(n < 2 or n % 2 for n in shape):
            raise DataError(f"phase retrieval needs 1 to 3 dimensions with even sides, not {shape}")
        low, high = np.array(slabs.over_planes(self._ends, self.modulus)).T
        if not (low.min() >= 0 and high.max() < np.inf):  # NaN where any is
            raise DataError("the modulus holds NaN, infinite or negative values where it is valid: mask them")
        if high.max() == 0:
            raise DataError("the modulus is zero wherever it is valid: nothing to reconstruct")

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Voxels that projections may use: valid and not free."""
        return self._visible(slice(None))

    def _visible(self, slab: slice) -> NDArray[np.bool_]:
        valid: NDArray[np.bool_] = self.mask[slab] == MaskState.VALID
        return valid if self.free is None else valid & ~self.free[slab]

    def _ends(self, slab: slice) -> tuple[np.float32, np.float32]:
        """The least and the largest of the slab's visible voxels and zero."""
        shown = np.where(self._visible(slab), self.modulus[slab], np.float32(0.0))
        return shown.min(), shown.max()

    def constraint(self) -> NDArray[np.float32]:
        """Centred float32 array that says what P_M does to each voxel: c >= 0: |F| becomes c; c < 0: |F| is cut at -c.

        Visible voxels hold their modulus, masked and free ones -inf (kept), padding minus its bound.
        """
        # a zero has no sign: a bound lost in the rounding of the largest value stands for it (smaller ones, denormal
        # after a few products, slow the FFT down threefold)
        bound = max(self.padding_bound, RESOLUTION * float(self.modulus[self.visible].max()))
        constraint = np.where(self.visible, self.modulus, np.float32(-np.inf)).astype(np.float32, copy=False)
        constraint[self.mask == MaskState.PADDING] = -bound
        return constraint
