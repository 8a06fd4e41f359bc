"""SPEC data files: where the motors stood and how a scan moved them. The frames lie elsewhere, as TIFFs.

The format (Certified Scientific Software): a file header `#F #E #D #O #o`, then scans `#S ... #P ... #L ... data`; some
programs repeat the motors' names (#O, #o) in every scan. 34-ID-C adds `#UIMDET` (the detector) and `#UIMR5 x0 dx y0 dy`
(the region of it that the frames show).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inphase.beamlines import APS_34IDC
from inphase.diffractometer import Diffractometer, RockingScan
from inphase.errors import DataError, TooLargeError
from inphase.formats.boundary import boundary
from inphase.formats.motion import ENERGY, Motion, motion
from inphase.formats.regular import open_regular
from inphase.sizes import in_words

V = TypeVar("V")
SUFFIXES = (".spec",)
PIXEL_M = {"34idcTIM1": (55e-6, 55e-6), "34idcTIM2": (55e-6, 55e-6)}  # by the name in #UIMDET
_MAX_LINE = 2**20
_MAX_POINTS = 10**6
_MAX_BYTES = 2**29  # of a file: a beamtime in one
_MAX_SCAN = 2**24  # bytes of a scan, and of the header: 10,000 points of 200 counters
_MOST_NAMED = 3  # damaged points in a message
_FIRST = 50  # lines, within which a SPEC file says what it is
_MILLER = {"h", "k", "l"}  # first columns of scans that move whatever circles they need


@dataclass(frozen=True)
class SpecScan:
    """One scan of a SPEC file.

    command: as typed, `ascan  th -0.28 0.72  200 0.25`. date: as the file has it.
    motors: positions before the scan, by the motors' full names, in the file's units (deg, mm, keV).
    mnemonics: short name -> full name.
    columns: (points,) float64 per label, NaN where a number is missing; the first is the scanned motor, by its full
    name.
    headers: the scan's other header lines, `#UIMR5 0 256 0 256 1` as {"UIMR5": "0 256 0 256 1"}.
    remarks: what of the scan is damaged, and so was not used.
    """

    number: int
    command: str
    date: str
    motors: Mapping[str, float]
    mnemonics: Mapping[str, str]
    columns: Mapping[str, NDArray[np.float64]]
    headers: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.source}, scan {self.number}"

    @property
    def scanned(self) -> str:
        """Full name of the motor in the first column."""
        return next(iter(self.columns), "")

    @property
    def points(self) -> int:
        """Measured points: fewer than asked for where the scan was aborted."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def detector(self) -> str:
        """Name of the area detector (#UIMDET), "" where none is named."""
        return self.headers.get("UIMDET", "").split(":")[0].strip()

    @property
    def roi(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """((first row, end), (first column, end)) of the detector in the frames (#UIMR5); None where not said."""
        numbers = self.headers.get("UIMR5", "").split()
        if len(numbers) < 4:
            return None
        try:
            x0, dx, y0, dy = (int(n) for n in numbers[:4])
        except ValueError:
            raise DataError(f"{self.where}: #UIMR5 must hold x0 dx y0 dy, found '{self.headers['UIMR5']}'") from None
        return (y0, y0 + dy), (x0, x0 + dx)

    def motor(self, name: str) -> float:
        """Position of a motor before the scan, by its full name or mnemonic, in any case.
        DataError where it is unknown.
        """
        found = self._named(self.motors, name)
        if found is None:
            raise DataError(f"{self.where}: {self.lack([name])}")
        return found

    def recorded(self, name: str) -> NDArray[np.float64] | None:
        """Positions of a motor at every point, else its one position before the scan; None where neither is known."""
        column = self._named(self.columns, name)
        if column is not None and np.isfinite(column).any():
            return column
        position = self._named(self.motors, name)
        return None if position is None or not np.isfinite(position) else np.array([position])

    @property
    def along_hkl(self) -> bool:
        """Whether the scan went along h, k, l: it turned circles, and those without a column stood nobody knows
        where.
        """
        return self.scanned.lower() in _MILLER

    def lack(self, names: Sequence[str]) -> str:
        """That positions of these motors are not known, and why."""
        why = f"; `{self.command}` turns circles without recording them" if self.along_hkl else ""
        known = f"; it has {', '.join(self.motors)}" if self.motors else ""
        return f"has no motor {', '.join(map(repr, names))}{why}{known}" + "".join(f"; {each}" for each in self.remarks)

    @property
    def scanned_motors(self) -> list[str]:
        """Labels of the first columns: the motors that the scan moved, up to the first that is none."""
        known = {key.lower() for key in (*self.motors, *self.mnemonics)}
        first = list(takewhile(lambda label: label.lower() in known, self.columns))
        return first or [self.scanned]

    def others(self, motors: Iterable[str]) -> list[str]:
        """What the scan moved besides these motors."""
        known = [self.recorded(motor) for motor in motors]
        return [label for label in self.scanned_motors if all(self.columns[label] is not column for column in known)]

    def _named(self, values: Mapping[str, V], name: str) -> V | None:
        """The value of a motor by its full name or mnemonic."""
        full = {short.lower(): full.lower() for short, full in self.mnemonics.items()}
        short = {name: mnemonic for mnemonic, name in full.items()}
        known, key = {label.lower(): value for label, value in values.items()}, name.lower()
        candidates = (key, full.get(key), short.get(key))
        return next((known[each] for each in candidates if each in known), None)


def is_spec(path: Path) -> bool:
    """Whether a text file is a SPEC file: begins with #F, or has a scan. Raises DataError where it cannot be read."""
    return any(line.startswith(("#F ", "#S ")) for line in islice(_lines(path), _FIRST))


def scan_numbers(path: Path) -> list[int]:
    """Numbers of the scans in a file, in its order; a number that was used again stands there again."""
    numbers = (_number(line) for line in _lines(path) if line.startswith("#S "))
    return [number for number in numbers if number is not None]


def read_scan(path: Path, number: int) -> SpecScan:
    """One scan of a SPEC file; of several with this number the last that has points, whose frames were not overwritten.

    What of it is damaged is left out and told in `remarks`. Raises DataError where the file is no SPEC file, has no
    such scan, or the scan has no points; nothing else.
    """
    with boundary(f"{path}, scan {number}"):
        return _read(path, number)


def _read(path: Path, number: int) -> SpecScan:
    used: tuple[list[str], list[str]] | None = None
    times = 0
    for times, found in enumerate(_blocks(path, number), 1):  # noqa: B007  # counted
        if used is None or any(map(_is_data, found[1])) or not any(map(_is_data, used[1])):
            used = found
    if used is None:
        others = scan_numbers(path)
        strange = next((line for line in _lines(path) if line.startswith("#S ") and _number(line) is None), None)
        raise DataError(
            f"{path}: has no scan {number}; "
            + (f"it has {_listing(others)}" if others else "it holds no scans: not a SPEC file?")
            + ("" if strange is None else f"; '{strange[:60]}' begins no scan: expected #S and a number")
        )
    scan = _parsed(*used, number=number, source=str(path))
    if times == 1:
        return scan
    again = f"number {number} was used {times} times: the last with points is taken, of {scan.date or 'no date'}"
    return replace(scan, remarks=(again, *scan.remarks))


def _blocks(path: Path, number: int) -> Iterator[tuple[list[str], list[str]]]:
    """Lines of the file's header, and of the scan, for every scan of this number. Raises TooLargeError."""
    header: list[str] = []
    body: list[str] = []
    inside, held = False, 0
    for line in _lines(path):
        opened_again = line.startswith(("#F ", "#E ")) and inside  # motors may have changed
        if body and (opened_again or line.startswith("#S ")):
            yield header, body
        if opened_again:
            header, body, inside, held = [], [], False, 0
        if line.startswith("#S "):
            inside, held = True, sum(map(len, header))
            body = [line] if _number(line) == number else []
        elif not inside:
            header.append(line)
            held += len(line) + 1
        elif body:
            body.append(line)
            held += len(line) + 1
        if held > _MAX_SCAN:
            raise TooLargeError(f"{path}: has a header or a scan of more than {in_words(_MAX_SCAN)}: not a SPEC file")
    if body:
        yield header, body


def rocking_scan(
    scan: SpecScan,
    *,
    frame_shape: tuple[int, int, int] | None = None,
    direct_beam: tuple[float, float] | None = None,
    pixel_m: tuple[float, float] | None = None,
    diffractometer: Diffractometer = APS_34IDC,
) -> RockingScan:
    """The rocking curve of a scan: angles by the circles' names among the motors, `Energy` (keV), `camdist` (mm).

    frame_shape: (frames, rows, columns) of the measured array; checked against the scan, and decides where its centre
        lies. Without it the scan's points and #UIMR5 are taken.
    direct_beam: (row, column) of the direct beam on the WHOLE detector, all detector circles at zero. Without it the
        centre of the frames is taken to stand at the detector's angles: SPEC does not know better, and d-spacing and
        lattice parameter are then as good as this assumption (about 1 % in the header of 34-ID-C).
    pixel_m: (row, column) pitch; by default that of the named detector.

    Raises DataError where the scan turned no circle of the sample, stepped unevenly, or does not fit the frames.
    """
    roi = scan.roi
    shape = frame_shape or (scan.points, *((r[1] - r[0] for r in roi) if roi else (0, 0)))
    check_region(scan, shape)
    pixel = pixel_m or PIXEL_M.get(scan.detector)
    if pixel is None:
        known = ", ".join(PIXEL_M)
        raise DataError(
            f"{scan.where}: the pixel size of detector '{scan.detector}' is unknown (known: {known}); give it"
        )
    names = {ENERGY: "Energy", **{name: name for name in diffractometer.circles}}
    recorded = {name: scan.recorded(motor) for name, motor in names.items()}
    if missing := [
        names[name]
        for name, positions in recorded.items()
        if positions is None or (scan.along_hkl and name != ENERGY and len(positions) == 1)
    ]:
        raise DataError(f"{scan.where}: {scan.lack(missing)}")
    complete = {name: positions for name, positions in recorded.items() if positions is not None}
    moved = motion(complete, shape[0], diffractometer, where=scan.where)
    check_rocking(scan, moved, diffractometer)
    beam = (0.0, 0.0)
    if direct_beam is not None:
        if roi is None and frame_shape is None:
            raise DataError(f"{scan.where}: says no region of interest (#UIMR5): give the shape of the frames")
        row0, column0 = (roi[0][0], roi[1][0]) if roi else (0, 0)
        beam = (direct_beam[0] - row0 - shape[1] // 2, direct_beam[1] - column0 - shape[2] // 2)
    return moved.scan(diffractometer, distance_m=scan.motor("camdist") / 1e3, pixel_m=pixel, direct_beam=beam)


def check_region(scan: SpecScan, shape: tuple[int, ...]) -> None:
    """Raises DataError where the frames do not show the region that the scan names (#UIMR5)."""
    roi = scan.roi
    if roi is not None and shape[1:] != (roi[0][1] - roi[0][0], roi[1][1] - roi[1][0]):
        raise DataError(
            f"{scan.where}: its frames show rows {roi[0][0]}:{roi[0][1]}, columns {roi[1][0]}:{roi[1][1]} (#UIMR5), "
            f"the measurement has {shape[1]} x {shape[2]} pixels"
        )


def check_rocking(scan: SpecScan, moved: Motion, diffractometer: Diffractometer) -> None:
    """Raises DataError where the scan turned no circle of the sample and kept the energy."""
    if scan.points < 2:
        raise DataError(f"{scan.where}: has {scan.points} point; a rocking curve needs at least two")
    if not moved.rocks(diffractometer):
        names = ", ".join(circle.name for circle in diffractometer.sample)
        raise DataError(
            f"{scan.where}: `{scan.command}` moves {', '.join(map(repr, scan.scanned_motors))}, no rocking curve; the "
            f"circles of the sample at {diffractometer.name} are {names}"
        )


def _parsed(header: list[str], body: list[str], *, number: int, source: str) -> SpecScan:
    where = f"{source}, scan {number}"
    own = [line for line in body if re.match(r"#[Oo]\d", line)]  # some programs write the names into every scan
    positions = list(chain.from_iterable(map(_value, text.split()) for _, text in _numbered(body, "P")))
    names, mnemonics, remarks = _motors(own or header, len(positions))
    headers = dict(_split(line) for line in body[1:] if line.startswith("#") and not re.match(r"#[PO]\d", line))
    columns, damaged = _columns(body, headers, where)
    if stopped := [line for line in body if line.startswith("#C") and "abort" in line.lower()]:
        damaged.append(f"the scan was aborted ('{stopped[-1][2:].strip()[:80]}')")
    words = body[0].split(maxsplit=2)
    return SpecScan(
        number=number,
        command=words[2].strip() if len(words) > 2 else "",
        date=headers.get("D", ""),
        motors=dict(zip(names, positions, strict=True)) if names else {},
        mnemonics=dict(zip(mnemonics, names, strict=True)) if len(mnemonics) == len(names) else {},
        columns=columns,
        headers=headers,
        source=source,
        remarks=(*remarks, *damaged),
    )


def _motors(lines: list[str], positions: int) -> tuple[list[str], list[str], list[str]]:
    """Full names, mnemonics, and a remark where the names are not as many as the positions:
    no one knows whose is which.
    """
    texts = [text for _, text in _numbered(lines, "O")]
    mnemonics = list(chain.from_iterable(text.split() for _, text in _numbered(lines, "o")))
    names = list(chain.from_iterable(map(_names, texts)))
    if len(names) != positions and not any("  " in text.strip() for text in texts):
        names = list(chain.from_iterable(map(str.split, texts)))  # one blank between them
    if not texts:
        names = mnemonics
    if len(names) == positions:
        return names, mnemonics, []
    many = f"{positions} motor positions (#P) for {len(names)} names (#O)"
    return [], [], [f"the scan has {many}, so that none of them can be told from another"]


def _columns(
    body: list[str], headers: Mapping[str, str], where: str
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """The columns, NaN where a point has no number, and remarks on such points."""
    rows = [line.split() for line in body if _is_data(line)]
    if not rows or not headers.get("L", ""):
        raise DataError(f"{where}: has no {'labels of its columns (#L)' if rows else 'data points'}")
    declared = re.match(r"\d{1,9}", headers.get("N", ""))
    count = int(declared[0]) if declared else len(rows[0])
    labels = _names(headers["L"])
    if len(labels) != count and "  " not in headers["L"]:
        labels = headers["L"].split()  # one blank between them
    points = _points(rows, len(labels))
    table = np.array(
        [[_value(part) for part in row] if len(row) == len(labels) else [np.nan] * len(labels) for row in points]
    )
    remarks = [
        f"point {index} has {len(row)} numbers for {len(labels)} labels (#L) and is not used"
        for index, row in enumerate(points)
        if len(row) != len(labels)
    ]
    if len(remarks) == len(points):
        raise DataError(f"{where}: has no usable points: {remarks[0]}")
    if len(remarks) > _MOST_NAMED:
        remarks[_MOST_NAMED:] = [f"{len(remarks) - _MOST_NAMED} more such points"]
    return dict(zip(labels, table.T, strict=True)), remarks


def _points(rows: list[list[str]], length: int) -> list[list[str]]:
    """The points of a scan: lines, or several lines together where a long point was folded."""
    points: list[list[str]] = []
    for row in rows:
        if points and len(points[-1]) < length and len(points[-1]) + len(row) <= length:
            points[-1] = points[-1] + row
        else:
            points.append(row)
    return points


def _lines(path: Path) -> Iterator[str]:
    """Lines of the file, one at a time: beamtimes fill hundreds of megabytes.
    Lines that end in \\ go on in the next.
    """
    points, held, spectrum = 0, "", False
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _MAX_BYTES:
                raise TooLargeError(f"{path}: is longer than {in_words(_MAX_BYTES)}: not a SPEC file")
            while line := file.readline(_MAX_LINE):
                if len(line) >= _MAX_LINE:
                    raise TooLargeError(f"{path}: has a line above {_MAX_LINE} bytes: not a SPEC file")
                points = 0 if line.startswith(b"#") else points + 1
                if points > _MAX_POINTS:
                    raise TooLargeError(f"{path}: has a scan of more than {_MAX_POINTS} points")
                text = line.decode("latin-1").strip("\r\n")
                if spectrum or line.startswith(b"@"):  # of a multi-channel analyser
                    spectrum = text.rstrip().endswith("\\")
                elif text.rstrip().endswith("\\") and not text.startswith("#C"):
                    held += text.rstrip().removesuffix("\\") + " "
                    if len(held) > _MAX_LINE:
                        raise TooLargeError(f"{path}: has a line above {_MAX_LINE} bytes: not a SPEC file")
                else:
                    yield held + text
                    held = ""
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _is_data(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _number(line: str) -> int | None:
    match = re.match(r"#S\s+(\d{1,9})\b", line)
    return int(match[1]) if match else None


def _numbered(lines: list[str], letter: str) -> list[tuple[int, str]]:
    """The lines #X0, #X1, ... in order of their number."""
    found = [(re.match(rf"#{letter}(\d{{1,3}})\s?(.*)", line)) for line in lines]
    return sorted((int(match[1]), match[2]) for match in found if match)


def _names(text: str) -> list[str]:
    """Names with single blanks inside, two or more between them."""
    return [name for name in re.split(r"\s{2,}", text.strip()) if name]


def _split(line: str) -> tuple[str, str]:
    key, _, text = line[1:].partition(" ")
    return key, text.strip()


def _value(text: str) -> float:
    """NaN for what is not a number: programs write nan, None or ---- where a counter failed."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _listing(numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    text = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans[:12])
    return text + (", ..." if len(spans) > 12 else "")
