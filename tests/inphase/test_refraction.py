"""inphase.refraction against the path through a plate, whose lengths are known."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.geometry import Geometry, wavelength_m
from inphase.refraction import corrected, paths_m

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


def test_what_is_missing() -> None:
    """Q, and an energy above zero."""
    with pytest.raises(DataError, match="q_centre"):
        paths_m(BOX, Geometry.of_voxels(8e-9 * np.eye(3)[::-1], SHAPE), 9.0)
    with pytest.raises(DataError, match="above zero"):
        paths_m(BOX, GRID, 0.0)
