"""Displacement, strain and d-spacing against closed formulas on a sheared grid, against a sum over atoms,
and at a dislocation.
"""

import numpy as np
import pytest
from skimage.restoration import unwrap_phase

from inphase import ambiguity, fourier
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.strain import crystal_voxels, phase_gradient, strain, unwrapped
from tests.inphase.scans import SCAN_54
from tests.inphase.voxels import bulk, positions

SHAPE = (40, 44, 36)
SHEARED = SCAN_54.geometry().binned((12, 10, 9))  # voxels of about 10 nm, sheared as those of a real scan
Q = SHEARED.q_centre
LENGTH = float(np.linalg.norm(Q))
D0 = 2 * np.pi / LENGTH


def ball(shape: tuple[int, int, int] = SHAPE, radius: float = 13.3) -> np.ndarray:
    indices = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1)
    return np.linalg.norm(indices, axis=-1) <= radius


def displaced(u_m: np.ndarray, support: np.ndarray, q: float = LENGTH) -> np.ndarray:
    """The object, phase -Q.u, whose planes are displaced by u along Q."""
    return (support * np.exp(-1j * q * u_m)).astype(np.complex64)


X_Q = positions(SHEARED, SHAPE) @ (Q / LENGTH)


@pytest.mark.parametrize("epsilon", [1e-3, -4e-4])
def test_uniform_strain_is_a_ramp(epsilon: float) -> None:
    """u = e x_Q: with the ramp the strain is e, without it 0, and the planes stand at d0 / (1 - e), for G = Q (1 - e).
    The ramp is -e Q r_a for each step r_a. To single precision of a phase difference, 1e-6 rad over 0.1 rad per voxel.
    """
    made = strain(displaced(epsilon * X_Q, ball()), ball(), SHEARED)
    inside = made.inside
    np.testing.assert_array_equal(inside, ball())
    np.testing.assert_allclose(made.strain_with_ramp[inside], epsilon, atol=1e-7)
    np.testing.assert_allclose(made.strain[inside], 0.0, atol=1e-7)
    np.testing.assert_allclose(made.d_spacing_m[inside], D0 / (1 - epsilon), rtol=3e-7)
    np.testing.assert_allclose(made.displacement_m[inside], 0.0, atol=1e-6 / LENGTH * 10)
    np.testing.assert_allclose(made.ramp, -epsilon * SHEARED.voxel_basis_m(SHAPE) @ Q, atol=1e-5)
    assert np.isnan(made.strain[~inside]).all()
    np.testing.assert_allclose(
        made.cubic_lattice_parameter_m((1, 1, 1))[inside], 3**0.5 * D0 / (1 - epsilon), rtol=3e-7
    )


def test_quadratic_displacement_is_linear_strain() -> None:
    """u = k x_Q^2 / 2: strain k x_Q, exactly in the bulk; at the surface a one-sided difference is that of the middle
    between two voxels, at most half a voxel's k |r_a . q| per axis off. The flat strain differs by its weighted mean
    alone.
    """
    curvature = 8e3  # 1/m: 1e-3 at 130 nm
    support = ball()
    made = strain(displaced(curvature * X_Q**2 / 2, support), support, SHEARED)
    expected = curvature * X_Q
    inner = bulk(support)
    np.testing.assert_allclose(made.strain_with_ramp[inner], expected[inner], atol=1e-7)
    error = np.abs(made.strain_with_ramp - expected)[support]
    half = np.abs(SHEARED.voxel_basis_m(SHAPE) @ Q / LENGTH) * curvature / 2
    assert 0 < error.max() <= half.sum() + 1e-7
    offset = (made.strain_with_ramp - made.strain)[support]
    assert np.ptp(offset) < 1e-9
    assert abs(made.strain[support].mean()) < 2e-5
    u = made.displacement_m + X_Q * offset.mean() - curvature * X_Q**2 / 2
    assert np.ptp(u[support]) * LENGTH < 1e-3  # the displacement is the flat one: a line along x_Q and a constant apart


def test_shear_across_q_is_no_strain_along_it() -> None:
    """u_Q that varies across Q turns the planes: no strain along Q, and a d-spacing shorter by the second order
    only.
    """
    across = np.cross(Q / LENGTH, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    tilt = 5e-4
    made = strain(displaced(tilt * positions(SHEARED, SHAPE) @ across, ball()), ball(), SHEARED)
    np.testing.assert_allclose(made.strain_with_ramp[ball()], 0.0, atol=1e-7)
    np.testing.assert_allclose(made.d_spacing_m[ball()], D0 / np.sqrt(1 + tilt**2), rtol=2e-7)


def test_the_sign_is_that_of_a_sum_over_atoms() -> None:
    """Atoms on a lattice, moved by u(R); their far field exp(-i Q.(R + u)), summed atom by atom around a Bragg peak, is
    the transform of an object with the phase -G.u. A lattice stretched in the middle shows positive strain there.
    """
    n, a = 16, 4e-10
    g = 2 * np.pi / a * np.array([0.0, 24.0, 0.0])  # a high order, so that exp(-i (Q - G).u) is negligible
    geometry = Geometry(np.eye(3) * 2 * np.pi / (n * a), g)
    sites = positions(geometry, (n, n, n)).reshape(-1, 3)
    support = ball((n, n, n), 5.3)
    sites = sites[support.ravel()]
    y = sites[:, 1]
    u = 0.004 * a * np.sin(2 * np.pi * y / (n * a))  # du/dy > 0 in the middle
    moved = sites + np.outer(u, [0.0, 1.0, 0.0])
    grid = geometry.q(np.stack(np.meshgrid(*(np.arange(n) - n // 2,) * 3, indexing="ij"), axis=-1)).reshape(-1, 3)
    field = np.exp(-1j * grid @ moved.T).sum(axis=1).reshape(n, n, n)
    obj = fourier.backward(field)
    expected = np.zeros((n, n, n))
    expected[support] = u
    made = strain(obj.astype(np.complex64), support, geometry)
    np.testing.assert_allclose(np.angle(obj)[support], -np.linalg.norm(g) * u, atol=0.05)
    assert made.strain_with_ramp[n // 2, n // 2, n // 2] == pytest.approx(0.004 * 2 * np.pi / n, rel=0.05)


def test_right_where_unwrapping_fails() -> None:
    """A screw-like dislocation along axis 0 (the phase turns once around it): the strain agrees with the analytic one
    to the differences' own error, 1 / (3 rho^3) per voxel, from two voxels off the core; the gradient of the unwrapped
    phase is wrong by 2 pi somewhere, at any distance, along the cut that it must have.
    """
    shape = (8, 48, 48)
    geometry = Geometry(np.diag([4e7, 1.3e7, 1.3e7]), np.array([0.0, 1.0, 1.0]) * 2.7e10 / np.sqrt(2))
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), axis=-1).astype(float)
    y, x = index[..., 1] - 0.5, index[..., 2] - 0.5  # the core between four voxels
    rho = np.hypot(x, y)
    support = rho < 20
    obj = (support * np.exp(1j * np.arctan2(y, x))).astype(np.complex64)
    made = strain(obj, support, geometry)
    step = np.linalg.norm(geometry.voxel_basis_m(shape)[1])
    # Q is across neither axis, because the cut of the phase may lie along one of them
    expected = -((x - y) / np.sqrt(2) / rho**2) / step / 2.7e10
    far = bulk(support) & (rho > 2)
    far[[0, -1]] = False
    error = np.abs(made.strain_with_ramp - expected)[far] * step * 2.7e10  # back in radians per voxel
    assert (error <= 0.5 / rho[far] ** 3 + 1e-5).all()
    naive = np.gradient(
        np.asarray(unwrap_phase(np.ma.masked_array(np.angle(obj), ~support), rng=0).filled(0.0)), axis=1
    )
    wrong = np.abs(naive - x / rho**2)[far]
    assert (wrong[rho[far] > 10] > 3).any()  # half of 2 pi: a central difference across the cut
    assert np.isfinite(made.displacement_m[support]).all()


def test_the_surface_is_where_the_maps_end() -> None:
    """What lies outside the isosurface has no influence, however wild;
    voxels without a neighbour along an axis are NaN.
    """
    support = ball()
    wild = np.where(support, 0, np.random.default_rng(0).normal(size=SHAPE) * 0.05)
    obj = displaced(3e-4 * X_Q, support)
    noisy = (obj + wild).astype(np.complex64)
    quiet, loud = phase_gradient(obj, support), phase_gradient(noisy, support)
    np.testing.assert_array_equal(quiet, loud)
    needle = np.zeros(SHAPE, bool)
    needle[10, 10, 5:20] = True
    found = phase_gradient(obj, needle)
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2][needle]).all()


def test_voxels_below_the_isosurface_do_not_count() -> None:
    """Within the support, at least a share of its 99.9th percentile, so that one bright voxel does not decide."""
    amplitude = np.full(SHAPE, 0.1)
    amplitude[ball(radius=8.3)] = 1.0
    amplitude[20, 22, 18] = 50.0
    amplitude[0, 0, 0] = 100.0  # outside the support
    np.testing.assert_array_equal(crystal_voxels(amplitude, ball(), 0.3), ball(radius=8.3))
    assert crystal_voxels(amplitude, ball(), 0.0).sum() == ball().sum()


def test_unwrapping_holds_each_piece_together() -> None:
    """A phase over several turns comes back as it was, in two pieces with different offsets, up to whole turns of each;
    a single voxel and a plane too.
    """
    true = np.linspace(0, 25, SHAPE[0])[:, None, None] + np.zeros(SHAPE)
    inside = np.zeros(SHAPE, bool)
    inside[2:18, 5:30, 5:30] = inside[20:38, 5:30, 5:30] = inside[19, 40, 20] = True
    inside[22, 32:40, 5:30] = True
    found = unwrapped(np.exp(1j * true).astype(np.complex64), inside)
    for piece in (np.s_[2:18, 5:30, 5:30], np.s_[20:38, 5:30, 5:30], np.s_[19, 40, 20], np.s_[22, 32:40, 5:30]):
        turns = (found - true)[piece] / (2 * np.pi)
        np.testing.assert_allclose(turns, np.round(turns).flat[0], atol=1e-6)
    assert np.isnan(found[~inside]).all()


def test_a_shift_moves_the_maps_and_a_twin_mirrors_them() -> None:
    """Rolling the object rolls every map; its twin has the mirrored strain and d-spacing and the mirrored, negated
    displacement."""
    support = ball()
    obj = displaced(4e3 * X_Q**2 + 2e-4 * X_Q, support)
    made = strain(obj, support, SHEARED)
    rolled = strain(np.roll(obj, (2, -1, 3), (0, 1, 2)), np.roll(support, (2, -1, 3), (0, 1, 2)), SHEARED)
    for name in ("displacement_m", "strain", "strain_with_ramp", "d_spacing_m"):
        before = np.roll(getattr(made, name), (2, -1, 3), (0, 1, 2))
        np.testing.assert_allclose(
            getattr(rolled, name), before, rtol=1e-5, atol=1e-13 if name == "displacement_m" else 1e-7
        )
    mirrored = np.roll(np.flip(support), 1, (0, 1, 2))
    twin = strain(ambiguity.twin(obj), mirrored, SHEARED)
    for name, sign in (("displacement_m", -1), ("strain", 1), ("strain_with_ramp", 1), ("d_spacing_m", 1)):
        before = sign * np.roll(np.flip(getattr(made, name)), 1, (0, 1, 2))
        np.testing.assert_allclose(
            getattr(twin, name), before, rtol=1e-5, atol=1e-13 if name == "displacement_m" else 1e-7
        )


def test_the_ramp_is_the_one_of_the_canonical_form() -> None:
    """One ramp: that which inphase.ambiguity reports and phase_flat lacks."""
    support = ball()
    obj = displaced(4e3 * X_Q**2 + 2e-4 * X_Q, support)
    canonical = ambiguity.canonical(obj, support)
    made = strain(canonical.object, canonical.support, SHEARED)
    np.testing.assert_allclose(made.ramp, canonical.ramp, atol=1e-6)
    wrapped = np.angle(np.exp(1j * (canonical.phase_flat + LENGTH * made.displacement_m.astype(float))))
    np.testing.assert_allclose(wrapped[made.inside], 0.0, atol=1e-4)


@pytest.mark.parametrize(
    ("geometry", "level", "message"),
    [
        (Geometry(np.eye(3) * 1e6), 0.3, "q_centre"),
        (Geometry(np.eye(3) * 1e6, np.zeros(3)), 0.3, "no reflecting planes"),
        (SHEARED, 1.5, "isosurface"),
    ],
)
def test_what_cannot_be_answered_is_said(geometry: Geometry, level: float, message: str) -> None:
    """No Q, a forward pattern, an impossible level."""
    with pytest.raises(DataError, match=message):
        strain(displaced(0 * X_Q, ball()), ball(), geometry, isosurface=level)


def test_a_phase_that_is_no_number_is_not_unwrapped() -> None:
    """The unwrapping of a NaN never ends; outside of the crystal nobody asks for it."""
    obj = np.ones((6, 7, 8), np.complex64)
    obj[0] = np.nan
    inside = np.zeros(obj.shape, bool)
    inside[1:] = True
    assert np.array_equal(np.isfinite(unwrapped(obj, inside)), inside)
    inside[0, 3, 3] = True
    with pytest.raises(DataError, match="not finite within the crystal"):
        unwrapped(obj, inside)


def test_empty_objects_and_reflections_without_planes() -> None:
    """An object of nothing, one of two dimensions, and (0, 0, 0)."""
    with pytest.raises(DataError, match="empty"):
        strain(np.zeros(SHAPE, np.complex64), ball(), SHEARED)
    with pytest.raises(DataError, match="three-dimensional"):
        strain(np.ones((4, 4), np.complex64), np.ones((4, 4), bool), SHEARED)
    with pytest.raises(DataError, match="Miller indices"):
        strain(displaced(0 * X_Q, ball()), ball(), SHEARED).cubic_lattice_parameter_m((0, 0, 0))
