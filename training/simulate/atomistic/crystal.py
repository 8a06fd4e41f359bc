"""A faceted crystal as lattice sites: a block of unit cells and the planes that cut it."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from training.simulate.atomistic.settings import AtomisticSettings

Floats = NDArray[np.float64]
DIRECTIONS = np.array(
    [d for d in product((-1.0, 0.0, 1.0), repeat=3) if any(d)]
)  # Miller indices; no torch in a worker


@dataclass(frozen=True)
class Planes:
    """Half spaces n.x <= d about the block's centre: normals (26, 3) of unit length, distances (26,) angstrom.

    The 26 are the {100}, {110} and {111} directions; one that does not cut has an infinite distance.
    """

    normals: Floats
    distances: Floats


def block(settings: AtomisticSettings) -> Floats:
    """Sites of the whole fcc block about its centre: (4 cells^3, 3) angstrom, edges along the cube's axes."""
    from ase.build import bulk

    atoms = bulk(settings.element, "fcc", a=settings.lattice_parameter, cubic=True).repeat(settings.block_cells)
    sites: Floats = atoms.get_positions()
    centre: Floats = 0.5 * (sites.max(0) + sites.min(0))
    return sites - centre


def draw_planes(settings: AtomisticSettings, random: np.random.Generator) -> Planes:
    """As many planes as the settings say, each of another high-symmetry direction, at random distances."""
    normals = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
    low, high = settings.facets
    chosen = random.permutation(len(normals))[: random.integers(low, high + 1)]
    half_edge = 0.5 * settings.block_cells * settings.lattice_parameter
    distances = np.full(len(normals), np.inf)
    distances[chosen] = random.uniform(*settings.plane_distance, len(chosen)) * half_edge
    return Planes(normals, distances)


def cut(sites: Floats, planes: Planes) -> Floats:
    """The sites (n, 3) that lie inside every plane."""
    for normal, distance in zip(planes.normals, planes.distances, strict=True):
        if np.isfinite(distance):
            sites = sites[sites @ normal <= distance]
    return sites


def draw_deformation(settings: AtomisticSettings, random: np.random.Generator) -> Floats:
    """Deformation gradient (3, 3): compression or tension on the diagonal, simple shear above it.

    Upper triangular, as a simulation box is deformed in LAMMPS: the shear turns the lattice by half its angle.
    """
    return np.eye(3) + np.triu(random.uniform(-settings.strain, settings.strain, (3, 3)))


def deform(positions: Floats, deformation: Floats) -> Floats:
    """Affine map of positions (n, 3) by a deformation gradient, about the block's centre."""
    return positions @ deformation.T
