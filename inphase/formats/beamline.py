"""Beamlines described in YAML: where a file keeps frames, mask, motors and detector, so that a new one is a file,
not code.

The built-in ones lie in inphase/formats/beamlines; docs/how-to/new-beamline.md explains every key.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from inphase.beamlines import BEAMLINES, axis
from inphase.diffractometer import Circle, Diffractometer
from inphase.errors import DataError
from inphase.formats import template
from inphase.formats.boundary import boundary, first_line
from inphase.formats.regular import read_bytes

SUFFIXES: Final = (".yaml", ".yml")
_MAX_BYTES: Final = 2**16
_MAX_DEPTH: Final = 50
_AXES: Final = "x+, x-, y+, y-, z+ or z-"

Axis = Annotated[str, msgspec.Meta(pattern=r"^[xyz][+-]$", description=_AXES)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Paths = str | list[str]
Unit = Literal["deg", "rad", "m", "mm", "um", "keV", "eV", "J", "angstrom", "pixel"]
# to degrees, metres, keV and pixels; a wavelength in angstrom becomes an energy in `quantity`
UNITS: Final[Mapping[str, float]] = {
    "deg": 1.0, "rad": 57.29577951308232, "m": 1.0, "mm": 1e-3, "um": 1e-6,
    "keV": 1.0, "eV": 1e-3, "J": 1 / 1.602176634e-16, "pixel": 1.0,
}  # fmt: skip


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class When(_Part, frozen=True):
    """A condition: the text dataset contains a word."""

    dataset: str
    contains: str


class Quantity(_Part, frozen=True):
    """A number: from a dataset of the file (the first path that exists), a motor of the SPEC or FIO file,
    or a constant.
    """

    unit: Unit
    dataset: Paths = []
    motor: str | None = None
    constant: float | None = None
    when: When | None = None


class Detector(_Part, frozen=True):
    """One detector: (row, column) pixel pitch in metres, full shape, counts per frame at which it saturates.

    gap_rows, gap_columns: [first, end) ranges between its modules, which hold for frames of the full shape.
    """

    pixel_m: Annotated[list[Positive], msgspec.Meta(min_length=2, max_length=2)] | None = None
    shape: Annotated[list[int], msgspec.Meta(min_length=2, max_length=2)] | None = None
    saturation: Positive | None = None
    gap_rows: list[Annotated[list[int], msgspec.Meta(min_length=2, max_length=2)]] = []
    gap_columns: list[Annotated[list[int], msgspec.Meta(min_length=2, max_length=2)]] = []


class Companion(_Part, frozen=True):
    """A text file beside the frames that has the motors. files: names relative to the frames' folder, `..` allowed."""

    kind: Literal["spec", "fio"]
    files: list[str]


class Circles(_Part, frozen=True):
    """A diffractometer: circles outermost first, with the axis they turn about; directions of row and column index."""

    sample: dict[str, Axis]
    detector: dict[str, Axis] = {}
    row: Axis = "y-"
    column: Axis = "x+"


class Beamline(_Part, frozen=True):
    """What a description says."""

    name: str
    title: str
    frames: Literal["folder"] | Paths  # of TIFF frames, or paths of the dataset
    names: list[str] = []
    detectors: dict[str, Detector] = {}
    masks: list[str] = []
    usual_maps: list[Literal["dark", "flat"]] = []  # that its detector usually comes with
    companion: Companion | None = None
    diffractometer: str | Circles | None = None
    motors: dict[str, list[Quantity]] = {}
    unassigned: list[str] = []  # datasets of scanned motors whose names the file does not tell
    energy: list[Quantity] = []
    distance: list[Quantity] = []
    pixel_row: list[Quantity] = []
    pixel_column: list[Quantity] = []
    direct_beam_row: list[Quantity] = []
    direct_beam_column: list[Quantity] = []
    source: str = ""

    @property
    def circles(self) -> Diffractometer | None:
        """The diffractometer; None where the description has none."""
        if isinstance(self.diffractometer, str):
            return BEAMLINES[self.diffractometer]
        if self.diffractometer is None:
            return None
        asked = self.diffractometer
        return Diffractometer(
            self.title,
            sample=tuple(Circle(name, axis(text)) for name, text in asked.sample.items()),
            detector=tuple(Circle(name, axis(text)) for name, text in asked.detector.items()),
            row=axis(asked.row),
            column=axis(asked.column),
        )

    def templates(self) -> Iterator[str]:
        """Every path with placeholders."""
        yield from paths(self.frames)
        yield from self.names
        yield from self.masks
        yield from self.unassigned
        yield from self.companion.files if self.companion else ()
        for quantity in self.quantities():
            yield from paths(quantity.dataset)
            if quantity.when:
                yield quantity.when.dataset

    def quantities(self) -> Iterator[Quantity]:
        """Every number that is described."""
        for candidates in (
            *self.motors.values(), self.energy, self.distance, self.pixel_row, self.pixel_column,
            self.direct_beam_row, self.direct_beam_column,
        ):  # fmt: skip
            yield from candidates


def paths(value: Paths) -> list[str]:
    """One path or several, as a list."""
    return [value] if isinstance(value, str) else value


def find(name: str | Path) -> Beamline:
    """A built-in beamline by its name (in any case), or the description in a YAML file.

    Raises DataError that says file, key and what is expected.
    """
    if isinstance(name, Path) or name.lower().endswith(SUFFIXES):
        return load(Path(name))
    known = builtin()
    found = known.get(name.lower())
    if found is None:
        raise DataError(
            f"no beamline '{name}': known are {', '.join(b.name for b in known.values())}, or name a YAML file "
            "(docs/how-to/new-beamline.md)"
        )
    return found


@cache
def builtin() -> Mapping[str, Beamline]:
    """The descriptions that come with inphase, by their names in lower case."""
    folder = resources.files("inphase.formats") / "beamlines"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(SUFFIXES)), key=lambda entry: entry.name)
    found = [parsed(entry.read_text("utf-8"), entry.name) for entry in files]
    return {beamline.name.lower(): beamline for beamline in found}


def load(path: Path) -> Beamline:
    """The description in a file. Raises DataError, and nothing else."""
    with boundary(path):
        if not path.exists():
            raise DataError(f"{path}: no such file: a beamline is a built-in name or a YAML file")
        try:
            text = read_bytes(path, _MAX_BYTES).decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is no UTF-8 text: {error.reason} at byte {error.start}") from error
        return parsed(text, str(path))


class _Plain(yaml.SafeLoader):
    """YAML without anchors: nothing can be repeated a million times."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        events: Any = self  # PyYAML's stubs leave these untyped
        if events.check_event(yaml.AliasEvent):
            mark = events.peek_event().start_mark
            raise yaml.YAMLError(f"line {mark.line + 1}: anchors and aliases are not used here")
        return super().compose_node(parent, index)


def _check_depth(text: str) -> None:
    """PyYAML takes time that grows with the square of how deep brackets stand in each other."""
    depth = 0
    for bracket in re.findall(r"[][{}]", text):
        depth = max(0, depth + (1 if bracket in "[{" else -1))
        if depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"its brackets stand more than {_MAX_DEPTH} deep in each other")


def parsed(text: str, where: str) -> Beamline:
    """The description in a YAML text. Raises DataError that begins with `where`."""
    try:
        _check_depth(text)
        content = yaml.load(text, _Plain)  # a SafeLoader
    except Exception as error:  # PyYAML builds numbers and dates, and raises whatever these do
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise DataError(
            f"{where}: no valid YAML: {line}{getattr(error, 'problem', None) or first_line(error)}"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: a beamline is a mapping with the keys name, title, frames, ...")
    try:
        beamline = msgspec.convert(_with_lists(content), Beamline, strict=False)
    except (msgspec.ValidationError, OverflowError, RecursionError, ValueError) as error:
        raise DataError(f"{where}: {str(error).replace('$.', '').replace('`', chr(39))}") from error
    _check(beamline, where)
    return msgspec.structs.replace(beamline, source=where)


def _with_lists(content: dict[str, Any]) -> dict[str, Any]:
    """A single quantity stands for a list of one."""

    def listed(value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    single = ("energy", "distance", "pixel_row", "pixel_column", "direct_beam_row", "direct_beam_column")
    done = {key: listed(value) if key in single else value for key, value in content.items()}
    if isinstance(done.get("motors"), dict):
        done["motors"] = {key: listed(value) for key, value in done["motors"].items()}
    return done


def _check(beamline: Beamline, where: str) -> None:
    """What the types cannot say."""
    try:
        for text in beamline.templates():
            template.check(text)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if isinstance(beamline.diffractometer, str) and beamline.diffractometer not in BEAMLINES:
        raise DataError(
            f"{where}: diffractometer: expected one of {', '.join(BEAMLINES)}, or its circles (sample, detector), "
            f"found '{beamline.diffractometer}'"
        )
    circles = beamline.circles
    for name in beamline.motors:
        if circles is None or name not in circles.circles:
            known = "no diffractometer is described" if circles is None else f"known are {', '.join(circles.circles)}"
            raise DataError(f"{where}: motors.{name}: no circle of the diffractometer; {known}")
    for quantity in beamline.quantities():
        if bool(quantity.dataset) + (quantity.motor is not None) + (quantity.constant is not None) != 1:
            raise DataError(f"{where}: a quantity has exactly one of dataset, motor and constant; found {quantity}")
