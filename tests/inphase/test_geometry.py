"""q-space and voxel sizes against the SPEC header of a real scan and closed formulas."""

import numpy as np
import pytest

from inphase.geometry import Geometry, RockingScan, wavelength_m

# APS 34-ID-C scan 54: 9 keV, camera at 0.5 m, 55 um pixels, delta 32.174, gamma 12.6346, 201 steps of 0.005 deg
SCAN = RockingScan(
    energy_kev=9.0, distance_m=0.5, pixel_m=(55e-6, 55e-6), delta_deg=32.174, gamma_deg=12.6346, step_deg=0.005
)


def test_wavelength() -> None:
    """9 keV is 1.3776 Angstrom."""
    assert wavelength_m(9.0) == pytest.approx(1.3776e-10, rel=1e-4)


def test_scan_54_is_the_111_reflection_of_gold() -> None:
    """Two theta 34.3 deg and d = 2.335 A, as derived from the header (gold has 2.355 A)."""
    q = np.linalg.norm(SCAN.geometry().q_centre)  # type: ignore[arg-type]
    two_theta = np.degrees(2 * np.arcsin(q * wavelength_m(9.0) / (4 * np.pi)))
    assert two_theta == pytest.approx(34.3, abs=0.05)
    assert 2 * np.pi / q == pytest.approx(2.335e-10, rel=1e-3)


def test_scan_54_steps() -> None:
    """A rocking step about an axis across Q is |Q| x 0.005 deg = 2.35e-4 1/A; theta turns about the vertical, which is not
    across Q, and moves only the horizontal part of Q. A pixel is k p / D."""
    geometry = SCAN.geometry()
    q = geometry.q_centre
    assert q is not None
    step = np.deg2rad(0.005)
    assert np.linalg.norm(q) * step * 1e-10 == pytest.approx(2.35e-4, rel=2e-3)
    horizontal = np.hypot(q[0], q[2])
    assert np.linalg.norm(geometry.q_steps[0]) == pytest.approx(horizontal * step, rel=1e-9)
    pixel = 2 * np.pi / wavelength_m(9.0) * 55e-6 / 0.5
    np.testing.assert_allclose(np.linalg.norm(geometry.q_steps[1:], axis=1), pixel)


def test_scan_54_detector_voxel() -> None:
    """lambda D / (N p) = 4.89 nm for 256 pixels: the size across the beam, to which the sheared basis projects."""
    geometry = SCAN.geometry()
    basis = geometry.voxel_basis_m((201, 256, 256))
    face = geometry.q_steps[1:] / np.linalg.norm(geometry.q_steps[1:], axis=1, keepdims=True)
    np.testing.assert_allclose(np.diag(face @ basis[1:].T), 4.89e-9, rtol=1e-3)


def test_steps_are_differences_of_q() -> None:
    """Rotating the crystal by a step and moving the detector by a pixel, computed directly, give the steps (to 0.1 %: the
    arc of a step, the flatness of the detector)."""
    geometry = SCAN.geometry()
    q = geometry.q_centre
    assert q is not None
    k = 2 * np.pi / wavelength_m(9.0)
    out = q / k + np.array([0, 0, 1.0])
    angle = -np.deg2rad(0.005)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    np.testing.assert_allclose(turn @ q - q, geometry.q_steps[0], atol=1e-3 * np.linalg.norm(geometry.q_steps[0]))
    for axis, unit in ((1, np.array([0.0, -1.0])), (2, np.array([1.0, 0.0]))):
        column = np.cross([0, 1, 0], out)
        column /= np.linalg.norm(column)
        up = np.cross(out, column)
        there = 0.5 * out + 55e-6 * (unit[0] * column + unit[1] * up)
        step = k * there / np.linalg.norm(there) - k * out
        np.testing.assert_allclose(step, geometry.q_steps[axis], atol=1e-3 * np.linalg.norm(step))


def test_real_space_is_the_dual_of_q_space() -> None:
    """r_a . (N_b dq_b) = 2 pi delta_ab for a sheared grid, so that the DFT's phase is exp(-i q.r)."""
    geometry = Geometry(np.random.default_rng(0).normal(size=(3, 3)) * 1e6)
    shape = (10, 20, 30)
    product = geometry.voxel_basis_m(shape) @ (geometry.q_steps * np.array(shape)[:, None]).T
    np.testing.assert_allclose(product, 2 * np.pi * np.eye(3), atol=1e-9)


@pytest.mark.parametrize("bins", [(4, 2, 2), (1, 3, 5)])
def test_binning_the_q_grid_keeps_the_voxel(bins: tuple[int, int, int]) -> None:
    """N voxels of b dq span the same q range as N b voxels of dq: same real-space basis."""
    geometry = SCAN.geometry()
    whole = geometry.voxel_basis_m(tuple(64 * b for b in bins))  # type: ignore[arg-type]
    np.testing.assert_allclose(geometry.binned(bins).voxel_basis_m((64, 64, 64)), whole)


def test_moving_the_window_moves_q() -> None:
    """q_centre grows by the steps; where it is unknown it stays so."""
    steps = np.diag([1.0, 2.0, 3.0])
    moved = Geometry(steps, np.zeros(3)).moved((1.0, 0.5, -2.0))
    np.testing.assert_allclose(moved.q_centre, [1.0, 1.0, -6.0])
    assert Geometry(steps).moved((1.0, 1.0, 1.0)).q_centre is None
