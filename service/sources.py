"""Measurements that lie in files: which may be named in a request, and how they are read."""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from inphase.errors import DataError
from inphase.formats import READERS, Limits, Place, RawScan, holds_frames, read
from inphase.formats import beamline as beamlines
from inphase.formats.maps import corrections
from inphase.pattern import Domain
from inphase.preprocess.corrections import Corrections
from service.errors import ApiError

_MASTER, _PIECE = "_master.h5", re.compile(r"(.+)_data_\d{6}\.h5")


class Reading(BaseModel):
    """How a file or folder is read, beside its path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Annotated[
        str | None, Field(max_length=1024, description="array inside a container, or beginning of the frames' names")
    ] = None
    dark: Annotated[str | None, Field(max_length=4096, description="bad-pixel map (TIFF, npy), above 1 is bad")] = None
    flat: Annotated[str | None, Field(max_length=4096, description="flat field (TIFF, npy)")] = None
    roi: Annotated[
        str | None, Field(examples=["0:256,0:256"], description="rows and columns of the maps that the frames show")
    ] = None
    beamline: Annotated[
        str | None, Field(max_length=4096, description="a built-in beamline, or a YAML file that describes one")
    ] = None
    spec: Annotated[str | None, Field(max_length=4096, description="SPEC or FIO file with the motors")] = None
    scan: Annotated[int | None, Field(ge=0, description="number of the scan in a file of several")] = None
    sample: Annotated[str | None, Field(max_length=200, description="the name in the beamline's paths")] = None
    detector: Annotated[str | None, Field(max_length=200, description="the name in the beamline's paths")] = None
    given: Annotated[
        dict[str, float],
        Field(
            alias="set",
            max_length=50,
            examples=[{"distance": 1.83}],
            description="numbers that the file lacks: motors (deg), energy (keV), distance, pixel_row, pixel_column (m), "
            "direct_beam_row, direct_beam_column (pixels)",
        ),
    ] = {}


class FileSource(Reading):
    """A file or a folder of frames that the service itself can read."""

    kind: Literal["file"] = "file"
    path: Annotated[
        str,
        Field(min_length=1, max_length=4096, description="below a data root; relative to the first root that has it"),
    ]

    @classmethod
    def of(cls, path: Path, reading: Reading) -> "FileSource":
        """A path, read like others."""
        return cls.model_validate(reading.model_dump(by_alias=True) | {"path": str(path)})


@dataclass(frozen=True)
class LocalSource:
    """A file or a folder of frames that this process reads for its own user: any path, no roots."""

    path: Path
    dataset: str | None = None
    place: Place = field(default_factory=Place)
    dark: Path | None = None
    flat: Path | None = None
    roi: str | None = None

    def read(self, domain: Domain, limits: Limits) -> RawScan:
        """The measurement. Raises DataError."""
        return read(self.path, dataset=self.dataset, domain=domain, limits=limits, place=self.place)

    def corrections(self) -> Corrections | None:
        """Its detector maps. Raises DataError."""
        return corrections(self.dark, self.flat, self.roi)


def load(
    source: FileSource, domain: Domain, limits: Limits, roots: tuple[Path, ...]
) -> tuple[RawScan, Corrections | None]:
    """Read a measurement and its detector maps from below the data roots."""
    path = resolve(source.path, roots)
    maps = [resolve(name, roots) if name else None for name in (source.dark, source.flat)]
    raw = read(path, dataset=source.dataset, domain=domain, limits=limits, place=_place(source, roots))
    return raw, corrections(maps[0], maps[1], source.roi)


def _place(source: FileSource, roots: tuple[Path, ...]) -> Place:
    beamline: str | Path | None = source.beamline
    if beamline is not None and str(beamline).lower().endswith(beamlines.SUFFIXES):
        beamline = resolve(str(beamline), roots)
    return Place(
        beamline=beamline,
        spec=None if source.spec is None else resolve(source.spec, roots),
        scan=source.scan,
        sample=source.sample,
        detector=source.detector,
        given=source.given,
        roots=roots,
    )


def resolve(name: str, roots: tuple[Path, ...]) -> Path:
    """The real path of a file or folder below a root. Links that lead out of the roots are refused, also those of frames.

    Raises ApiError: 403 outside the roots, whether or not anything is there; 404 where nothing is.
    """
    if not roots:
        raise ApiError(
            403, "this service reads no files: start it with --data-root (INPHASE_DATA_ROOTS), or send the bytes"
        )
    if "\0" in name:
        raise ApiError(422, "the path holds a null byte")
    candidates = [Path(name)] if Path(name).is_absolute() else [root / name for root in roots]
    inside = [real for real in (_real(path) for path in candidates) if real is not None and _below(real, roots)]
    if not inside:
        raise ApiError(403, f"{name!r} lies outside the data roots of this service: name a file below one of them")
    for path in inside:
        if os.path.exists(path):  # False, not an error, for a name that no file can have
            _refuse_links_out(path, name, roots)
            return path
    raise ApiError(404, f"{name!r} does not exist below the data roots of this service")


def expand(scans: Sequence[str | FileSource], reading: Reading, roots: tuple[Path, ...], most: int) -> list[FileSource]:
    """The scans of a series, in the order of their numbers: a file, a folder of frames, a folder of scans, a pattern.

    reading: of the scans that are named by their path alone; a folder of a beamline is one scan. Raises ApiError: 404 where a path or pattern finds
    nothing, 403 as `resolve`, 422 for more than `most`.
    """
    found: list[FileSource] = []
    for scan in scans:
        if isinstance(scan, FileSource):
            found.append(scan.model_copy(update={"path": str(resolve(scan.path, roots))}))
            continue
        if glob.has_magic(scan):
            named = _matching(scan, roots, most)
        else:
            path = resolve(scan, roots)
            named = scans_in(path) if reading.beamline is None else [path]
        if not named:
            raise ApiError(404, f"{scan!r} finds no scan below the data roots of this service")
        found += [FileSource.of(path, reading) for path in named]
    if len(found) > most:
        raise ApiError(422, f"a series has at most {most} scans, these are {len(found)}: submit several")
    return found


def scans_in(path: Path) -> list[Path]:
    """The scans that a path means: itself, or what lies in it where it is a folder that holds no frames itself.

    The data files of an Eiger are pieces of the scan whose master lies beside them.
    """
    if not path.is_dir() or holds_frames(path):
        return [path]
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    masters = {entry.name.removesuffix(_MASTER) for entry in entries if entry.name.endswith(_MASTER)}
    return in_order(
        entry
        for entry in entries
        if (holds_frames(entry) if entry.is_dir() else entry.suffix.lower() in READERS)
        and not ((piece := _PIECE.fullmatch(entry.name)) is not None and piece[1] in masters)
    )


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted as people number: scan_9 before scan_10."""
    return sorted(
        paths, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]
    )


def _matching(pattern: str, roots: tuple[Path, ...], most: int) -> list[Path]:
    """What a pattern matches below the first root where it matches anything. Links that lead out are refused."""
    if not roots or ".." in Path(pattern).parts:
        resolve(pattern, ())  # refused with the reason
    for root in roots:
        absolute = Path(pattern).is_absolute()
        names = glob.iglob(pattern, root_dir=None if absolute else root)
        inside = [name for name in islice(names, most + 1) if not absolute or _below(Path(name), roots)]
        if inside:
            return in_order(resolve(name if absolute else str(root / name), roots) for name in inside)
    return []


def _real(path: Path) -> Path | None:
    """Without links and dots; None for a path that cannot be followed (too long, a loop)."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return None


def _below(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _refuse_links_out(path: Path, name: str, roots: tuple[Path, ...]) -> None:
    if path.is_dir():
        for entry in path.iterdir():
            if entry.is_symlink() and ((real := _real(entry)) is None or not _below(real, roots)):
                raise ApiError(
                    403, f"{name!r} holds the link {entry.name!r}, which leads outside the data roots of this service"
                )


def parse_given(pairs: Sequence[str]) -> dict[str, float]:
    """`distance=1.83` as {"distance": 1.83}. Raises DataError."""
    found = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise DataError(
                f"{pair!r} is not understood: write a name and a number, for example distance=1.83"
            ) from None
    return found
