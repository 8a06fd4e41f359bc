"""inphase.material"""

import pytest

from inphase.errors import DataError
from inphase.material import MATERIALS, material


def test_gold_at_9_kev() -> None:
    """d(111) of 2.3546 angstrom; delta is 4.0e-5 by the density of 19.3 g/cm3, without dispersion."""
    gold = material("Au")
    assert gold.spacing_m((1, 1, 1)) == pytest.approx(2.3546e-10, rel=1e-4)
    # electrons per m3 from the density: 79 N_A rho / A
    density = 79 * 6.02214e23 * 19.3e6 / 196.97
    assert gold.delta(9.0) == pytest.approx(2.8179e-15 * (1.3776e-10) ** 2 * density / 6.28319, rel=5e-3)


# g/cm3 and g/mol: a misprint of a lattice would show in the density
@pytest.mark.parametrize(
    ("name", "density", "mass"),
    [("Ag", 10.49, 107.87), ("Al", 2.70, 26.98), ("Au", 19.3, 196.97), ("Cu", 8.96, 63.55), ("Fe", 7.87, 55.85),
     ("Ge", 5.32, 72.63), ("Ni", 8.91, 58.69), ("Pb", 11.34, 207.2), ("Pd", 12.02, 106.42), ("Pt", 21.45, 195.08),
     ("Si", 2.329, 28.09), ("W", 19.25, 183.84)],
)  # fmt: skip
def test_lattices_have_the_density_of_the_metal(name: str, density: float, mass: float) -> None:
    """To a per cent."""
    found = MATERIALS[name]
    grams = found.atoms * mass / 6.02214e23
    assert grams / (found.lattice_m * 100) ** 3 == pytest.approx(density, rel=0.01)


def test_what_is_not_known() -> None:
    """A material that is not listed, and a reflection without planes."""
    with pytest.raises(DataError, match="known are Ag, Al"):
        material("Unobtainium")
    with pytest.raises(DataError, match=r"\(0, 0, 0\)"):
        material("Au").spacing_m((0, 0, 0))
