"""Measurements that lie in files: which may be named in a request, and how they are read."""

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from inphase.formats import READERS, Limits, RawScan, Reading, holds_frames
from inphase.formats import beamline as beamlines
from inphase.pattern import Domain
from inphase.ptycho.formats.contents import Given
from inphase.ptycho.measurement import Measurement
from service.door.budget import Share, carried_bytes, working_bytes
from service.errors import ApiError
from service.sandbox.order import FileOrder, PtychogramOrder
from service.sandbox.sandbox import Sandbox

_MOST_NAMES = 100_000  # that one pattern looks at
_MOST_LEVELS = 32
_MASTER, _PIECE = "_master.h5", re.compile(r"(.+)_data_\d{6}\.h5")


DataPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="The path lies below a data root; a relative one is that of the first root that has it.",
    ),
]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class CommonReading(Reading):
    """How files are read that are named by their path alone."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class FileSource(Reading):
    """A file or a folder of frames that the service itself can read."""

    kind: Literal["file"] = "file"
    path: DataPath

    @classmethod
    def of(cls, path: Path, reading: Reading) -> "FileSource":
        """A path, read like others."""
        return cls(path=str(path), **_parts(reading))


def _parts(reading: Reading) -> dict[str, Any]:
    return {part.name: getattr(reading, part.name) for part in fields(Reading)}


def load(source: FileSource, domain: Domain, limits: Limits, sandbox: Sandbox, share: Share) -> RawScan:
    """Read a measurement from below the data roots, which the limits name, and its detector maps too.

    The share holds what work on it takes, before it is read. Raises as `Share.grow_to`, too.
    """
    reading = found(Reading(**_parts(source)), limits.roots)
    order = FileOrder(resolve(source.path, limits.roots), reading, domain, limits)
    return sandbox.read(order, lambda voxels, nbytes: share.grow_to(working_bytes(voxels, nbytes)))


def load_ptychogram(path: str, given: Given, limits: Limits, sandbox: Sandbox, share: Share) -> Measurement:
    """The same of a ptychographic measurement. given: what its file lacks, or has wrong, and its detector maps."""
    order = PtychogramOrder(resolve(path, limits.roots), with_maps(given, limits.roots), limits)
    return sandbox.read_ptychogram(order, lambda elements, nbytes: share.grow_to(carried_bytes(elements, nbytes)))


def found(reading: Reading, roots: tuple[Path, ...]) -> Reading:
    """The reading with the real paths of the files that it names. Raises ApiError as `resolve`."""
    beamline = reading.beamline
    if beamline is not None and beamline.lower().endswith(beamlines.SUFFIXES):
        beamline = str(resolve(beamline, roots))
    dark, flat, mask, spec = (
        None if path is None else resolve(str(path), roots)
        for path in (reading.dark, reading.flat, reading.mask, reading.spec)
    )
    return replace(reading, beamline=beamline, dark=dark, flat=flat, mask=mask, spec=spec)


def with_maps(given: Given, roots: tuple[Path, ...]) -> Given:
    """The same of what is told of a ptychographic measurement."""
    dark, flat = (None if path is None else resolve(str(path), roots) for path in (given.dark, given.flat))
    return replace(given, dark=dark, flat=flat)


def resolve(name: str, roots: tuple[Path, ...]) -> Path:
    """The real path of a file or folder below a root.
    Links that lead out of the roots are refused, also those of frames.

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

    reading: of the scans that are named by their path alone; a folder of a beamline is one scan. Raises ApiError: 404
    where a path or pattern finds nothing, 403 as `resolve`, 422 for more than `most`.
    """
    found: list[FileSource] = []
    for scan in scans:
        if isinstance(scan, FileSource):
            found.append(replace(scan, path=str(resolve(scan.path, roots))))
            continue
        if "\0" in scan:
            raise ApiError(422, "a scan's path holds a null byte")
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


def files_of(scan: Path) -> list[Path]:
    """The files of which a scan consists: itself, those of a folder, and the pieces beside an Eiger's master."""
    if scan.is_dir():
        return [entry for entry in scan.iterdir() if entry.is_file()]
    stem = scan.name.removesuffix(_MASTER)
    if stem == scan.name:
        return [scan]
    pieces = scan.parent.glob(f"{glob.escape(stem)}_data_*.h5")
    return [scan, *(path for path in pieces if _PIECE.fullmatch(path.name))]


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted as people number: scan_9 before scan_10."""
    return sorted(
        paths, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]
    )


def _matching(pattern: str, roots: tuple[Path, ...], most: int) -> list[Path]:
    """What a pattern matches below the first root where it matches anything. Links that lead out are refused."""
    if not roots or ".." in Path(pattern).parts:
        resolve(pattern, ())  # refused with the reason
    absolute = Path(pattern).is_absolute()
    looked_at = count(1)
    for root in roots:
        if absolute and not Path(pattern).is_relative_to(root):
            continue
        parts = (Path(pattern).relative_to(root) if absolute else Path(pattern)).parts
        if len(parts) > _MOST_LEVELS:
            raise ApiError(422, f"{pattern[:80]!r} goes {len(parts)} folders down, more than {_MOST_LEVELS}")
        inside = list(islice(_named(root, parts, set(), looked_at), most + 1))
        if inside:
            return in_order(resolve(str(path), roots) for path in inside)
    return []


def _named(folder: Path, parts: Sequence[str], seen: set[tuple[Path, int]], looked_at: Iterator[int]) -> Iterator[Path]:
    """What lies where the parts of a pattern lead, each folder looked into once on each level,
    whatever links lead to it.

    Raises ApiError where too many names would have to be looked at.
    """
    part, rest = parts[0], parts[1:]
    real = _real(folder)
    if real is None or (real, len(rest)) in seen:
        return
    seen.add((real, len(rest)))
    found = [folder / part]
    if glob.has_magic(part):
        fits = re.compile(fnmatch.translate(part)).match
        found = []
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if next(looked_at) > _MOST_NAMES:
                    raise ApiError(422, f"a pattern may look at {_MOST_NAMES} names: name the folder more closely")
                if fits(entry.name) and (part.startswith(".") or not entry.name.startswith(".")):
                    found.append(folder / entry.name)
    for path in found:
        if rest and path.is_dir():
            yield from _named(path, rest, seen, looked_at)
        elif not rest and os.path.lexists(path):
            yield path


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
