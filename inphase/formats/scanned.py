"""Patterns with positions: how a ptychographic scan shows in a file, so that nobody takes it for a rocking curve."""

import math
from collections.abc import Mapping
from typing import Any, Final

import h5py
import numpy as np

from inphase.errors import DataError
from inphase.formats.tree import Tree, names_in

DETECTOR: Final = "entry_1/instrument_1/detector_1"
DATA: Final = ("entry_1/data_1/data", f"{DETECTOR}/data")
TRANSLATIONS: Final = (
    "entry_1/data_1/translation",
    "entry_1/sample_1/geometry_1/translation",
    "entry_1/sample_1/geometry/translation",
    f"{DETECTOR}/translation",
)
CHUNKS: Final = "chunks"  # of PtyPy
PATTERNS: Final = "dp"  # of ptychodus, which has positions in the same file or in one of its own
POSITIONS: Final = ("probe_position_y_m", "probe_position_x_m")
# of archives: rows and columns in arrays of their own, with their unit, or both in one
COORDINATES: Final = (
    ("ycoords", "xcoords", "pixel"),
    (*POSITIONS, "m"),
    ("probe_positions_y_m", "probe_positions_x_m", "m"),
)
PAIRS: Final = ("scan", "scan_rowcol_px", "positions", "position")
LEAST: Final = 2e-7  # m, of a scan along one axis: stages and their encoders tremble within less
_MOST: Final = 2**22  # numbers of positions that are looked at

_Header = tuple[tuple[int, ...], np.dtype[Any]]


def refuse_archive(headers: Mapping[str, _Header], key: str, where: str) -> None:
    """Raises DataError where an archive has a position for each frame of the array that was chosen as a measurement."""
    frames = headers[key][0]
    numbers = {name: shape for name, (shape, dtype) in headers.items() if dtype.kind in "uif"}
    for rows, columns, _ in COORDINATES:
        if rows in numbers and columns in numbers and math.prod(numbers[rows]) == math.prod(numbers[columns]):
            _refuse(math.prod(numbers[rows]), frames, f"'{rows}' and '{columns}'", where)
    for name in PAIRS:
        if name != key and (shape := numbers.get(name, ()))[-1:] == (2,) and len(shape) > 1:
            _refuse(math.prod(shape) // 2, frames, f"'{name}'", where)


def refuse_tree(tree: Tree) -> None:
    """The same of an HDF5 file that is laid out as ptychographic scans are, and whose positions move."""
    where = str(tree.path)
    chunks = tree.get(CHUNKS)
    if isinstance(chunks, h5py.Group) and (
        first := next((name for name in names_in(chunks) if name.isdigit() and tree.get(f"{CHUNKS}/{name}/data")), None)
    ):
        frames, positions = (tree.get(f"{CHUNKS}/{first}/{name}") for name in ("data", "positions"))
        if isinstance(frames, h5py.Dataset) and isinstance(positions, h5py.Dataset):
            _refuse(len(frames), frames.shape, f"'{positions.name}'", where)
    frames = tree.get(PATTERNS)
    if isinstance(frames, h5py.Dataset) and all(isinstance(tree.get(name), h5py.Dataset) for name in POSITIONS):
        _refuse(tree.dataset(POSITIONS[0]).size, frames.shape, f"'{POSITIONS[0]}'", where)
    frames = next((item for name in DATA if isinstance(item := tree.get(name), h5py.Dataset)), None)
    for name in TRANSLATIONS:
        if frames is not None and _moves(tree, name):
            _refuse(len(tree.dataset(name)), frames.shape, f"'{name}'", where)


def _moves(tree: Tree, name: str) -> bool:
    """Whether most of the positions (n, 2 or 3) in metres differ, over more than LEAST: those of a rocking curve stay,
    tremble, or move at times.
    """
    found = tree.small(name, _MOST)
    if found is None or found.ndim != 2 or found.shape[1] not in (2, 3) or found.dtype.kind not in "uif":
        return False
    trembles = np.ptp(found, axis=0).max() < LEAST  # not true of NaN, which a scan may have and a curve has no need of
    return 2 * len(np.unique(found, axis=0)) > len(found) and not trembles


def _refuse(positions: int, frames: tuple[int, ...], name: str, where: str) -> None:
    """Raises DataError where there are as many positions as frames, which may come last."""
    sides = [side for side in frames if side != 1]
    last = sides[-1:] if sides[:1] == sides[1:2] else []
    if positions not in (*sides[:1], *last):
        return
    raise DataError(
        f"{where}: holds a ptychographic scan, patterns with {positions} positions in {name}, and no rocking curve: "
        "`inphase ptycho` reconstructs it, over HTTP /v1/ptychograms. Name the array with dataset= to read it as a "
        "rocking curve all the same"
    )
