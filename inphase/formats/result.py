"""A reconstruction as it is stored and sent: the arrays of the service's npz, with names and types."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.geometry import Geometry
from inphase.pattern import MaskState

Arrays = Mapping[str, NDArray[Any]]

METRICS_OF: Final = "metrics_of"  # key of the document: which object its metrics are of, where it is another one
KEYS: Final = ("object", "amplitude", "phase", "phase_flat", "support", "modulus", "mask", "voxel_size_m", "document")


@dataclass(frozen=True)
class Result:
    """A reconstruction: anyone can check its chi2 from `object`, `modulus`, `mask` and `coherence_kernel` alone.

    object: (N0, N1, N2) complex64, or (N0, N1) of a single frame, centred, in the canonical form of inphase.ambiguity.
    phase_flat: float32 radians, the phase without its linear ramp.
    support: bool. modulus: float32, the measured square root of intensity, preprocessed but not made to fit.
    mask: uint8 of MaskState. voxel_size_m: metres per axis, None where no geometry is known.
    document: the job document, decoded from its JSON.
    voxel_basis_m: (3, 3) metres, row a is the step along array axis a in the laboratory frame (x, y, z); None where
    unknown.
    q_centre: (3,) 1/m, momentum transfer at the pattern's DC voxel; None where unknown.
    sample_rotation: (3, 3), laboratory -> sample with all its circles at zero; None where unknown.
    coherence_kernel: (k0, k1, k2) float32, what |F|^2 of the object is convolved with before it is compared with the
        measured intensity (`inphase.metrics.far_field_modulus`); None where the light is taken for coherent.
    derived: further real volumes of the object's shape (displacement, strain, ...).
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    phase_flat: NDArray[np.float32]
    modulus: NDArray[np.float32]
    mask: NDArray[np.uint8]
    voxel_size_m: tuple[float, ...] | None
    document: Mapping[str, Any]
    voxel_basis_m: NDArray[np.float64] | None = None
    q_centre: NDArray[np.float64] | None = None
    sample_rotation: NDArray[np.float64] | None = None
    coherence_kernel: NDArray[np.float32] | None = None
    derived: Arrays = field(default_factory=dict)

    @cached_property
    def amplitude(self) -> NDArray[np.float32]:
        """|object|."""
        amplitude: NDArray[np.float32] = np.abs(self.object)
        return amplitude

    @cached_property
    def phase(self) -> NDArray[np.float32]:
        """Radians in (-pi, pi]."""
        phase: NDArray[np.float32] = np.angle(self.object)
        return phase

    @property
    def measured(self) -> bool:
        """Whether the result has the pattern that it was made from; what another program wrote has none."""
        return bool((self.mask == MaskState.VALID).any())

    @property
    def geometry(self) -> Geometry | None:
        """Of the object's grid: what inphase.strain and inphase.orthogonal want; None where unknown."""
        if self.voxel_basis_m is None:
            return None
        return Geometry.of_voxels(self.voxel_basis_m, self.object.shape, self.q_centre, self.sample_rotation)

    @classmethod
    def of(cls, arrays: Arrays) -> "Result":
        """From the arrays of a result file. Raises KeyError, ValueError where they are none."""
        size = arrays["voxel_size_m"]
        shape = arrays["object"].shape
        return cls(
            object=arrays["object"],
            support=arrays["support"],
            phase_flat=arrays["phase_flat"],
            modulus=arrays["modulus"],
            mask=arrays["mask"],
            voxel_size_m=None if np.isnan(size).any() else tuple(float(length) for length in size),
            document=json.loads(str(arrays["document"])),
            voxel_basis_m=_known(arrays, "voxel_basis_m"),
            q_centre=_known(arrays, "q_centre"),
            sample_rotation=_known(arrays, "sample_rotation"),
            coherence_kernel=arrays.get("coherence_kernel"),
            derived={
                name: array
                for name, array in arrays.items()
                if name not in (*KEYS, "free", "coherence_kernel") and array.shape == shape and array.dtype.kind == "f"
            },
        )

    def without_pattern(self, metrics_of: str) -> "Result":
        """Of an object that was changed, to which the measured pattern no longer belongs.

        metrics_of: in words, the object before; the metrics of the document stay those of the first one that was
        changed, and the document says so.
        """
        shape = self.object.shape
        return replace(
            self,
            document={METRICS_OF: metrics_of, **self.document},
            modulus=np.zeros(shape, np.float32),
            mask=np.full(shape, MaskState.PADDING, np.uint8),
            coherence_kernel=None,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The inverse of `of`; what is unknown of the geometry is NaN."""
        rank = self.object.ndim
        kernel = self.coherence_kernel
        return {
            "object": self.object,
            "amplitude": self.amplitude,
            "phase": self.phase,
            "phase_flat": self.phase_flat,
            "support": self.support,
            "modulus": self.modulus,
            "mask": self.mask,
            "voxel_size_m": np.full(rank, np.nan) if self.voxel_size_m is None else np.array(self.voxel_size_m),
            "voxel_basis_m": np.full((rank, 3), np.nan) if self.voxel_basis_m is None else self.voxel_basis_m,
            "q_centre": np.full(3, np.nan) if self.q_centre is None else self.q_centre,
            "sample_rotation": np.full((3, 3), np.nan) if self.sample_rotation is None else self.sample_rotation,
            **self.derived,
            **({} if kernel is None else {"coherence_kernel": kernel}),
            "document": np.array(json.dumps(self.document)),
        }


def _known(arrays: Arrays, name: str) -> NDArray[np.float64] | None:
    array = arrays.get(name)
    return None if array is None or np.isnan(array).any() else np.asarray(array, np.float64)
