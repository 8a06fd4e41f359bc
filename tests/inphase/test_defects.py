"""Dislocations whose Burgers vector is known, in every frame, and fields without any."""

from itertools import pairwise

import numpy as np
import pytest

from inphase.defects import dislocations, offsets_disagree, residues
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.orthogonal import rotation_to
from tests.inphase.scans import SCAN_54
from tests.inphase.voxels import positions

SHAPE = (30, 34, 28)
SHEARED = SCAN_54.geometry().binned((12, 10, 9))
Q = SHEARED.q_centre
LENGTH = float(np.linalg.norm(Q))
D = 2 * np.pi / LENGTH
BALL = np.linalg.norm(np.indices(SHAPE).T[..., ::1].T - np.array(SHAPE).reshape(3, 1, 1, 1) // 2, axis=0) < 11


def screw(direction: np.ndarray, place: np.ndarray, burgers_m: float) -> np.ndarray:
    """A crystal whose displacement along Q gains burgers_m on a right-handed circuit about a line, core dark."""
    r = positions(SHEARED, SHAPE) - place
    t = direction / np.linalg.norm(direction)
    e1 = np.cross(t, [0.3, 0.5, 0.9])
    e1 /= np.linalg.norm(e1)
    a, b = r @ e1, r @ np.cross(t, e1)
    u = burgers_m * np.arctan2(b, a) / (2 * np.pi)
    amplitude = BALL * np.tanh(np.hypot(a, b) / 8e-9)
    return (amplitude * np.exp(-1j * LENGTH * u)).astype(np.complex64)


@pytest.mark.parametrize("handed", [1, -1])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("direction", [(0.1, 0.2, 1.0), (1.0, 0.3, -0.2), (-0.2, 1.0, 0.1)])
def test_a_dislocation_has_its_burgers_vector(handed: int, mirror: bool, direction: tuple[float, ...]) -> None:
    """b along Q is one spacing with its sign, place and direction are the line's, in all three frames.
    A grid whose first axis runs backwards has the other handedness, and the same answer.
    """
    t, place = np.array(direction), np.array([12e-9, -8e-9, 5e-9])
    obj, geometry = screw(t, place, handed * D), SHEARED
    inside = np.abs(obj) > 0.3
    if mirror:
        obj, inside = obj[::-1], inside[::-1]
        geometry = Geometry(SHEARED.q_steps * np.array([[-1], [1], [1]]), Q)
        place = place + SHEARED.voxel_basis_m(SHAPE)[0]  # of 30 voxels, number 15 becomes number 14
    found, count = dislocations(obj, inside, geometry)
    assert len(found) == 1
    line = found[0]
    assert count == line.residues >= 15
    assert line.burgers_along_q_m == pytest.approx(line.winding * D)
    sense = np.sign(t[np.abs(t).argmax()])
    assert line.winding == handed * sense
    unit = sense * t / np.linalg.norm(t)
    assert np.dot(line.laboratory.direction, unit) > 0.97
    # the line passes through `place`: what is left across it is less than a voxel
    across = np.array(line.laboratory.place) - place
    across -= (across @ unit) * unit
    assert np.linalg.norm(across) < 10e-9
    assert line.laboratory.burgers_along_q == pytest.approx(line.winding * D * Q / LENGTH)
    basis, turn = geometry.voxel_basis_m(SHAPE), rotation_to("crystal", geometry)
    assert np.array(line.detector.place) @ basis == pytest.approx(line.laboratory.place)
    assert np.array(line.detector.burgers_along_q) @ basis == pytest.approx(line.laboratory.burgers_along_q)
    assert line.crystal is not None
    assert line.crystal.burgers_along_q == pytest.approx([0, line.winding * D, 0], abs=1e-6 * D)
    assert line.crystal.direction == pytest.approx(turn @ line.laboratory.direction)


def test_a_smooth_crystal_has_none() -> None:
    """Neither residues nor voxels whose offsets disagree; noise of half a radian makes no line."""
    r = positions(SHEARED, SHAPE)
    smooth = (BALL * np.exp(1j * (2 * np.sin(r[..., 0] / 40e-9) + r[..., 1] / 30e-9))).astype(np.complex64)
    assert not residues(smooth, BALL).any()
    assert offsets_disagree(smooth, BALL) == 0
    noisy = smooth * np.exp(1j * np.random.default_rng(0).uniform(-0.5, 0.5, SHAPE))
    found, _ = dislocations(noisy, BALL, SHEARED)
    assert found == ()


def test_offsets_agree_beside_a_dislocation_and_not_in_noise() -> None:
    """That is what they are for. Between two random phases two of three offsets wrap with a chance of 1 / 12, so that
    1 - (11 / 12)^6 = 0.41 of the voxels with six neighbours are beside such a pair.
    """
    obj = screw(np.array([0.1, 0.2, 1.0]), np.zeros(3), D)
    assert offsets_disagree(obj, BALL) < 0.01
    noise = np.exp(1j * np.random.default_rng(1).uniform(-np.pi, np.pi, SHAPE))
    assert offsets_disagree(noise, BALL) == pytest.approx(0.41, abs=0.06)


def test_residues_are_the_circulation() -> None:
    """Against a loop over every square by hand."""
    obj = np.exp(1j * np.random.default_rng(2).uniform(-np.pi, np.pi, (4, 5, 6)))
    found = residues(obj, np.ones(obj.shape, bool))
    for i in range(3):
        for j in range(4):
            for k in range(5):
                for normal in range(3):
                    a, b = np.eye(3, dtype=int)[[(normal + 1) % 3, (normal + 2) % 3]]
                    corners = [np.array((i, j, k)) + step for step in (0 * a, a, a + b, b, 0 * a)]
                    phases = [np.angle(obj[tuple(corner)]) for corner in corners]
                    turns = sum(np.angle(np.exp(1j * (q - p))) for p, q in pairwise(phases))
                    assert found[normal, i, j, k] == round(turns / (2 * np.pi))


def test_without_q_no_burgers_vector() -> None:
    """A winding of the phase is no length."""
    with pytest.raises(DataError, match="q_centre"):
        dislocations(BALL.astype(np.complex64), BALL, Geometry(SHEARED.q_steps))
