"""Sampling of reciprocal space, and the voxels of the object that follow from it.

The sampling is kept as one matrix, the step in q per voxel of each array axis; binning and cropping change it in one
place, so that "bin, then transform" equals "transform" (reference/geometry). Where it comes from:
inphase.diffractometer.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

PHASE_SIGN = "F(q) = sum o(r) exp(-i q.r)"  # of every stored object: numpy's and PyNX's; cohere's is the opposite
PLANCK_EV_M = 1.239841984e-6  # h c in eV m


def wavelength_m(energy_kev: float) -> float:
    """Wavelength in metres of photons of this energy in keV."""
    return PLANCK_EV_M / (1e3 * energy_kev)


@dataclass(frozen=True)
class Geometry:
    """Sampling of reciprocal space, in the laboratory frame: x outboard, y up, z along the beam.

    q_steps: (3, 3) float64, 1/m: row a is the change of q when array axis a (rocking, row, column) grows by one voxel;
        (2, 3) of a single frame.
    q_centre: (3,) float64, 1/m: momentum transfer at the array's DC voxel N // 2, |q| = 2 pi / d; None where unknown.
    sample_rotation: (3, 3): turns a laboratory vector into the frame of the sample with all its circles at zero; None
        where the circles are unknown.
    """

    q_steps: NDArray[np.float64]
    q_centre: NDArray[np.float64] | None = None
    sample_rotation: NDArray[np.float64] | None = None

    @classmethod
    def of_voxels(
        cls,
        voxel_basis_m: NDArray[np.float64],
        shape: tuple[int, ...],
        q_centre: NDArray[np.float64] | None = None,
        sample_rotation: NDArray[np.float64] | None = None,
    ) -> "Geometry":
        """The inverse of `voxel_basis_m`: q_steps from the real-space steps of an object on `shape` voxels."""
        extent = 2 * np.pi * _inverse(voxel_basis_m).T
        return cls(extent / np.asarray(shape, float)[:, None], q_centre, sample_rotation)

    def binned(self, factors: tuple[int, ...]) -> "Geometry":
        """Geometry after sum-binning by integer factors per axis;
        the DC voxel is taken to stay where it is (`moved`).
        """
        return replace(self, q_steps=self.q_steps * np.asarray(factors, float)[:, None])

    def moved(self, voxels: tuple[float, ...]) -> "Geometry":
        """Geometry of a window whose DC voxel lies `voxels` further along each axis."""
        if self.q_centre is None:
            return self
        return replace(self, q_centre=self.q_centre + np.asarray(voxels, float) @ self.q_steps)

    def q(self, voxels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Momentum transfer, (..., 3) in 1/m, at voxels (..., 3) counted from the DC voxel;
        from 0 where q_centre is unknown.
        """
        offset: NDArray[np.float64] = np.asarray(voxels, np.float64) @ self.q_steps
        return offset if self.q_centre is None else offset + self.q_centre

    def voxel_basis_m(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """(3, 3) metres: row a is the real-space step along axis a of an object sampled on `shape` voxels.

        Rows r_a satisfy r_a . (N_b dq_b) = 2 pi delta_ab: the DFT pair of the (in general sheared) q grid. Of a single
        frame (2, 3): the steps of the projection, in the plane of the frame.
        """
        extent = self.q_steps * np.asarray(shape, float)[:, None]
        basis: NDArray[np.float64] = 2 * np.pi * _inverse(extent).T
        return basis

    def voxel_size_m(self, shape: tuple[int, ...]) -> tuple[float, ...]:
        """Length of each real-space step in metres. 2 pi / (N dq) per axis where the q axes are orthogonal."""
        return tuple(float(length) for length in np.linalg.norm(self.voxel_basis_m(shape), axis=1))


def _inverse(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of three steps, or the pseudo-inverse of the two of a frame."""
    return np.asarray(np.linalg.inv(steps) if len(steps) == 3 else np.linalg.pinv(steps), np.float64)
