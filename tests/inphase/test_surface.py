"""Isosurfaces, against bodies whose surface is known."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.surface import Surface, isosurface, phase_at, value_at, value_of_faces

CENTRE = 20
Z, Y, X = np.mgrid[-CENTRE:CENTRE, -CENTRE:CENTRE, -CENTRE:CENTRE].astype(float)
RADIUS = 11.0
BALL = 1 / (1 + np.exp(np.sqrt(X**2 + Y**2 + Z**2) - RADIUS))  # 0.5 of its height at the radius


def enclosed(surface: Surface) -> float:
    """The volume within, positive where the corners turn anticlockwise seen from outside."""
    corners = surface.vertices[surface.faces].astype(float)
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


@pytest.mark.parametrize(
    "basis",
    [None, 3 * np.eye(3), np.diag([1.0, 1.0, -1.0]), np.array([[2.0, 0.3, 0], [0, 1.0, 0.5], [0, 0, 1.5]])],
    ids=["voxels", "larger", "mirrored", "sheared"],
)
def test_a_ball_has_the_surface_of_a_ball(basis: np.ndarray | None) -> None:
    """Distance of the vertices, volume within, and normals outwards, also where the basis mirrors or shears."""
    surface = isosurface(BALL, 0.5)
    np.testing.assert_allclose(np.linalg.norm(surface.vertices, axis=1), RADIUS, atol=0.05)
    along = np.einsum("ij,ij->i", surface.normals, surface.vertices / RADIUS)
    assert along.min() > 0.98
    placed = isosurface(BALL, 0.5, basis)
    shape = np.eye(3)[::-1] if basis is None else basis
    expected = 4 / 3 * np.pi * RADIUS**3 * abs(np.linalg.det(shape))
    assert enclosed(placed) == pytest.approx(expected, rel=0.02)
    assert (np.einsum("ij,ij->i", placed.normals, placed.vertices) > 0).all()


def test_without_a_basis_x_is_the_last_axis() -> None:
    """A rod along axis 2 is long in x, and lies where its voxels lie from N // 2."""
    rod = np.zeros((12, 12, 40))
    rod[5:8, 5:8, 10:38] = 1
    surface = isosurface(rod, 0.5)
    np.testing.assert_allclose(surface.vertices.min(axis=0), [-10.5, -1.5, -1.5])
    np.testing.assert_allclose(surface.vertices.max(axis=0), [17.5, 1.5, 1.5])


def test_a_crystal_at_the_edge_of_the_grid_is_closed() -> None:
    """Every edge of a triangle belongs to two: nothing is open where the array ends."""
    block = np.ones((6, 7, 8))
    faces = isosurface(block, 0.5).faces
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert (count == 2).all()


def test_a_fine_grid_is_taken_in_steps() -> None:
    """The mesh of a large crystal stays small, and its extent right to the step."""
    large = np.zeros((8, 8, 400))
    large[2:6, 2:6, 10:390] = 1
    surface = isosurface(large, 0.5)
    assert len(surface.vertices) < 10_000
    assert np.ptp(surface.vertices[:, 0]) == pytest.approx(380, abs=3)


def test_phases_do_not_wrap_between_voxels() -> None:
    """Along a phase that passes pi the interpolated value stays near pi, and never goes through zero."""
    obj = BALL * np.exp(1j * (np.pi + 0.1 * X))
    surface = isosurface(BALL, 0.5)
    phase = phase_at(obj, surface)
    expected = np.angle(np.exp(1j * (np.pi + 0.1 * surface.vertices[:, 0])))
    # a fifth of the step from voxel to voxel: their amplitudes differ
    assert np.abs(np.angle(np.exp(1j * (phase - expected)))).max() < 0.02


def test_a_map_is_interpolated_and_goes_on_where_it_ends() -> None:
    """Values of a linear map at the vertices; where it is NaN the nearest voxel counts. No value at all is an error."""
    surface = isosurface(BALL, 0.5)
    np.testing.assert_allclose(value_at(X, surface), surface.vertices[:, 0], atol=1e-3)
    inside = np.where(BALL > 0.5, X, np.nan)
    assert np.abs(value_at(inside, surface) - surface.vertices[:, 0]).max() < 1.5
    with pytest.raises(DataError, match="no values"):
        value_at(np.full(BALL.shape, np.nan), surface)


@pytest.mark.parametrize(
    ("amplitude", "level", "words"),
    [
        (np.ones((8, 8)), 0.5, "only a volume"),
        (BALL, 0.0, "level"),
        (BALL, 1.0, "level"),
        (np.zeros((8, 8, 8)), 0.5, "zero"),
        (np.full((8, 8, 8), np.nan), 0.5, "not finite"),
    ],
)
def test_what_has_no_surface_is_refused(amplitude: np.ndarray, level: float, words: str) -> None:
    """With the reason."""
    with pytest.raises(DataError, match=words):
        isosurface(amplitude, level)


def test_a_face_has_the_value_of_one_voxel() -> None:
    """Where a phase wraps no triangle shows the mean of both sides; the rim, which is unknown, takes one of them."""
    surface = isosurface(BALL, 0.5)
    phase = np.where(X < 0, 3.1, -3.1)
    phase[BALL < 0.4] = np.nan
    found = value_of_faces(phase, surface)
    assert set(found.tolist()) == {np.float32(3.1).item(), np.float32(-3.1).item()}
    middle = surface.vertices[surface.faces].mean(axis=1)[:, 0]
    assert (found[middle < -1] > 0).all()
    assert (found[middle > 1] < 0).all()


def test_the_finest_is_bounded_by_the_caller() -> None:
    """A surface of at most 10 cells along a side is still that of the ball, to a cell of three voxels."""
    coarse = isosurface(BALL, 0.5, finest=10)
    assert len(coarse.faces) < len(isosurface(BALL, 0.5).faces) / 4
    np.testing.assert_allclose(np.linalg.norm(coarse.vertices, axis=1), RADIUS, atol=1.5)
