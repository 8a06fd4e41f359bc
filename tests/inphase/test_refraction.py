"""inphase.refraction against the path through a plate, whose lengths are known."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.geometry import Geometry, wavelength_m
from inphase.refraction import corrected, paths_m
from inphase.strain import strain

SHAPE = (24, 26, 28)
K = 2 * np.pi / wavelength_m(9.0)
TWO_THETA = np.radians(30)
# scattered upwards by 30 degrees; cubic voxels of 8 nm, axes z, y, x
OUT = np.array([0.0, np.sin(TWO_THETA), np.cos(TWO_THETA)])
Q = K * (OUT - [0, 0, 1])
GRID = Geometry.of_voxels(8e-9 * np.eye(3)[::-1], SHAPE, Q)
BOX = np.zeros(SHAPE, bool)
BOX[6:18, 5:21, 4:24] = True  # 96 nm along the beam, 128 nm up, 160 nm across


def test_paths_through_a_box() -> None:
    """In along z to the entrance face, out along 30 degrees upwards through the back or through the top."""
    found = paths_m(BOX, GRID, 9.0)
    assert not found[~BOX].any()
    for index in ((6, 6, 10), (12, 12, 12), (17, 20, 14), (7, 19, 20)):
        z, y, _ = (8e-9 * i for i in index)
        into = z - 8e-9 * 5.5  # the face lies half a voxel before the first one
        back, top = (8e-9 * 17.5 - z) / OUT[2], (8e-9 * 20.5 - y) / OUT[1]
        # the box is a volume of voxels, whose edge is a step of one voxel between 0 and 1
        assert found[index] == pytest.approx(into + min(back, top), abs=6e-9)


def test_the_correction_undoes_the_refraction() -> None:
    """A wave that gains exp(-k (i delta + beta) s) comes back as it was; 0.2 rad in 100 nm of gold."""
    delta, beta = 4.3e-5, 3.5e-6
    way = paths_m(BOX, GRID, 9.0).astype(np.float64)
    obj = np.where(BOX, np.exp(0.3j), 0)
    seen = obj * np.exp(-K * (1j * delta + beta) * way)
    back = corrected(seen.astype(np.complex64), BOX, GRID, energy_kev=9.0, delta=delta, beta=beta)
    assert np.allclose(back, obj, atol=1e-5)
    assert K * delta * 100e-9 == pytest.approx(0.2, abs=0.02)


def test_what_lies_before_a_gap_counts() -> None:
    """Two plates of 2 voxels across the beam, 12 voxels apart: the light to the second crosses the first."""
    plates = np.zeros(SHAPE, bool)
    plates[4:6, 2:24, 2:26] = plates[18:20, 2:24, 2:26] = True
    along_beam = Geometry.of_voxels(8e-9 * np.eye(3)[::-1], SHAPE, K * np.array([0.02, 0.0, 0.0]))
    into_first, into_second = (paths_m(plates, along_beam, 9.0)[z, 12, 12] for z in (4, 18))
    # to either voxel of each pair and on to the back lies one pair in all: the second has the first before it
    assert into_second == pytest.approx(16e-9 + 16e-9, abs=3e-9)
    assert into_first == pytest.approx(16e-9 + 16e-9, abs=3e-9)


def test_a_plate_in_symmetric_reflection_is_seen_with_too_small_a_spacing() -> None:
    """Bragg's law in matter, n lambda = 2 d sin theta (1 - delta / sin^2 theta): a flat phase at Q is d so much larger.

    It fixes the sign of the correction against that of the strain, without a path of ours.
    """
    theta, delta, shape = TWO_THETA / 2, 4.3e-5, (80, 16, 8)
    in_plane = np.array([0.0, np.sin(theta), np.cos(theta)])
    basis = 8e-9 * np.stack([in_plane, Q / np.linalg.norm(Q), [1.0, 0.0, 0.0]])  # axis 1 is the surface's normal
    plate = np.zeros(shape, bool)
    plate[3:77, 4:11, 2:6] = True
    grid = Geometry.of_voxels(basis, shape, Q)
    back = corrected(plate.astype(np.complex64), plate, grid, energy_kev=9.0, delta=delta)
    found = strain(back, plate, grid).d_spacing_m[40, 5:10, 3:5]  # no way there passes the plate's ends
    shift = found / (2 * np.pi / np.linalg.norm(Q)) - 1
    assert shift == pytest.approx(delta / np.sin(theta) ** 2, rel=0.02)


def test_what_is_missing() -> None:
    """Q, and an energy above zero."""
    with pytest.raises(DataError, match="q_centre"):
        paths_m(BOX, Geometry.of_voxels(8e-9 * np.eye(3)[::-1], SHAPE), 9.0)
    with pytest.raises(DataError, match="above zero"):
        paths_m(BOX, GRID, 0.0)


@pytest.mark.parametrize(("energy", "elastic"), [(9.0, True), (9.1, True), (8.0, False), (11.0, False), (0.9, False)])
def test_photons_of_another_energy_are_refused(energy: float, elastic: bool) -> None:
    """|k + Q| is |k| for the light that Q was measured with: of Q = k (out - in), 30 degrees apart, and k' for k the
    difference is (Q / k')^2 (1 - k' / k) / 2 and smaller by no more than a fifth.
    """
    if elastic:
        paths_m(BOX, GRID, energy)
        return
    with pytest.raises(DataError, match=r"keV are not scattered by this Q"):
        paths_m(BOX, GRID, energy)


def test_a_geometry_of_another_frame_is_refused() -> None:
    """Q along y, as in the frame of the crystal, scatters nothing that comes along z."""
    turned = Geometry.of_voxels(8e-9 * np.eye(3)[::-1], SHAPE, np.array([0.0, np.linalg.norm(Q), 0.0]))
    with pytest.raises(DataError, match="laboratory's frame"):
        paths_m(BOX, turned, 9.0)
