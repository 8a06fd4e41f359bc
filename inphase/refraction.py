"""What the crystal itself does to the beam on its way in and out: a phase by refraction, and a loss by absorption.

Along a path of length s in matter of the index n = 1 - delta + i beta a wave exp(i k r) gains exp(i k (n - 1) s), so
the image that a kinematical retrieval finds is o exp(-k (i delta + beta) s), s the way from the entrance to the voxel
along the beam and from there to the exit along k + Q (Harder et al., Phys. Rev. B 76, 115425 (2007)). The sign is that
of inphase.fourier and inphase.strain: in a symmetric Bragg reflection of a plate the phase is that of a d-spacing too
small by delta / sin^2 theta, as the textbooks have it. It is that of the real object: for its twin, sign and path are
wrong.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.errors import DataError
from inphase.geometry import Geometry, wavelength_m

STEP = 0.5  # voxels, of the finest axis
ELASTIC = (
    0.01  # relative: how far |k + Q| may lie from |k|; a peak half a degree off the scan's middle makes half of it
)


def paths_m(inside: NDArray[np.bool_], geometry: Geometry, energy_kev: float) -> NDArray[np.float32]:
    """Way of the light through the crystal, in and out, to each voxel inside (N0, N1, N2), metres; 0 outside.

    geometry: of the grid, laboratory frame (beam along z), with Q. Raises DataError where Q is unknown, or is not that
    of light of this energy.
    """
    if geometry.q_centre is None:
        raise DataError("the momentum transfer (q_centre) is unknown: so is the way of the light out of the crystal")
    if not energy_kev > 0:
        raise DataError(f"an energy of {energy_kev} keV: give it above zero")
    n0, n1, n2 = inside.shape
    basis = geometry.voxel_basis_m((n0, n1, n2))
    k = 2 * np.pi / wavelength_m(energy_kev)
    out = k * np.array([0.0, 0.0, 1.0]) + geometry.q_centre
    inelastic = float(np.linalg.norm(out)) / k - 1
    if abs(inelastic) > ELASTIC:
        raise DataError(
            f"photons of {energy_kev:g} keV are not scattered by this Q: |k + Q| differs from |k| by {inelastic:.1%}: "
            "give the energy of the measurement, and a geometry in the laboratory's frame"
        )
    step = STEP * float(np.linalg.norm(basis, axis=1).min())
    total = np.zeros(inside.shape, np.float32)
    for direction in (np.array([0.0, 0.0, -1.0]), out / np.linalg.norm(out)):
        total[inside] += step * _steps(inside, direction * step @ np.linalg.inv(basis))
    return total


def _steps(inside: NDArray[np.bool_], advance: NDArray[np.float64]) -> NDArray[np.float32]:
    """How many steps from each voxel lie inside, by the trapezoidal rule: the voxel itself counts half."""
    volume, places = inside.astype(np.float32), np.argwhere(inside).astype(np.float64)
    found = np.full(len(places), 0.5, np.float32)
    sides = np.ptp(places, axis=0) + 1
    with np.errstate(divide="ignore"):
        last = int((sides / np.abs(advance)).min())  # beyond it every way has left the box of the crystal
    for number in range(1, last + 1):
        found += ndimage.map_coordinates(volume, (places + number * advance).T, order=1)
    return found


def corrected(
    obj: NDArray[np.complexfloating],
    inside: NDArray[np.bool_],
    geometry: Geometry,
    *,
    energy_kev: float,
    delta: float,
    beta: float = 0.0,
) -> NDArray[np.complex64]:
    """The object (N0, N1, N2) without what refraction (delta) and absorption (beta) did to the light in the crystal.

    obj: the real object and not its twin, with the sign of inphase.fourier. inside: its voxels, all of one material and
    with nothing but vacuum around. geometry, errors: as in `paths_m`.
    """
    k = 2 * np.pi / wavelength_m(energy_kev)
    way = paths_m(inside, geometry, energy_kev)
    return np.asarray(obj * np.exp(k * (1j * delta + beta) * way), np.complex64)
