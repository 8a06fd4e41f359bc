"""training.simulate.atomistic.voxels: the object against the sum over atoms."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.simulate.atomistic.sites import fcc
from training.simulate.atomistic.crystal import cut, draw_planes
from training.simulate.atomistic.settings import AtomisticSettings
from training.simulate.atomistic.voxels import binned, centre, far_field, lattice_phase, turned, voxels

SETTINGS = AtomisticSettings(block_cells=20, box=16)
A = SETTINGS.lattice_parameter


def bent(sites: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth displacement that is no ramp and is not its own mirror image: up to 0.9 angstrom."""
    x, y, z = sites.T / 20.0
    return np.stack([0.5 * np.sin(2 * x + 0.4), 0.3 * y**2, 0.4 * np.cos(x + z)], 1)


def atom_by_atom(
    sites: NDArray[np.float64], displacement: NDArray[np.float64], k: NDArray[np.int64]
) -> NDArray[np.complex128]:
    """Sum over atoms of exp(-i (G + q).(R + u)) about the centre, at q of whole voxels k (m, 3) from G = (1, 1, 1)
    2 pi / a.
    """
    voxel = SETTINGS.cells_per_voxel * A
    Q = 2 * np.pi / A + 2 * np.pi * k / (2 * SETTINGS.box * voxel)
    about = sites + displacement - centre(sites, SETTINGS)
    origin = np.exp(1j * 2 * np.pi / A * (sites[0] - centre(sites, SETTINGS)).sum())  # G.R of the lattice's origin
    return np.exp(-1j * about @ Q.T).sum(0) * origin


def test_far_field_is_the_sum_over_atoms() -> None:
    """Near the peak, complex, phase included: 0.1 % of the intensity is what the voxels' own form factor takes away.

    The twin, the other sign and 2 pi in place of 2 pi sqrt 3 all miss by more than ten times as much.
    """
    sites = cut(fcc(SETTINGS), draw_planes(SETTINGS, np.random.default_rng(5)))
    u = bent(sites)
    k = np.random.default_rng(0).integers(-4, 5, (300, 3))
    exact = atom_by_atom(sites, u, k)
    scale = (2 * SETTINGS.box) ** 1.5 * 4 * SETTINGS.cells_per_voxel**3

    def misfit(displacement: NDArray[np.float64]) -> float:
        far = far_field(binned(sites, displacement, SETTINGS))[tuple((k + SETTINGS.box).T)] * scale
        return float((np.abs(far - exact) ** 2).sum() / (np.abs(exact) ** 2).sum())

    assert misfit(u) < 1e-3
    assert misfit(-u) > 1e-2
    assert misfit(u / np.sqrt(3)) > 1e-2


def test_one_plane_spacing_along_111_is_one_turn() -> None:
    """Planes a / sqrt 3 apart: that displacement along the unit vector gives -2 pi,
    so one lattice parameter -2 pi sqrt 3.
    """
    unit = np.ones((1, 3)) / np.sqrt(3)
    assert lattice_phase(unit * A / np.sqrt(3), SETTINGS)[0] == pytest.approx(-2 * np.pi)
    assert lattice_phase(unit * A, SETTINGS)[0] == pytest.approx(-2 * np.pi * np.sqrt(3))


def test_uniform_expansion_moves_the_peak_inwards_and_leaves_no_phase() -> None:
    """Strain e moves G by -e G: -e cells_per_voxel 2 box voxels per axis. On the DC voxel, nothing is left of it."""
    strain = 3 / (2 * SETTINGS.box * SETTINGS.cells_per_voxel)
    sites = fcc(SETTINGS)
    result = voxels(sites, strain * sites, SETTINGS)
    np.testing.assert_array_equal(result.peak, [-3, -3, -3])
    inside = np.abs(result.object) > 0.5
    phase = np.angle(result.object[inside] * np.exp(-1j * np.angle(result.object[inside].sum())))
    assert np.abs(phase).max() < 1e-3


def test_turning_back_gives_the_phase_of_the_atoms() -> None:
    """`turned` with -peak undoes it: the object is the binned one again."""
    sites = fcc(SETTINGS)
    u = bent(sites) + 0.02 * sites
    result = voxels(sites, u, SETTINGS)
    assert result.peak.any()
    np.testing.assert_allclose(turned(result.object, -result.peak), binned(sites, u, SETTINGS), atol=1e-6)


def test_density_of_the_bulk_is_one_and_every_atom_counts() -> None:
    """Interior voxels hold all their atoms, none more; the sum over voxels is the number of atoms.
    Wherever the lattice begins.
    """
    for seed in range(3):
        sites = cut(fcc(SETTINGS), draw_planes(SETTINGS, np.random.default_rng(seed))) + 0.37 * seed
        density = np.abs(binned(sites, np.zeros_like(sites), SETTINGS))
        assert density.max() == 1.0
        assert density.sum() * 4 * SETTINGS.cells_per_voxel**3 == pytest.approx(len(sites))


def test_crystal_lies_in_the_middle() -> None:
    """The bounding box is centred on voxel box // 2 to a quarter cell."""
    sites = cut(fcc(SETTINGS), draw_planes(SETTINGS, np.random.default_rng(2)))
    middle = 0.5 * (sites.max(0) + sites.min(0))
    assert np.abs(centre(sites, SETTINGS) - middle).max() <= 0.25 * A + 1e-9


def test_other_reflection() -> None:
    """(2, 0, 0): two turns for a displacement of one lattice parameter along x, none along y."""
    settings = dataclasses.replace(SETTINGS, reflection=(2, 0, 0))
    np.testing.assert_allclose(lattice_phase(A * np.eye(3), settings), [-4 * np.pi, 0, 0])
