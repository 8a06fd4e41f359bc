"""Cubic crystals that are measured often: lattice, planes, and how much they bend X-rays."""

import math
from dataclasses import dataclass
from typing import Final

from inphase.errors import DataError
from inphase.geometry import wavelength_m

ELECTRON_RADIUS_M: Final = 2.8179403e-15
Miller = tuple[int, int, int]


@dataclass(frozen=True)
class Material:
    """A cubic element at room temperature. lattice_m: its edge. atoms: in a cell. electrons: of an atom."""

    name: str
    lattice_m: float
    atoms: int
    electrons: int

    def spacing_m(self, hkl: Miller) -> float:
        """d = a / sqrt(h^2 + k^2 + l^2). Raises DataError for (0, 0, 0)."""
        return self.lattice_m / length(hkl)

    def delta(self, energy_kev: float) -> float:
        """1 minus the real part of the refractive index: r_e lambda^2 n / (2 pi), n the density of electrons.

        Without the dispersion near absorption edges: some per cent away from them, more at them.
        """
        density = self.atoms * self.electrons / self.lattice_m**3
        return ELECTRON_RADIUS_M * wavelength_m(energy_kev) ** 2 * density / (2 * math.pi)


MATERIALS: Final = {
    name: Material(name, edge * 1e-10, atoms, electrons)
    for name, edge, atoms, electrons in (
        ("Ag", 4.0853, 4, 47), ("Al", 4.0495, 4, 13), ("Au", 4.0782, 4, 79), ("Cu", 3.6149, 4, 29),
        ("Fe", 2.8665, 2, 26), ("Ge", 5.6575, 8, 32), ("Ni", 3.5240, 4, 28), ("Pb", 4.9508, 4, 82),
        ("Pd", 3.8907, 4, 46), ("Pt", 3.9242, 4, 78), ("Si", 5.4310, 8, 14), ("W", 3.1652, 2, 74),
    )
}  # fmt: skip


def material(name: str) -> Material:
    """By its symbol. Raises DataError that lists those that are known."""
    if name not in MATERIALS:
        raise DataError(f"no material {name!r}: known are {', '.join(MATERIALS)}")
    return MATERIALS[name]


def length(hkl: Miller) -> float:
    """sqrt(h^2 + k^2 + l^2). Raises DataError for (0, 0, 0)."""
    if not any(hkl):
        raise DataError("the reflection (0, 0, 0) has no planes: name the Miller indices, such as (1, 1, 1)")
    return math.sqrt(sum(index**2 for index in hkl))
