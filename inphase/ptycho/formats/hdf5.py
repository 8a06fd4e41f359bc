"""HDF5: CXI and NeXus (NXcxi_ptycho), PtyPy's ptyd, and the pairs of files that ptychodus writes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.cxi import states_of
from inphase.formats.scan import Limits
from inphase.formats.scanned import CHUNKS, DATA, DETECTOR, PATTERNS, POSITIONS, TRANSLATIONS
from inphase.formats.tree import Tree, names_in, opened
from inphase.formats.units import METRES, kev, length, metres
from inphase.ptycho.formats.contents import CURVE, Contents, energy_of, positive
from inphase.ptycho.formats.room import Room
from inphase.ptycho.positions import coordinates

ENERGIES = ("entry_1/instrument_1/source_1/energy", "entry_1/instrument_1/beam_1/energy")
WAVELENGTHS = ("entry_1/instrument_1/source_1/wavelength", "entry_1/instrument_1/beam_1/wavelength")
PROBES = (
    "entry_1/instrument_1/source_1/illumination",
    "entry_1/instrument_1/source_1/probe",
    "entry_1/instrument_1/detector_1/probe_guess",
)
# rows run down and columns against x, where the file does not say how the detector lies
USUAL = np.array([[0.0, -1.0], [-1.0, 0.0], [0.0, 0.0]])


def read(path: Path, limits: Limits) -> Contents:
    """What the file holds, by the first layout that it has. Raises DataError that lists what there is."""
    room = Room(limits)
    with opened(path) as tree:
        if tree.get(CHUNKS) is not None:
            return _ptypy(tree, room)
        if isinstance(tree.get(PATTERNS), h5py.Dataset):
            return _ptychodus(tree, room)
        data = next((name for name in DATA if isinstance(tree.get(name), h5py.Dataset)), None)
        if data is None:
            raise DataError(
                f"{path}: is no ptychographic measurement in CXI or NeXus ({' or '.join(DATA)}), PtyPy (chunks) or "
                f"ptychodus (dp); {tree.listing()}; {CURVE}"
            )
        return _cxi(tree, data, room)


def _cxi(tree: Tree, data: str, room: Room) -> Contents:
    where = next((name for name in TRANSLATIONS if isinstance(tree.get(name), h5py.Dataset)), None)
    if where is None:
        raise DataError(f"{tree.path}: holds no positions ({', '.join(TRANSLATIONS)}); {tree.listing()}; {CURVE}")
    pixels = (_length(tree, f"{DETECTOR}/y_pixel_size"), _length(tree, f"{DETECTOR}/x_pixel_size"))
    energy, wavelength = _energy(tree, *ENERGIES), _length(tree, *WAVELENGTHS)
    if energy is None and wavelength is not None:
        energy = energy_of(wavelength)
    mask = tree.get(f"{DETECTOR}/mask")
    (moves,), unit = _places([(tree, where)], room)
    positions, told = _on_detector(tree, moves, where)
    return Contents(
        source=str(tree.path),
        patterns=room.array(tree, tree.dataset(data)),
        positions=positions,
        unit=unit,
        mask=None if not isinstance(mask, h5py.Dataset) else states_of(_bits(tree, mask, room)),
        probe=_complex(tree, PROBES, room),
        energy_kev=energy,
        distance_m=_length(tree, f"{DETECTOR}/distance"),
        detector_pixel_m=None if None in pixels else (pixels[0] or 0.0, pixels[1] or 0.0),
        notes=(f"Patterns were read from '{data}', positions from '{where}'.", told),
    )


def _on_detector(tree: Tree, moves: NDArray[np.float64], where: str) -> tuple[NDArray[np.float64], str]:
    """Translations (n, 3) of the sample, in the laboratory, as (row, column) of the window: it moves the other way."""
    if moves.ndim != 2 or moves.shape[1] not in (2, 3):
        raise DataError(f"{tree.path}, '{where}': translations have the shape (n, 3), found {moves.shape}")
    vectors = tree.small(f"{DETECTOR}/basis_vectors", 6)
    known = vectors is not None and vectors.shape in ((3, 2), (2, 3)) and np.isfinite(vectors).all()
    axes = USUAL
    if known and vectors is not None:
        axes = np.asarray(vectors if vectors.shape == (3, 2) else vectors.T, np.float64)
    lengths = np.linalg.norm(axes, axis=0)
    if not (lengths > 0).all():
        axes, lengths, known = USUAL, np.ones(2), False
    told = (
        "The detector's basis vectors say how positions lie on it."
        if known
        else "The file does not tell how the detector lies: its rows were taken to run down, its columns against x."
    )
    return -moves @ (axes / lengths)[: moves.shape[1]], told


def _ptypy(tree: Tree, room: Room) -> Contents:
    """Chunks in the order of their numbers; frames by their indices."""
    chunks = tree.get(CHUNKS)
    if not isinstance(chunks, h5py.Group):
        raise DataError(f"{tree.path}: 'chunks' is no group; {tree.listing()}")
    names = sorted((name for name in names_in(chunks) if name.isdigit()), key=int)
    parts = [f"chunks/{name}" for name in names if isinstance(tree.get(f"chunks/{name}/data"), h5py.Dataset)]
    if not parts:
        raise DataError(f"{tree.path}: its chunks hold no data: was the file written to its end? {tree.listing()}")
    whole = {name: [room.array(tree, tree.dataset(f"{part}/{name}")) for part in parts] for name in ("data", "indices")}
    frames = np.concatenate(whole["data"])
    places, unit = _places([(tree, f"{part}/positions") for part in parts], room)
    pixels = _pixels(tree, "meta/psize", "info/psize")
    indices = np.concatenate([index.reshape(-1) for index in whole["indices"]]).astype(np.int64)
    return Contents(
        source=str(tree.path),
        patterns=frames,
        positions=np.concatenate(places),
        unit=unit,
        mask=_without_weight(tree, parts, frames.shape, room),
        energy_kev=_energy(tree, "meta/energy", "info/energy", usual="keV"),
        distance_m=_length(tree, "meta/distance", "info/distance"),
        detector_pixel_m=pixels,
        ids=indices,
        notes=(f"{len(parts)} chunks of PtyPy were put together.",),
    )


def _without_weight(tree: Tree, parts: list[str], shape: tuple[int, ...], room: Room) -> NDArray[np.bool_] | None:
    """Where PtyPy's weights are 0: those of the chunks, or the one of all frames. None where there are none."""
    each = [tree.get(f"{part}/weights") for part in parts]
    found = [room.array(tree, item) for item in each if isinstance(item, h5py.Dataset) and item.size]
    if len(found) == len(parts) and sum(len(one) for one in found if one.ndim == 3) == shape[0]:
        return np.asarray(np.concatenate(found) == 0)
    common = tree.get("meta/weight2d")
    whole = found[:1] or ([room.array(tree, common)] if isinstance(common, h5py.Dataset) and common.size else [])
    if not whole:
        return None
    if whole[0].shape != shape[1:]:
        raise DataError(f"{tree.path}: weights of {whole[0].shape} fit neither the frames {shape} nor one of them")
    return np.asarray(whole[0] == 0)


def _ptychodus(tree: Tree, room: Room) -> Contents:
    """Patterns in `dp`, the rest in the same file or in the one beside it that is named para instead of dp."""
    other = tree.path.with_name(re.sub(r"dp(?=\.[^.]*$)", "para", tree.path.name))
    if tree.get(POSITIONS[0]) is not None:
        return _with_parameters(tree, tree, room)
    if other == tree.path:
        raise DataError(
            f"{tree.path}: holds patterns (dp) and no positions ({' and '.join(POSITIONS)}). ptychodus writes those "
            "into a file beside name_dp.hdf5 that is called name_para.hdf5: give the path of such a pair"
        )
    if not other.is_file():
        raise DataError(f"{tree.path}: holds patterns and no positions; the file {other.name} with them is missing")
    with opened(other) as parameters:
        return _with_parameters(tree, parameters, room)


def _with_parameters(tree: Tree, parameters: Tree, room: Room) -> Contents:
    places, unit = _places([(parameters, name) for name in POSITIONS], room)
    y, x = (one.reshape(-1) for one in places)
    if len(y) != len(x):
        raise DataError(f"{parameters.path}: holds {len(y)} positions along y and {len(x)} along x")
    obj = parameters.get("object")
    sizes = (None, None) if obj is None else tuple(_attribute(obj, f"pixel_{side}_m") for side in ("height", "width"))
    return Contents(
        source=str(tree.path),
        patterns=room.array(tree, tree.dataset(PATTERNS)),
        positions=np.column_stack([y, x]),
        unit=unit,
        probe=_complex(parameters, ("probe",), room),
        object_pixel_m=(sizes[0], sizes[1]) if sizes[0] and sizes[1] else None,
        notes=(f"Positions and probe were read from {parameters.path.name}.",),
    )


def _places(where: Sequence[tuple[Tree, str]], room: Room) -> tuple[list[NDArray[np.float64]], str]:
    """Positions at some paths as the file has them, and their unit, metres where it has several. Raises DataError."""
    units = [length(tree, path) for tree, path in where]
    found = [coordinates(room.array(tree, tree.dataset(path)), f"{tree.path}, '{path}'") for tree, path in where]
    if len(set(units)) == 1:
        return found, units[0]
    return [METRES[unit] * one for unit, one in zip(units, found, strict=True)], "m"


def _length(tree: Tree, *paths: str) -> float | None:
    """The first of several lengths that the file has, in metres."""
    found = _number(tree, *paths)
    return None if found is None else metres(tree, found[0]) * found[1]


def _pixels(tree: Tree, *paths: str) -> tuple[float, float] | None:
    """The same of one or two sides of a pixel, (row, column)."""
    for path in paths:
        found = tree.small(path, 2)
        if found is not None:
            sides = metres(tree, path) * found.astype(np.float64).reshape(-1)
            return float(sides[0]), float(sides[-1])
    return None


def _energy(tree: Tree, *paths: str, usual: str = "J") -> float | None:
    """The same of energies, in keV. usual: their unit where the file names none."""
    found = _number(tree, *paths)
    return None if found is None else kev(tree, found[0], usual) * found[1]


def _number(tree: Tree, *paths: str) -> tuple[str, float] | None:
    """The first of several numbers that the file has, and its path."""
    for path in paths:
        found = tree.small(path, 1)
        if found is not None and (value := positive(float(found.reshape(-1)[0]))) is not None:
            return path, value
    return None


def _attribute(item: h5py.Group | h5py.Dataset, name: str) -> float | None:
    value = item.attrs.get(name)
    return None if value is None else positive(float(np.asarray(value).reshape(-1)[0]))


def _complex(tree: Tree, paths: tuple[str, ...], room: Room) -> NDArray[Any] | None:
    item = next((found for path in paths if isinstance(found := tree.get(path), h5py.Dataset)), None)
    return None if item is None else room.array(tree, item)


def _bits(tree: Tree, mask: h5py.Dataset, room: Room) -> NDArray[Any]:
    bits = room.array(tree, mask)
    if bits.dtype.kind not in "uib":
        raise DataError(f"{tree.path}, '{DETECTOR}/mask': a CXI mask holds bits in integers, this one {bits.dtype}")
    return bits
