"""Units that stand beside the numbers of a file."""

from pathlib import Path

import h5py
import pytest

from inphase.errors import DataError
from inphase.formats.tree import opened
from inphase.formats.units import kev, metres


def factors(path: Path, unit: object) -> tuple[float, float]:
    """Of a length and of an energy in this unit; None is none."""
    with h5py.File(path, "w") as file:
        for name in ("length", "energy"):
            file[name] = 1.0
            if unit is not None:
                file[name].attrs["units"] = unit
    with opened(path) as tree:
        if unit is None or str(unit).strip("b' ").lower() in ("j", "kev", "ev"):
            return 1.0, kev(tree, "energy")
        return metres(tree, "length"), 1.0


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("mm", (1e-3, 1)),
        (b"um", (1e-6, 1)),
        ("\u00b5m", (1e-6, 1)),
        ("\u03bcm", (1e-6, 1)),
        (" Angstrom ", (1e-10, 1)),
        ("meters", (1, 1)),
        ("eV", (1, 1e-3)),
        ("keV", (1, 1)),
        ("J", (1, 6.241509074e15)),
        (None, (1, 6.241509074e15)),
        ("", (1, 1)),
    ],
)
def test_factors_to_metres_and_kev(tmp_path: Path, unit: object, expected: tuple[float, float]) -> None:
    """Text or bytes, in any case; without one what the caller says is usual."""
    assert factors(tmp_path / "a.h5", unit) == pytest.approx(expected)


def test_another_unit_is_refused(tmp_path: Path) -> None:
    """Degrees are no length; the usual unit does not take their place."""
    with pytest.raises(DataError, match=r"'length': is in 'deg' .* a length"):
        factors(tmp_path / "a.h5", "deg")
