"""The measured pattern and what is known of each of its voxels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.geometry import Geometry

AXES = ("frames", "rows", "columns")  # of a rocking curve; of a single frame the last two

MOST_MASKED: Final = 0.9  # of the pixels: a mask of more is an inverted one

T = TypeVar("T", bound=np.generic)


class MaskState(IntEnum):
    """What is known of a voxel. Only VALID voxels count in a metric; the others are never forced to zero."""

    VALID = 0
    MASKED = 1  # value unknown (gap, hot, dead, saturated): a projection keeps the calculated value
    PADDING = 2  # outside the measured range: unknown but small, kept only below a stated bound


class Domain(StrEnum):
    """What the input numbers are: photon counts, or a modulus (square root of intensity) in arbitrary units."""

    COUNTS = "counts"
    MODULUS = "modulus"


@dataclass(frozen=True)
class Pattern:
    """A diffraction pattern: a rocking curve with the axes (rocking, detector row, detector column),
    or a single frame (row, column).

    intensity: (n0, n1, n2) or (n1, n2) float32, photon counts (domain COUNTS) or squared modulus (domain MODULUS);
        finite where valid, 0 where masked or padded; >= 0 but for the noise of counts whose background was subtracted,
        which is clipped once bins are summed.
    mask: uint8 of MaskState, of the same shape.
    geometry: None where nothing is known of the beam and the detector: results then have no voxel size.
    digest: sha256 of the input bytes, for provenance.
    signed: whether some count may lie below zero.
    unknown: what was masked when the array was checked, by kind: numbers of voxels, pixels, frames; empty where nothing
    was.
    """

    intensity: NDArray[np.float32]
    mask: NDArray[np.uint8]
    domain: Domain = Domain.COUNTS
    geometry: Geometry | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    signed: bool = True
    unknown: Mapping[str, int | float | str | Sequence[int | float]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (rocking, row, column), or along (row, column)."""
        return self.intensity.shape

    @property
    def modulus(self) -> NDArray[np.float32]:
        """Square root of the intensity, float32."""
        roots = np.empty_like(self.intensity)
        slabs.over_planes(lambda slab: np.sqrt(self.intensity[slab], out=roots[slab]), roots)
        return roots

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Voxels whose value is known."""
        known: NDArray[np.bool_] = self.mask == MaskState.VALID
        return known

    @cached_property
    def total(self) -> float:
        """Sum of the intensity, added in float64."""
        return slabs.total(self.intensity)

    def number(self, state: MaskState) -> int:
        """How many voxels are in a state."""
        return slabs.number(lambda slab: self.mask[slab] == state, self.mask)


def as_frames(array: NDArray[T]) -> NDArray[T]:
    """A view of a pattern's array as a stack of frames (n, rows, columns): of a single frame one of one."""
    return array.reshape(-1, *array.shape[-2:])


def digest(data: NDArray[np.generic]) -> str:
    """sha256 of dtype, shape and bytes of an array: the identity of an input."""
    contiguous = np.ascontiguousarray(data)
    sha = hashlib.sha256(f"{contiguous.dtype.str}{contiguous.shape}".encode())
    sha.update(contiguous.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()
