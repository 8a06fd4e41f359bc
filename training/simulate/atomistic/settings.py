"""What atomistic crystals are made of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AtomisticSettings:
    """How a crystal is drawn, relaxed and binned; a shard holds crystals of one of these. Ranges are uniform.

    lattice_parameter: angstrom, of the potential at rest: that of Au_u3 (Foiles, Baskes & Daw, Phys. Rev. B 33, 7983
        (1986)). The papers write 4.078, the measured one; with it the crystals would start compressed.
    block_cells: edge of the block in unit cells: 50 are 20.4 nm and 500,000 atoms.
    plane_distance: of a cutting plane from the block's centre, in units of its half edge.
    strain: largest entry of the deformation gradient's difference from 1, in compression, tension and simple shear.
    reference_steps: minimiser steps of the unstrained crystal, whose atoms are where displacements begin.
    relaxation_steps: minimiser steps of the strained one. A free cluster loses its strain in a few hundred: this number
        is what decides how much is left (docs/decisions/0024).
    cells_per_voxel: a whole number, so that every voxel holds the same number of lattice planes.
    """

    lattice_parameter: float = 4.08
    block_cells: int = 50
    facets: tuple[int, int] = (4, 20)
    plane_distance: tuple[float, float] = (0.35, 1.0)
    strain: float = 0.01
    reference_steps: int = 60
    relaxation_steps: int = 60
    potential: str = "Au_u3.eam"
    element: str = "Au"
    reflection: tuple[int, int, int] = (1, 1, 1)
    cells_per_voxel: int = 2
    box: int = 32

    def __post_init__(self) -> None:
        if self.block_cells > self.box * self.cells_per_voxel:
            raise ValueError(
                f"a block of {self.block_cells} unit cells does not fit into {self.box} voxels of"
                f" {self.cells_per_voxel} unit cells: make the block smaller or the voxels larger"
            )
