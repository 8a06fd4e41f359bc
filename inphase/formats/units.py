"""Units that numbers of an HDF5 file name beside them, in the attribute `units` of NeXus."""

from collections.abc import Mapping
from typing import Final

import h5py

from inphase.errors import DataError
from inphase.formats.tree import Tree

METRES: Final[Mapping[str, float]] = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6,
    "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "microns": 1e-6, "micrometer": 1e-6, "micrometre": 1e-6, "nm": 1e-9,
    "angstrom": 1e-10, "angstroms": 1e-10, "å": 1e-10, "a": 1e-10, "pm": 1e-12, "fm": 1e-15,
}  # fmt: skip
KEV: Final[Mapping[str, float]] = {"j": 1 / 1.602176634e-16, "kev": 1.0, "ev": 1e-3}


def length(tree: Tree, path: str, usual: str = "m") -> str:
    """The unit of the lengths at a path, by its name in METRES. usual: the unit where the file names none.

    Raises DataError for a unit that is none of a length.
    """
    return _unit(tree, path, METRES, usual, "a length")


def metres(tree: Tree, path: str, usual: str = "m") -> float:
    """By how much they are multiplied to be metres; the same is raised."""
    return METRES[length(tree, path, usual)]


def kev(tree: Tree, path: str, usual: str = "J") -> float:
    """The same of an energy, in keV; CXI has joules."""
    return KEV[_unit(tree, path, KEV, usual, "an energy")]


def _unit(tree: Tree, path: str, known: Mapping[str, float], usual: str, what: str) -> str:
    item = tree.get(path)
    told = item.attrs.get("units", "") if isinstance(item, h5py.Dataset) else ""
    name = (told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)).strip()
    found = (name or usual).lower()
    if found not in known:
        raise DataError(
            f"{tree.path}, '{path}': is in {name[:40]!r} by its attribute `units`, and that is no unit of {what} which "
            f"is known here ({', '.join(known)})"
        )
    return found
