"""training.simulate.atomistic.crystal: blocks, planes, deformations."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from tests.training.simulate.atomistic.sites import fcc
from training.simulate.atomistic.crystal import (
    DIRECTIONS,
    Planes,
    block,
    cut,
    deform,
    draw_deformation,
    draw_planes,
)
from training.simulate.atomistic.settings import AtomisticSettings
from training.simulate.crystals import high_symmetry_directions

SMALL = AtomisticSettings(block_cells=12)


def test_directions_are_those_of_the_fast_simulator() -> None:
    """Both simulators cut along the same 26 directions, in the same order."""
    unit = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, high_symmetry_directions().numpy(), atol=1e-7)


def test_ase_builds_the_same_block() -> None:
    """Four atoms a cell, every atom with its nearest neighbour at a / sqrt 2:
    the block that the other tests build by hand.
    """
    pytest.importorskip("ase", reason="the extra [atomistic] is not installed")
    sites, by_hand = block(SMALL), fcc(SMALL)
    assert sites.shape == (4 * 12**3, 3)
    order = [np.lexsort(s.round(6).T) for s in (sites, by_hand)]
    np.testing.assert_allclose(sites[order[0]], by_hand[order[1]], atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_every_facet_lies_at_its_plane(seed: int) -> None:
    """No atom lies beyond a plane. Where a plane cuts a face of three atoms or more, the outermost layer lies less than
    one layer spacing behind it; and the atoms left out are those beyond a plane, counted one by one.
    """
    planes = draw_planes(SMALL, np.random.default_rng(seed))
    sites = fcc(SMALL)
    crystal = cut(sites, planes)
    used = np.isfinite(planes.distances)
    beyond = (sites @ planes.normals[used].T > planes.distances[used]).any(1)
    assert len(crystal) == len(sites) - beyond.sum()
    hull = ConvexHull(crystal)
    faces = 0
    for index, normal, distance in zip(DIRECTIONS[used], planes.normals[used], planes.distances[used], strict=True):
        height = crystal @ normal
        assert height.max() <= distance
        if hull.area and (height > height.max() - 1e-6).sum() >= 3 and np.allclose(hull.equations[:, :3] @ normal, 1.0):
            spacing = SMALL.lattice_parameter / np.linalg.norm(index) / (1 if (index % 2).all() else 2)
            assert distance - height.max() < spacing
            faces += 1
    assert len(crystal) > 50


def test_between_four_and_twenty_planes() -> None:
    """As many finite distances as the settings allow, within the drawn range of the half edge."""
    half_edge = 0.5 * 12 * SMALL.lattice_parameter
    counts = set()
    for seed in range(200):
        distances = draw_planes(SMALL, np.random.default_rng(seed)).distances
        finite = distances[np.isfinite(distances)]
        assert ((finite >= 0.35 * half_edge) & (finite <= half_edge)).all()
        counts.add(len(finite))
    assert counts == set(range(4, 21))


def test_a_cube_and_an_octahedron_have_their_atoms() -> None:
    """Planes of one family give the shapes that are known: volume per atom a^3 / 4, edge effects below a layer."""
    a = SMALL.lattice_parameter
    norms = np.linalg.norm(DIRECTIONS, axis=1)
    normals = DIRECTIONS / norms[:, None]
    octahedron = np.where(norms > 1.5, 15.3, np.inf)
    count = len(cut(fcc(SMALL), Planes(normals, octahedron)))
    edge = np.sqrt(6) * 15.3  # an octahedron with inradius r has the edge r sqrt 6
    exact = np.sqrt(2) / 3 * edge**3 / (a**3 / 4)
    layer = 0.5 * a / np.sqrt(3) / 15.3  # relative: half a (111) layer on the inradius
    assert abs(count / exact - 1) < 3 * layer


def test_deformation_is_upper_triangular_and_bounded() -> None:
    """Every entry within the strain, shear above the diagonal alone, both signs on the diagonal."""
    drawn = np.array([draw_deformation(SMALL, np.random.default_rng(s)) - np.eye(3) for s in range(300)])
    assert np.abs(drawn).max() <= 0.01
    assert np.abs(drawn).max() > 0.0099
    assert (drawn[:, np.tril_indices(3, -1)[0], np.tril_indices(3, -1)[1]] == 0).all()
    assert (drawn[:, 0, 0] > 0).any()
    assert (drawn[:, 0, 0] < 0).any()


def test_affine_displacement_is_the_applied_strain() -> None:
    """Before relaxation the distance of two atoms changes as the deformation gradient says: |F d| for every pair d."""
    deformation = draw_deformation(SMALL, np.random.default_rng(3))
    sites = fcc(SMALL)[:200]
    moved = deform(sites, deformation)
    pair = sites[:, None] - sites[None]
    length = np.linalg.norm(moved[:, None] - moved[None], axis=-1)
    cauchy_green = deformation.T @ deformation
    np.testing.assert_allclose(length**2, np.einsum("abi,ij,abj->ab", pair, cauchy_green, pair), atol=1e-8)


def test_a_block_that_does_not_fit_is_refused() -> None:
    """The sentence says what to change."""
    with pytest.raises(ValueError, match="make the block smaller"):
        AtomisticSettings(block_cells=65)
