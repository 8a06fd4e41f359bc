"""Cubic grids against the analytic object sampled on them directly."""

import numpy as np
import pytest
from scipy import ndimage

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.orthogonal import Frame, orthogonal, rotation_to
from inphase.strain import strain
from tests.inphase.scans import SCAN_54
from tests.inphase.voxels import bulk, positions

GEOMETRY = SCAN_54.geometry().binned((7, 5, 4))
SHAPE = (40, 40, 40)
Q = GEOMETRY.q_centre
UP = Q / np.linalg.norm(Q)
SEMI = np.array([90e-9, 80e-9, 70e-9])  # of an ellipsoid along x, y, z of the laboratory
CURVATURE = 6e3  # 1/m: strain of 6e-4 at 100 nm


def amplitude(places: np.ndarray) -> np.ndarray:
    """An ellipsoid with a soft edge of about a voxel, as every reconstruction has it."""
    depth = (1 - np.linalg.norm(places / SEMI, axis=-1)) * SEMI.mean()
    return 1 / (1 + np.exp(-depth / 6e-9))


def analytic(places: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    """The object at places (..., 3) in metres in the laboratory:
    quadratic displacement along Q, and a ramp in rad/m.
    """
    x_q = places @ UP
    phase = -np.linalg.norm(Q) * CURVATURE * x_q**2 / 2 + places @ ramp
    return (amplitude(places) * np.exp(1j * phase)).astype(np.complex64)


def cubic(shape: tuple[int, int, int], edge: float) -> np.ndarray:
    """(..., 3): x, y, z of the voxels of a (z, y, x) grid."""
    axes = [edge * (np.arange(n) - n // 2) for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[..., ::-1]


SHEARED = positions(GEOMETRY, SHAPE)
SUPPORT = amplitude(SHEARED) > 0.5


@pytest.mark.parametrize("frame", ["laboratory", "sample", "crystal"])
def test_the_analytic_object_comes_back(frame: Frame) -> None:
    """Amplitude and phase at every voxel of the new grid are those of the object sampled there: within 1 % of its
    amplitude in the bulk, 5 % at the edge, where cubic splines meet a step of a voxel's width. The ellipsoid has its
    volume (2 %) and its sizes (a voxel of the sheared grid).
    """
    made = orthogonal(analytic(SHEARED, np.zeros(3)), SUPPORT, GEOMETRY, frame=frame)
    places = cubic(made.shape, made.voxel_m) @ made.rotation  # frame -> laboratory
    expected = analytic(places, np.zeros(3))
    found = made.with_ramp()
    near = amplitude(places) > 0.02
    assert np.abs(found - expected)[amplitude(places) > 0.97].max() < 0.01
    assert np.abs(found - expected)[near].max() < 0.05
    volume = made.support.sum() * made.voxel_m**3
    assert volume == pytest.approx(4 / 3 * np.pi * np.prod(SEMI), rel=0.02)
    inside = places[made.support]
    np.testing.assert_allclose(
        inside.max(axis=0) - inside.min(axis=0), 2 * SEMI, atol=max(GEOMETRY.voxel_size_m(SHAPE))
    )
    differs = made.support != (amplitude(places) > 0.5)  # only within a voxel of the surface
    assert (
        np.abs(np.linalg.norm(places[differs] / SEMI, axis=-1) - 1).max()
        < max(GEOMETRY.voxel_size_m(SHAPE)) / SEMI.min()
    )


def test_a_strong_ramp_costs_no_amplitude() -> None:
    """2.5 rad per voxel along each axis: with the ramp taken off first the object comes back; interpolated with it,
    which would be wrong, more than a tenth of the amplitude is lost.
    """
    ramp = GEOMETRY.q_steps.sum(axis=0) * np.mean(SHAPE) / (2 * np.pi) * 2.5
    obj = analytic(SHEARED, ramp)
    made = orthogonal(obj, SUPPORT, GEOMETRY)
    places = cubic(made.shape, made.voxel_m)
    deep = amplitude(places) > 0.97
    assert np.abs(made.with_ramp() - analytic(places, ramp))[deep].max() < 0.015
    assert np.abs(made.object)[deep].min() > 0.96
    index = np.moveaxis(places @ np.linalg.inv(GEOMETRY.voxel_basis_m(SHAPE)) + np.array(SHAPE) // 2, -1, 0)
    naive = np.hypot(*(ndimage.map_coordinates(part, index, order=3) for part in (obj.real, obj.imag)))
    assert np.median(naive[deep]) < 0.9


def test_strain_is_the_same_on_either_grid() -> None:
    """Strain of the interpolated object on its cubic grid, Q along y of the crystal's frame: the analytic one, k x_Q,
    in the bulk to 2e-6 where it reaches 6e-4.
    """
    ramp = 3e6 * UP
    made = orthogonal(analytic(SHEARED, ramp), SUPPORT, GEOMETRY, frame="crystal")
    np.testing.assert_allclose(made.q_per_m, [0, np.linalg.norm(Q), 0], atol=1)
    maps = strain(made.with_ramp(), made.support, made.geometry(), isosurface=0.5)
    y = cubic(made.shape, made.voxel_m)[..., 1]
    expected = CURVATURE * y - ramp @ UP / np.linalg.norm(Q)
    inner = bulk(bulk(maps.inside))
    np.testing.assert_allclose(maps.strain_with_ramp[inner], expected[inner], atol=2e-6)
    assert np.abs(expected[inner]).max() > 4e-4


def test_voxels_of_a_chosen_size() -> None:
    """The edge is the one asked for; the default is the smallest distance between the planes of the sheared grid."""
    obj = analytic(SHEARED, np.zeros(3))
    made = orthogonal(obj, SUPPORT, GEOMETRY, voxel_m=20e-9)
    assert made.voxel_m == 20e-9
    assert all(n % 2 == 0 and n < 30 for n in made.shape)
    basis = GEOMETRY.voxel_basis_m(SHAPE)
    volume = abs(np.linalg.det(basis))
    distances = [volume / np.linalg.norm(np.cross(basis[a - 1], basis[a - 2])) for a in range(3)]
    assert orthogonal(obj, SUPPORT, GEOMETRY).voxel_m == pytest.approx(min(distances))


@pytest.mark.parametrize("q", [[1.0, 2.0, -0.5], [0.0, 3.0, 0.0], [0.0, -3.0, 0.0], [-1.0, 0.0, 0.0]])
def test_the_crystal_frame_has_q_along_y(q: list[float]) -> None:
    """A proper rotation that takes Q to +y and leaves what is across both where it is."""
    rotation = rotation_to("crystal", Geometry(np.eye(3), np.array(q)))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation @ np.array(q), [0, np.linalg.norm(q), 0], atol=1e-12)
    across = np.cross(q, [0, 1, 0])
    np.testing.assert_allclose(rotation @ across, across, atol=1e-12)


@pytest.mark.parametrize(
    ("geometry", "options", "message"),
    [
        (Geometry(GEOMETRY.q_steps, Q), {"frame": "sample"}, "sample's circles"),
        (Geometry(GEOMETRY.q_steps), {"frame": "crystal"}, "q_centre"),
        (GEOMETRY, {"voxel_m": 1e-12}, "take larger ones"),
        (GEOMETRY, {"voxel_m": -1.0}, "above zero"),
    ],
)
def test_what_cannot_be_done_is_said(geometry: Geometry, options: dict[str, object], message: str) -> None:
    """A frame that the geometry does not tell, voxels too small for any memory."""
    with pytest.raises(DataError, match=message):
        orthogonal(np.ones(SHAPE, np.complex64), SUPPORT, geometry, **options)  # type: ignore[arg-type]


def test_an_empty_support() -> None:
    """Nothing to bring anywhere."""
    with pytest.raises(DataError, match="empty"):
        orthogonal(np.ones(SHAPE, np.complex64), np.zeros(SHAPE, bool), GEOMETRY)
