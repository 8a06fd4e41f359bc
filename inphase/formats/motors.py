"""How the circles of a described scan moved: from its HDF5 file, from the SPEC or FIO file beside it, or as given."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.diffractometer import Diffractometer, RockingScan
from inphase.errors import DataError
from inphase.formats import spec, template
from inphase.formats.beamline import UNITS, Beamline, Quantity, paths
from inphase.formats.fio import FioScan, read_fio
from inphase.formats.motion import ENERGY, MismatchError, Motion, motion
from inphase.formats.pixels import DescribedScan
from inphase.formats.scan import RawScan
from inphase.formats.tree import Tree
from inphase.geometry import PLANCK_EV_M
from inphase.pattern import MaskState

_MOST_POSITIONS = 10**6
_MARKS = tuple(2**bits - 1 for bits in (16, 20, 31, 32, 63, 64))  # what detectors write for no value
_VALUES = (
    "distance", "pixel_row", "pixel_column", "direct_beam_row", "direct_beam_column",
)  # fmt: skip


class MissingError(DataError):
    """What the geometry needs and the file does not have."""


def check_given(beamline: Beamline, given: Mapping[str, float]) -> None:
    """Raises DataError for numbers of `set=` that the beamline does not have, or half of a pair."""
    circles = beamline.circles
    known = [*(circles.circles if circles else ()), ENERGY, *_VALUES]
    for name, value in given.items():
        if name not in known:
            raise DataError(f"{beamline.name}: there is no '{name}' to set; known are {', '.join(known)}")
        if not np.isfinite(value):
            raise DataError(f"{name}: {value} is no number to compute with")
    for a, b in (("pixel_row", "pixel_column"), ("direct_beam_row", "direct_beam_column")):
        if (a in given) != (b in given):
            raise DataError(f"{a} and {b} are given together")


def companion_of(described: DescribedScan) -> spec.SpecScan | FioScan | None:
    """The text file with the motors: the one that is named, else the only one that the description's names find."""
    reading, companion = described.request.reading, described.beamline.companion
    if companion is None:
        if reading.spec is not None:
            raise DataError(f"{described.beamline.name}: keeps its motors in the data file; spec= has no place there")
        return None
    path = reading.spec or _beside(described)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if companion.kind == "fio" and not spec.is_spec(path):  # some beamlines write both
        return read_fio(path)
    if "scan" not in described.known:
        raise MissingError(f"which scan of {path.name} this is does not follow from the names: give scan=")
    return spec.read_scan(path, int(described.known["scan"]))


def _beside(described: DescribedScan) -> Path:
    companion, request = described.beamline.companion, described.request
    assert companion is not None
    folder = request.path if request.path.is_dir() else request.path.parent
    for text in companion.files:
        up, name = (folder.resolve().parent, text[3:]) if text.startswith("../") else (folder.resolve(), text)
        roots = [root.resolve() for root in request.limits.roots]
        if "/" in name or (roots and not any(up.is_relative_to(root) for root in roots)):
            continue
        found = [
            entry
            for entry in sorted(up.iterdir())
            if template.matched(name, entry.name, described.known) is not None
            and entry.is_file()
            and (not roots or any(entry.resolve().is_relative_to(root) for root in roots))
        ]
        if len(found) > 1:
            raise MissingError(f"{', '.join(entry.name for entry in found[:5])} may all hold the motors: give spec=")
        if found:
            return found[0]
    raise MissingError(
        f"no {companion.kind.upper()} file ({' or '.join(companion.files)}) beside the frames: give spec="
    )


class Numbers:
    """Numbers of a scan by the description's names: given by the user, else the first source that has them."""

    def __init__(self, described: DescribedScan, tree: Tree | None, companion: spec.SpecScan | FioScan | None) -> None:
        self._read, self._tree, self._companion = described, tree, companion

    def one(self, name: str, candidates: Sequence[Quantity]) -> float | None:
        """A single number, None where nothing has it; of several the first."""
        given = self._read.request.reading.set.get(name)
        if given is not None:
            return given
        found = self.all(candidates)
        return None if found is None else float(found[np.isfinite(found)][0])

    def all(self, candidates: Sequence[Quantity]) -> NDArray[np.float64] | None:
        """All numbers of the first source that has any, in degrees, metres, keV, pixels;
        what is given does not count.
        """
        for quantity in candidates:
            raw = self._raw(quantity)
            if raw is not None and np.isfinite(raw).any():
                if quantity.unit == "angstrom":
                    return PLANCK_EV_M * 1e10 / raw / 1e3
                return raw * UNITS[quantity.unit]
        return None

    def _raw(self, quantity: Quantity) -> NDArray[np.float64] | None:
        if quantity.constant is not None:
            return np.array([quantity.constant])
        if quantity.motor is not None:
            return None if self._companion is None else self._companion.recorded(quantity.motor)
        tree = self._tree
        if tree is None or not self._holds(quantity, tree):
            return None
        for text in paths(quantity.dataset):
            for path, bound, item in template.expanded(tree, text, self._read.known):
                # of another scan, where the frames were named by dataset= and tell nothing of theirs
                foreign = bound != self._read.known
                if foreign or not isinstance(item, h5py.Dataset):
                    continue
                if (numbers := tree.small(path, _MOST_POSITIONS)) is not None:
                    return np.asarray(numbers, np.float64).reshape(-1)
        return None

    def unassigned(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Paths and numbers of what the scan moved, whatever that was."""
        for text in self._read.beamline.unassigned if self._tree is not None else ():
            assert self._tree is not None
            for path, _, _ in template.expanded(self._tree, text, self._read.known):
                if (found := self._tree.small(path, _MOST_POSITIONS)) is not None:
                    yield path, np.asarray(found, np.float64).reshape(-1)

    def _holds(self, quantity: Quantity, tree: Tree) -> bool:
        if quantity.when is None:
            return True
        path = template.filled(quantity.when.dataset, self._read.known)
        text = tree.text(path) if path is not None else None
        return text is not None and quantity.when.contains in text


def rocking_scan(
    described: DescribedScan, circles: Diffractometer, numbers: Numbers, companion: spec.SpecScan | FioScan | None
) -> tuple[Motion, RockingScan]:
    """What moved, and the scan that it makes of the frames.

    Raises MissingError where a number is missing or no circle of the sample turned, DataError where a text file that
    was named contradicts the frames.
    """
    shape = described.scan.whole
    in_text = companion if isinstance(companion, spec.SpecScan) else None
    recorded = _recorded(described, circles, numbers, in_text)
    values = _values(described, numbers, in_text)
    missing = [name for name, found in recorded.items() if found is None]
    missing += [name for name in ("distance", "pixel_row", "pixel_column") if values[name] is None]
    if not circles.detector:  # nothing else tells where the beam meets the detector
        missing += [name for name in ("direct_beam_row", "direct_beam_column") if values[name] is None]
    if missing:
        raise MissingError(f"the file does not have {', '.join(missing)}: set them (--set {missing[0]}=...)")
    known = {name: found for name, found in recorded.items() if found is not None}
    moved = _motion(described, circles, known, in_text)
    if in_text is not None:
        spec.check_region(in_text, shape)
        spec.check_rocking(in_text, moved, circles)
    elif not moved.rocks(circles):
        alone = f"{', '.join(moved.steps)} of the detector moves alone"
        what = alone if moved.steps else "no circle of the sample moves"
        raise MissingError(f"{what} with the {shape[0]} frames, so it is no rocking curve")
    _check_assigned(numbers, {name: found for name, found in known.items() if name in moved.steps})
    row, column = values["direct_beam_row"], values["direct_beam_column"]
    (row0, _), (column0, _) = (in_text.roi if in_text is not None else None) or ((0, 0), (0, 0))
    at = None if row is None or column is None else (row - row0 - shape[1] // 2, column - column0 - shape[2] // 2)
    return moved, moved.scan(
        circles,
        distance_m=_number(values["distance"]),
        pixel_m=(_number(values["pixel_row"]), _number(values["pixel_column"])),
        direct_beam=at or (0.0, 0.0),
    )


def _recorded(
    described: DescribedScan, circles: Diffractometer, numbers: Numbers, in_text: spec.SpecScan | None
) -> dict[str, NDArray[np.float64] | None]:
    """Positions of every circle and of the energy; where the files have none those that are given, else None."""
    beamline, given = described.beamline, described.request.reading.set
    sources = {name: beamline.motors.get(name, []) for name in circles.circles} | {ENERGY: beamline.energy}
    found = {name: _of_frames(described, numbers.all(candidates)) for name, candidates in sources.items()}
    if in_text is not None and in_text.along_hkl:  # only columns tell where the circles were
        found |= {name: None for name in circles.circles if (at := found[name]) is not None and len(at) == 1}
    return found | {name: np.array([given[name]]) for name, at in found.items() if at is None and name in given}


def _of_frames(described: DescribedScan, positions: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Positions without those of frames that were planned and never written."""
    return positions[: len(described.scan.array)] if described.stopped and positions is not None else positions


def _values(described: DescribedScan, numbers: Numbers, in_text: spec.SpecScan | None) -> dict[str, float | None]:
    """What else the geometry needs, each a single number."""
    values = {name: numbers.one(name, getattr(described.beamline, name)) for name in _VALUES}
    pixel = described.detector.pixel_m or (spec.PIXEL_M.get(in_text.detector) if in_text is not None else None)
    for name, pitch in zip(("pixel_row", "pixel_column"), pixel or (None, None), strict=True):
        values[name] = pitch if values[name] is None else values[name]
    return values


def _motion(
    described: DescribedScan,
    circles: Diffractometer,
    known: Mapping[str, NDArray[np.float64]],
    in_text: spec.SpecScan | None,
) -> Motion:
    scan = described.scan
    given = {name: value for name, value in described.request.reading.set.items() if name in known}
    where = in_text.where if in_text is not None else scan.source
    empty = next((number for number, frame in _backwards(scan) if frame.any()), -1) + 1
    try:
        return motion(known, len(scan.array), circles, measured=empty or len(scan.array), given=given, where=where)
    except MismatchError as error:
        if in_text is not None:  # it was named, or picked by a number: another scan is meant
            raise
        raise MissingError(str(error)) from error


def _backwards(scan: RawScan) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """From the last frame on: its number, and where it holds counts: neither masked, nor a detector's mark."""
    dtype: np.dtype[Any] = scan.array.dtype
    top = np.iinfo(dtype).max if dtype.kind in "ui" else _MARKS[-1]
    marks = np.array([mark for mark in _MARKS if mark <= top], dtype)
    for number in range(len(scan.array) - 1, -1, -1):
        counts = (scan.array[number] > 0) & ~np.isin(scan.array[number], marks)
        yield number, counts if scan.mask is None else counts & (scan.mask[number] == MaskState.VALID)


def without_positions(scan: RawScan, points: int) -> RawScan:
    """The scan, its frames beyond those that have positions masked where they hold no counts:
    they were not measured.
    """
    empty = [
        number for number, counts in takewhile(lambda each: each[0] >= points, _backwards(scan)) if not counts.any()
    ]
    if not empty:
        return scan
    mask = np.zeros(scan.array.shape, np.uint8) if scan.mask is None else scan.mask.copy()
    mask[empty] = np.maximum(mask[empty], MaskState.MASKED)
    return replace(
        scan,
        mask=mask,
        chosen=f"{scan.chosen}; {len(empty)} frames from {min(empty)} on have neither position nor counts",
    )


def _check_assigned(numbers: Numbers, moving: Mapping[str, NDArray[np.float64]]) -> None:
    """Raises MissingError where it is not certain which circle turned.

    A file may name what it scanned by a number alone, so that one record could be taken for two circles, or for none.
    """
    names = list(moving)
    for place, name in enumerate(names):
        for other in names[place + 1 :]:
            if np.array_equal(moving[name], moving[other], equal_nan=True):
                raise MissingError(f"{name} and {other} have the same positions: it is not certain which of them moved")
    for path, positions in numbers.unassigned():
        known = any(np.array_equal(positions, each, equal_nan=True) for each in moving.values())
        if len(positions) > 1 and np.ptp(positions) > 0 and not known:
            raise MissingError(f"'{path}' moves as well, and the file does not say which circle it is")


def _number(value: Any) -> float:
    assert value is not None
    return float(value)
