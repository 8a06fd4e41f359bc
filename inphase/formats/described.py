"""Reading a scan by the description of its beamline: frames, mask, and the geometry from motors and detector."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.diffractometer import Diffractometer, RockingScan, Vector, bragg_peak
from inphase.errors import DataError
from inphase.formats import detector, entries, hdf5, spec, template, tiff
from inphase.formats.beamline import UNITS, Beamline, Detector, Quantity, find, paths
from inphase.formats.fio import FioScan, read_fio
from inphase.formats.hidden import account
from inphase.formats.motion import ENERGY, MismatchError, Motion, motion
from inphase.formats.pieces import Found, joined
from inphase.formats.scan import (
    FileReading,
    RawScan,
    Reader,
    Saturation,
    frames_out,
    masked,
    of_scan,
    three_axes,
    three_state,
    with_saturation,
)
from inphase.formats.tree import Tree, is_hdf5, is_real, opened
from inphase.geometry import PLANCK_EV_M
from inphase.pattern import MaskState
from inphase.preprocess.corrections import USUAL

_MOST_POSITIONS = 10**6
_MARKS = tuple(2**bits - 1 for bits in (16, 20, 31, 32, 63, 64))  # what detectors write for no value
_VALUES = (
    "distance", "pixel_row", "pixel_column", "direct_beam_row", "direct_beam_column",
)  # fmt: skip


class MissingError(DataError):
    """What the geometry needs and the file does not have."""


def read(request: FileReading, plain: Reader, *, guessed: bool = False) -> RawScan:
    """Reads the scan that `request.reading` describes.

    plain: reads frames that are not in the beamline's own layout: a stack or an array made of a folder of TIFFs.

    Where a number is missing the scan comes without geometry, and `chosen` says what to give. Raises DataError where
    the frames cannot be found, several scans fit, or the motors contradict the frames.
    guessed: nobody has named the beamline; what contradicts the frames is then told in `chosen`, too.
    """
    assert request.reading.beamline is not None
    excused = DataError if guessed else MissingError
    beamline = find(request.reading.beamline)
    _check_given(beamline, request.reading.set)
    if beamline.frames == "folder":
        return _with_geometry(_from_frames(request, beamline, plain), None, excused)
    if not request.path.is_file() or not is_hdf5(request.path):
        raise DataError(f"{request.path}: {beamline.name} writes HDF5 files, and this is none")
    with opened(request.path) as tree:
        return _with_geometry(_from_tree(request, beamline, tree), tree, excused)


@dataclass(frozen=True)
class _Read:
    """Frames as read, and what is known for the geometry.

    known: what the placeholders stand for. stopped: the last frames are missing, so that motors may have more
    positions.
    """

    request: FileReading
    beamline: Beamline
    scan: RawScan
    known: Mapping[str, str]
    stopped: bool = False

    @property
    def detector(self) -> Detector:
        """What the description says of the detector in use."""
        return _detector(self.beamline, self.known)


def _detector(beamline: Beamline, known: Mapping[str, str]) -> Detector:
    kinds = beamline.detectors
    alone = next(iter(kinds.values())) if len(kinds) == 1 else Detector()
    return kinds.get(known.get("detector", ""), alone)


def _naming(request: FileReading, beamline: Beamline, known: Mapping[str, str], tree: Tree | None) -> FileReading:
    """The request, with what the description says of the pixels among those that do not measure."""

    def unmeasured(shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        frame = _gaps(_detector(beamline, known), shape)
        for _, bad in _masks(request, beamline, known, tree, shape):
            frame |= frames_out(bad)
        named = request.unmeasured(shape)
        return frame if named is None else frame | named

    return replace(request, unmeasured=unmeasured)


def _from_frames(request: FileReading, beamline: Beamline, plain: Reader) -> _Read:
    names = [request.path.name]
    if request.path.is_dir():
        names += sorted(
            entry.name
            for entry in request.path.iterdir()
            if entry.suffix.lower() in tiff.SUFFIXES and entry.name.startswith(request.reading.dataset or "")
        )[:1]
    known = _from_names(request, beamline, names)
    read_ = _Read(request, beamline, plain(_naming(request, beamline, known, None)), known)
    return replace(read_, scan=_masked(read_, None))


def _from_tree(request: FileReading, beamline: Beamline, tree: Tree) -> _Read:
    known = _from_names(request, beamline, [request.path.name])
    if request.reading.dataset is not None:
        found, note = hdf5.named(tree, request.reading.dataset)
        bound = [template.matched_path(text, found.path, known) for text in paths(beamline.frames)]
        known = next((each for each in bound if each is not None), known)
    else:
        found, note, known = _found(tree, beamline, known)
    groups = detector.groups(tree, found.path, found.pieces[0])
    naming = _naming(request, beamline, known, tree)
    loaded = found.load(tree, naming, lambda: detector.bad_pixels(tree, groups, request.limits))
    chosen = f"{beamline.name}: dataset '{found.path}' {loaded.where}{note}"
    scan = RawScan(loaded.array, None, str(request.path), chosen, mask=loaded.mask, region=loaded.region)
    scan = detector.applied(scan, tree, groups, request.limits)
    read_ = _Read(request, beamline, scan, known, stopped=loaded.stopped)
    return replace(read_, scan=_masked(read_, tree))


def _from_names(request: FileReading, beamline: Beamline, names: Sequence[str]) -> dict[str, str]:
    """What the names of file or folder tell of the placeholders; what is given counts more."""
    known = request.reading.known()
    for pattern in beamline.names:
        for name in names:
            if (found := template.matched(pattern, name, {})) is not None:
                return {**found, **known}
    return known


def _found(tree: Tree, beamline: Beamline, known: Mapping[str, str]) -> tuple[Found, str, dict[str, str]]:
    """The frames: of the first path that names volumes; all must belong to one scan, sample and detector."""
    asked = paths(beamline.frames)
    for text in asked:
        volumes: _Volumes = {}
        for path, bound, item in template.expanded(tree, text, known):
            if is_real(item) and len(three_axes(item.shape or ())) == 3:
                volumes.setdefault(tuple(sorted(bound.items())), []).append((path, item))
        note = ""
        if len(volumes) > 1:
            volumes, note = _only_curve(tree, volumes)
        if len(volumes) > 1:
            options = "; ".join(", ".join(f"{k} {v}" for k, v in key) for key in sorted(volumes)[:12])
            raise DataError(
                f"{tree.path}: holds several scans: {options}; name one with scan=, sample= or detector={note}"
            )
        for key, members in volumes.items():
            found = sorted(joined(tree, members), key=lambda each: -each.size)
            others = [other.path for other in found[1:6]]
            return found[0], note + (f"; passed over {', '.join(others)}" if others else ""), dict(key)
    stands = ", ".join(f"{key}={value}" for key, value in known.items())
    raise DataError(
        f"{tree.path}: has no frames of {beamline.name} at {' or '.join(asked)}{f' with {stands}' if stands else ''}; "
        f"{tree.listing()}"
    )


_Volumes = dict[tuple[tuple[str, str], ...], list[tuple[str, h5py.Dataset]]]


def _only_curve(tree: Tree, volumes: _Volumes) -> tuple[_Volumes, str]:
    """Of several scans in entries of their own the one that is a rocking curve; all where none is told from the others.

    And a word on it.
    """
    by_entry = {entries.name_of_entry(members[0][0]): key for key, members in volumes.items()}
    if len(by_entry) < len(volumes):
        return volumes, ""
    frames = {entry: three_axes(volumes[key][0][1].shape)[0] for entry, key in by_entry.items()}
    try:
        one, note = entries.choose(tree, frames)
    except DataError as error:
        return volumes, f" (it {error})"
    return (volumes, "") if one is None else ({by_entry[one]: volumes[by_entry[one]]}, f"; {note}")


def _masked(read_: _Read, tree: Tree | None) -> RawScan:
    """The scan with what file and description say of its pixels."""
    scan, kind = read_.scan, read_.detector
    shape = scan.whole
    frame = _gaps(kind, shape)
    for path, bad in _masks(read_.request, read_.beamline, read_.known, tree, shape):
        said = account(scan.array, scan.part(bad), f"{scan.source}, '{path}'")
        frame |= frames_out(bad)
        if bad.ndim == 3:
            part = scan.part(bad)
            states = three_state(part, part.shape, scan.source)
            scan = masked(scan, states, f"{np.count_nonzero(part)} voxels masked by '{path}' ({said})")
    if kind.saturation is not None and (scan.saturation is None or kind.saturation < scan.saturation.level):
        scan = with_saturation(scan, [Saturation(kind.saturation, f"the description of {read_.beamline.name}")])
    frame = scan.part(frame)
    if not frame.any():
        return scan
    mask = three_state(frame, scan.array.shape, scan.source)
    return masked(scan, mask, f"{int(np.count_nonzero(frame))} pixels masked by the description")


def _masks(
    request: FileReading, beamline: Beamline, known: Mapping[str, str], tree: Tree | None, shape: tuple[int, ...]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The masks that the description names, over a frame or the measurement of that shape, and their paths."""
    for text in beamline.masks if tree is not None else ():
        assert tree is not None
        for path, _, item in template.expanded(tree, text, known):
            if isinstance(item, h5py.Dataset):
                yield path, of_scan(tree.array(item, request.limits) != 0, shape, f"{tree.path}, '{path}'")


def _gaps(kind: Detector, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(rows, columns): those between the modules of a detector, where the frames are whole ones of it."""
    frame = np.zeros(shape[-2:], bool)
    if kind.shape is not None and tuple(kind.shape) == shape[-2:]:
        for first, end in kind.gap_rows:
            frame[first:end] = True
        for first, end in kind.gap_columns:
            frame[:, first:end] = True
    return frame


def _with_geometry(read_: _Read, tree: Tree | None, excused: type[DataError]) -> RawScan:
    """The scan with its geometry, or with a word on what is missing for it."""
    scan, circles = read_.scan, read_.beamline.circles
    if read_.beamline.usual_maps:
        usual = {"beamline": read_.beamline.name, USUAL: ", ".join(read_.beamline.usual_maps)}
        scan = replace(scan, metadata={**scan.metadata, **usual})
    if circles is None:
        return scan
    remarks: tuple[str, ...] = ()
    try:
        companion = _companion(read_)
        remarks = companion.remarks if companion is not None else ()
        moved, rocking = _rocking(read_, circles, _Numbers(read_, tree, companion), companion)
        geometry = rocking.geometry(_in_whole(scan, bragg_peak(scan.array, scan.mask)))
    except excused as error:
        return replace(scan, chosen="; ".join((scan.chosen, *remarks, f"no geometry: {error}")))
    metadata = {
        "beamline": read_.beamline.name,
        **read_.known,
        "energy_kev": f"{rocking.energy_kev:.8g}",
        "distance_m": f"{rocking.distance_m:.8g}",
        "pixel_row_m": f"{rocking.pixel_m[0]:.8g}",
        "pixel_column_m": f"{rocking.pixel_m[1]:.8g}",
        "scanned": ", ".join(
            f"{name}, {step:.6g} {'keV' if name == ENERGY else 'deg'} per frame" for name, step in moved.steps.items()
        ),
        **{f"{name}_deg": f"{angle:.8g}" for name, angle in rocking.angles_deg.items()},
    }
    if isinstance(companion, spec.SpecScan):
        named = [quantity.motor for quantity in read_.beamline.quantities() if quantity.motor is not None]
        remarks += tuple(f"{motor} moved as well, which is no circle here" for motor in companion.others(named))
    told = replace(scan, chosen="; ".join((scan.chosen, *remarks, *moved.remarks)))
    of_part = geometry if scan.region is None else scan.region.geometry(geometry)
    return replace(_without_positions(told, moved.points), geometry=of_part, metadata={**scan.metadata, **metadata})


def _in_whole(scan: RawScan, place: Vector) -> Vector:
    """A voxel counted from N // 2 of the array, counted from that of whole frames."""
    corner = scan.start
    moved = (
        at + n // 2 + c - whole // 2
        for at, n, c, whole in zip(place, scan.array.shape, corner, scan.whole, strict=True)
    )
    frame, row, column = moved
    return frame, row, column


def _companion(read_: _Read) -> spec.SpecScan | FioScan | None:
    """The text file with the motors: the one that is named, else the only one that the description's names find."""
    reading, companion = read_.request.reading, read_.beamline.companion
    if companion is None:
        if reading.spec is not None:
            raise DataError(f"{read_.beamline.name}: keeps its motors in the data file; spec= has no place there")
        return None
    path = reading.spec or _beside(read_)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if companion.kind == "fio" and not spec.is_spec(path):  # some beamlines write both
        return read_fio(path)
    if "scan" not in read_.known:
        raise MissingError(f"which scan of {path.name} this is does not follow from the names: give scan=")
    return spec.read_scan(path, int(read_.known["scan"]))


def _beside(read_: _Read) -> Path:
    companion, request = read_.beamline.companion, read_.request
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
            if template.matched(name, entry.name, read_.known) is not None
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


class _Numbers:
    """Numbers of a scan by the description's names: given by the user, else the first source that has them."""

    def __init__(self, read_: _Read, tree: Tree | None, companion: spec.SpecScan | FioScan | None) -> None:
        self._read, self._tree, self._companion = read_, tree, companion

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


def _rocking(
    read_: _Read, circles: Diffractometer, numbers: _Numbers, companion: spec.SpecScan | FioScan | None
) -> tuple[Motion, RockingScan]:
    shape = read_.scan.whole
    in_text = companion if isinstance(companion, spec.SpecScan) else None
    recorded = _recorded(read_, circles, numbers, in_text)
    values = _values(read_, numbers, in_text)
    missing = [name for name, found in recorded.items() if found is None]
    missing += [name for name in ("distance", "pixel_row", "pixel_column") if values[name] is None]
    if not circles.detector:  # nothing else tells where the beam meets the detector
        missing += [name for name in ("direct_beam_row", "direct_beam_column") if values[name] is None]
    if missing:
        raise MissingError(f"the file does not have {', '.join(missing)}: set them (--set {missing[0]}=...)")
    known = {name: found for name, found in recorded.items() if found is not None}
    moved = _motion(read_, circles, known, in_text)
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
    read_: _Read, circles: Diffractometer, numbers: _Numbers, in_text: spec.SpecScan | None
) -> dict[str, NDArray[np.float64] | None]:
    """Positions of every circle and of the energy; where the files have none those that are given, else None."""
    beamline, given = read_.beamline, read_.request.reading.set
    described = {name: beamline.motors.get(name, []) for name in circles.circles} | {ENERGY: beamline.energy}
    found = {name: _of_frames(read_, numbers.all(candidates)) for name, candidates in described.items()}
    if in_text is not None and in_text.along_hkl:  # only columns tell where the circles were
        found |= {name: None for name in circles.circles if (at := found[name]) is not None and len(at) == 1}
    return found | {name: np.array([given[name]]) for name, at in found.items() if at is None and name in given}


def _of_frames(read_: _Read, positions: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Positions without those of frames that were planned and never written."""
    return positions[: len(read_.scan.array)] if read_.stopped and positions is not None else positions


def _values(read_: _Read, numbers: _Numbers, in_text: spec.SpecScan | None) -> dict[str, float | None]:
    """What else the geometry needs, each a single number."""
    values = {name: numbers.one(name, getattr(read_.beamline, name)) for name in _VALUES}
    pixel = read_.detector.pixel_m or (spec.PIXEL_M.get(in_text.detector) if in_text is not None else None)
    for name, pitch in zip(("pixel_row", "pixel_column"), pixel or (None, None), strict=True):
        values[name] = pitch if values[name] is None else values[name]
    return values


def _motion(
    read_: _Read, circles: Diffractometer, known: Mapping[str, NDArray[np.float64]], in_text: spec.SpecScan | None
) -> Motion:
    scan = read_.scan
    given = {name: value for name, value in read_.request.reading.set.items() if name in known}
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


def _without_positions(scan: RawScan, points: int) -> RawScan:
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


def _check_assigned(numbers: _Numbers, moving: Mapping[str, NDArray[np.float64]]) -> None:
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


def _check_given(beamline: Beamline, given: Mapping[str, float]) -> None:
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
