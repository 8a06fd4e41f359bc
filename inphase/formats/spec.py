"""SPEC data files: where the motors stood and how a scan moved them. The frames lie elsewhere, as TIFFs.

The format (Certified Scientific Software): a file header `#F #E #D #O #o`, then scans `#S ... #P ... #L ... data`. 34-ID-C
adds `#UIMDET` (the detector) and `#UIMR5 x0 dx y0 dy` (the region of it that the frames show).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inphase.beamlines import APS_34IDC
from inphase.diffractometer import Diffractometer, RockingScan
from inphase.errors import DataError, TooLargeError

SUFFIXES = (".spec",)
PIXEL_M = {"34idcTIM1": (55e-6, 55e-6), "34idcTIM2": (55e-6, 55e-6)}  # by the name in #UIMDET
_MAX_LINE = 2**20
_MAX_POINTS = 10**6
_UNEVEN = 0.5  # of a step: further off, a frame lies nearer to where its neighbour belongs


@dataclass(frozen=True)
class SpecScan:
    """One scan of a SPEC file.

    command: as typed, `ascan  th -0.28 0.72  200 0.25`. date: as the file has it.
    motors: positions before the scan, by the motors' full names, in the file's units (deg, mm, keV).
    mnemonics: short name -> full name.
    columns: (points,) float64 per label; the first is the scanned motor, by its full name.
    headers: the scan's other header lines, `#UIMR5 0 256 0 256 1` as {"UIMR5": "0 256 0 256 1"}.
    """

    number: int
    command: str
    date: str
    motors: Mapping[str, float]
    mnemonics: Mapping[str, str]
    columns: Mapping[str, NDArray[np.float64]]
    headers: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

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
        """Position of a motor before the scan, by its full name or mnemonic, in any case. DataError where it is unknown."""
        known = {key.lower(): value for key, value in self.motors.items()}
        mnemonics = {short.lower(): full.lower() for short, full in self.mnemonics.items()}
        key = name.lower()
        found = known.get(key, known.get(mnemonics.get(key, "")))
        if found is None:
            raise DataError(f"{self.where}: has no motor '{name}'; it has {', '.join(self.motors) or 'none'}")
        return found


def scan_numbers(path: Path) -> list[int]:
    """Numbers of the scans in a file, in its order; a number that was used again stands there again."""
    return [_number(line, str(path)) for line in _lines(path) if line.startswith("#S ")]


def read_scan(path: Path, number: int) -> SpecScan:
    """One scan of a SPEC file; of several with this number the last, which is the one whose frames were not overwritten.

    Raises DataError where the file is no SPEC file, has no such scan, or the scan is damaged.
    """
    header: list[str] = []
    body: list[str] = []
    at_scan: tuple[list[str], list[str]] | None = None
    inside = False
    for line in _lines(path):
        if line.startswith(("#F ", "#E ")) and (inside or body):
            header, body, inside = [], [], False  # the file was opened again: motors may have changed
        if line.startswith("#S "):
            inside = True
            body = [line]
            wanted = _number(line, str(path)) == number
            if wanted:
                at_scan = (header, body)
        elif inside:
            body.append(line)
        else:
            header.append(line)
    if at_scan is None:
        found = scan_numbers(path)
        raise DataError(
            f"{path}: has no scan {number}; "
            + (f"it has {_listing(found)}" if found else "it holds no scans: not a SPEC file?")
        )
    return _parsed(*at_scan, source=str(path))


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
    _check_frames(scan, frame_shape)
    pixel = pixel_m or PIXEL_M.get(scan.detector)
    if pixel is None:
        known = ", ".join(PIXEL_M)
        raise DataError(
            f"{scan.where}: the pixel size of detector '{scan.detector}' is unknown (known: {known}); give it"
        )
    circle = _scanned_circle(scan, diffractometer)
    positions = scan.columns[scan.scanned]
    angles = {c.name: scan.motor(c.name) for c in diffractometer.sample + diffractometer.detector if c.name != circle}
    beam = (0.0, 0.0)
    if direct_beam is not None:
        if roi is None and frame_shape is None:
            raise DataError(f"{scan.where}: says no region of interest (#UIMR5): give the shape of the frames")
        row0, column0 = (roi[0][0], roi[1][0]) if roi else (0, 0)
        beam = (direct_beam[0] - row0 - shape[1] // 2, direct_beam[1] - column0 - shape[2] // 2)
    return RockingScan(
        diffractometer=diffractometer,
        energy_kev=scan.motor("Energy"),
        distance_m=scan.motor("camdist") / 1e3,
        pixel_m=pixel,
        angles_deg=angles | {circle: float(positions[len(positions) // 2])},
        scanned=circle,
        step_deg=even_step(positions, f"{scan.where}: '{scan.scanned}'"),
        direct_beam=beam,
    )


def _check_frames(scan: SpecScan, frame_shape: tuple[int, int, int] | None) -> None:
    if frame_shape is None:
        return
    if frame_shape[0] != scan.points:
        raise DataError(
            f"{scan.where}: has {scan.points} points, the measurement {frame_shape[0]} frames; "
            "name the scan that these frames belong to"
        )
    roi = scan.roi
    if roi is not None and frame_shape[1:] != (roi[0][1] - roi[0][0], roi[1][1] - roi[1][0]):
        raise DataError(
            f"{scan.where}: its frames show rows {roi[0][0]}:{roi[0][1]}, columns {roi[1][0]}:{roi[1][1]} (#UIMR5), "
            f"the measurement has {frame_shape[1]} x {frame_shape[2]} pixels"
        )


def _scanned_circle(scan: SpecScan, diffractometer: Diffractometer) -> str:
    moved = {scan.scanned.lower()} | {s.lower() for s, full in scan.mnemonics.items() if full == scan.scanned}
    for circle in diffractometer.sample:
        if circle.name.lower() in moved:
            return circle.name
    names = ", ".join(circle.name for circle in diffractometer.sample)
    raise DataError(
        f"{scan.where}: `{scan.command}` moves '{scan.scanned}', no rocking curve; the circles of "
        f"{diffractometer.name} are {names}"
    )


def even_step(positions: NDArray[np.float64], label: str) -> float:
    """Mean step. A line through the first and last point must pass each other one within half a step; else DataError."""
    if len(positions) < 2:
        raise DataError(f"{label}: has {len(positions)} points; a rocking curve needs at least two")
    step = float(positions[-1] - positions[0]) / (len(positions) - 1)
    off = np.abs(positions - (positions[0] + step * np.arange(len(positions))))
    if step == 0 or off.max() > _UNEVEN * abs(step):
        raise DataError(
            f"{label} does not move in equal steps: point {int(off.argmax())} is "
            f"{off.max():.3g} deg off where {step:.3g} deg per point would bring it"
        )
    return step


def _parsed(header: list[str], body: list[str], source: str) -> SpecScan:
    number = _number(body[0], source)
    where = f"{source}, scan {number}"
    names = list(chain.from_iterable(_names(text) for _, text in _numbered(header, "O")))
    mnemonics = list(chain.from_iterable(text.split() for _, text in _numbered(header, "o")))
    positions = list(chain.from_iterable(_floats(text, where) for _, text in _numbered(body, "P")))
    if len(positions) != len(names):
        raise DataError(f"{where}: has {len(positions)} motor positions (#P) for {len(names)} names (#O)")
    headers = dict(_split(line) for line in body[1:] if line.startswith("#") and not re.match(r"#P\d", line))
    return SpecScan(
        number=number,
        command=body[0].split(maxsplit=2)[2].strip() if len(body[0].split(maxsplit=2)) > 2 else "",
        date=headers.get("D", ""),
        motors=dict(zip(names, positions, strict=True)),
        mnemonics=dict(zip(mnemonics, names, strict=True)) if len(mnemonics) == len(names) else {},
        columns=_columns(body, headers, where),
        headers=headers,
        source=source,
    )


def _columns(body: list[str], headers: Mapping[str, str], where: str) -> dict[str, NDArray[np.float64]]:
    labels = _names(headers.get("L", ""))
    rows = [_floats(line, where) for line in body if line.strip() and not line.startswith("#")]
    if not labels or not rows:
        raise DataError(f"{where}: has no data points")
    if wrong := [index for index, row in enumerate(rows) if len(row) != len(labels)]:
        raise DataError(f"{where}: point {wrong[0]} has {len(rows[wrong[0]])} numbers for {len(labels)} labels (#L)")
    return dict(zip(labels, np.array(rows).T, strict=True))


def _lines(path: Path) -> Iterator[str]:
    """Lines of the file, one at a time: beamtimes fill hundreds of megabytes."""
    points = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                if len(line) >= _MAX_LINE:
                    raise TooLargeError(f"{path}: has a line above {_MAX_LINE} bytes: not a SPEC file")
                points = 0 if line.startswith(b"#") else points + 1
                if points > _MAX_POINTS:
                    raise TooLargeError(f"{path}: has a scan of more than {_MAX_POINTS} points")
                if not line.startswith(b"@"):  # spectra of a multi-channel analyser
                    yield line.decode("latin-1").rstrip("\r\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _number(line: str, where: str) -> int:
    match = re.match(r"#S\s+(\d{1,9})\b", line)
    if match is None:
        raise DataError(f"{where}: '{line[:60]}' begins no scan: expected #S and a number")
    return int(match[1])


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


def _floats(text: str, where: str) -> list[float]:
    try:
        return [float(part) for part in text.split()]
    except ValueError:
        raise DataError(f"{where}: '{text[:60]}' holds something that is not a number") from None


def _listing(numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    text = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans[:12])
    return text + (", ..." if len(spans) > 12 else "")
