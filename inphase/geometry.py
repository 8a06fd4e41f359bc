"""From detector pixels and rocking steps to q-space and to voxels of the reconstructed object.

The geometry is kept as one matrix, the step in q per voxel of each array axis; binning and cropping change it in one
place, so that "bin, then transform" equals "transform" (reference/bcdi 6.6).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

PLANCK_EV_M = 1.239841984e-6  # h c in eV m


def wavelength_m(energy_kev: float) -> float:
    """Wavelength in metres of photons of this energy in keV."""
    return PLANCK_EV_M / (1e3 * energy_kev)


@dataclass(frozen=True)
class Geometry:
    """Sampling of reciprocal space.

    q_steps: (3, 3) float64, 1/m: row a is the change of q when array axis a (rocking, row, column) grows by one voxel.
    q_centre: (3,) float64, 1/m: momentum transfer at the array's DC voxel N // 2, |q| = 2 pi / d; None where unknown.
    """

    q_steps: NDArray[np.float64]
    q_centre: NDArray[np.float64] | None = None

    def binned(self, factors: tuple[int, int, int]) -> "Geometry":
        """Geometry after sum-binning by integer factors per axis."""
        return replace(self, q_steps=self.q_steps * np.asarray(factors, float)[:, None])

    def moved(self, voxels: tuple[float, float, float]) -> "Geometry":
        """Geometry of a window whose DC voxel lies `voxels` further along each axis."""
        if self.q_centre is None:
            return self
        return replace(self, q_centre=self.q_centre + np.asarray(voxels, float) @ self.q_steps)

    def voxel_basis_m(self, shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """(3, 3) metres: row a is the real-space step along axis a of an object sampled on `shape` voxels.

        Rows r_a satisfy r_a . (N_b dq_b) = 2 pi delta_ab: the DFT pair of the (in general sheared) q grid.
        """
        extent = self.q_steps * np.asarray(shape, float)[:, None]
        basis: NDArray[np.float64] = 2 * np.pi * np.linalg.inv(extent).T
        return basis

    def voxel_size_m(self, shape: tuple[int, int, int]) -> tuple[float, float, float]:
        """Length of each real-space step in metres. 2 pi / (N dq) per axis where the q axes are orthogonal."""
        a, b, c = np.linalg.norm(self.voxel_basis_m(shape), axis=1)
        return float(a), float(b), float(c)


@dataclass(frozen=True)
class RockingScan:
    """A Bragg rocking scan on a six-circle diffractometer with a flat detector (34-ID-C angles).

    Laboratory frame: x outboard, y up, z along the beam. `delta` turns the detector about +y, `gamma` lifts it
    (elevation); the sample turns by `step_deg` per frame about `axis`.
    """

    energy_kev: float
    distance_m: float
    pixel_m: tuple[float, float]  # (row, column) pitch
    delta_deg: float
    gamma_deg: float
    step_deg: float
    axis: tuple[float, float, float] = (0.0, 1.0, 0.0)

    def geometry(self) -> Geometry:
        """q-space steps around the centre of the detector."""
        k = 2 * np.pi / wavelength_m(self.energy_kev)
        delta, gamma = np.deg2rad([self.delta_deg, self.gamma_deg])
        out = np.array([np.sin(delta) * np.cos(gamma), np.sin(gamma), np.cos(delta) * np.cos(gamma)])
        # unit steps on the detector face: columns run along increasing delta, rows downwards
        column = np.array([np.cos(delta), 0.0, -np.sin(delta)])
        row = -np.array([-np.sin(delta) * np.sin(gamma), np.cos(gamma), -np.cos(delta) * np.sin(gamma)])
        q = k * (out - np.array([0.0, 0.0, 1.0]))
        axis = np.asarray(self.axis, float) / np.linalg.norm(self.axis)
        # turning the crystal by +step turns its reciprocal lattice, so that a fixed pixel sees q turned by -step
        rocking = -np.deg2rad(self.step_deg) * np.cross(axis, q)
        steps = np.stack(
            [rocking, k * self.pixel_m[0] / self.distance_m * row, k * self.pixel_m[1] / self.distance_m * column]
        )
        return Geometry(q_steps=steps, q_centre=q)
