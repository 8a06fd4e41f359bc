"""TIFF: a stack in one file, or a folder with one frame per file as EPICS areaDetector writes it."""

import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.npy import first_line
from inphase.formats.scan import RawScan, Request, admit, native

SUFFIXES = (".tif", ".tiff")
_THREADS = 4  # reading overlaps with decoding; more buys nothing because tifffile holds the interpreter lock
_DAMAGED = (
    tifffile.TiffFileError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    ArithmeticError,
    RuntimeError,
    OSError,
    struct.error,
    zlib.error,
)


def read_stack(request: Request) -> RawScan:
    """Reads a multi-page TIFF; of several series the largest three-dimensional one."""
    where = str(request.path)
    with _open(request.path) as tif:
        _check_chain(tif, where)
        volumes = [series for series in tif.series if len(series.shape) == 3 and series.dtype is not None]
        series = max(volumes, key=lambda s: s.size) if volumes else tif.series[0]
        if series.dtype is None:
            raise DataError(f"{where}: its pages have no element type that can be read")
        shape = admit(series.shape, series.dtype, where, request.limits)
        _check_extent(list(series.pages), where, request.path.stat().st_size)
        array = native(series.asarray())
        software = str(tif.pages.first.software or "")
    if array.shape != shape:
        raise DataError(f"{where}: truncated: {shape} declared, {array.shape} readable")
    chosen = f"{shape[0]} pages {shape[1:]} {array.dtype}"
    if len(tif.series) > 1:
        chosen += f"; passed over {len(tif.series) - 1} other series"
    return RawScan(array, None, where, chosen, {"software": software} if software else {})


def read_folder(request: Request) -> RawScan:
    """Reads a folder of single frames, ordered by the number that ends each file's name.

    Where the folder holds several numbered sequences, `dataset` names the beginning of the wanted one.
    Raises DataError naming the first missing, repeated, damaged or differently shaped frame.
    """
    sequence, others = _choose(request)
    frames = sequence.frames
    with _open(frames[0]) as tif:
        page = tif.pages.first
        height, width = _frame_shape(tif, frames[0])
        dtype = np.dtype(page.dtype)
    shape = admit((len(frames), height, width), dtype, str(request.path), request.limits)
    array = np.empty(shape, dtype.newbyteorder("="))

    def load(index: int) -> None:
        array[index] = _frame(frames[index], (height, width), dtype, frames[0].name)

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(load, range(len(frames))):
            pass
    chosen = f"{len(frames)} frames {frames[0].name} to {frames[-1].name}"
    if others:
        chosen += f"; passed over {others} other file{'s' * (others > 1)}"
    return RawScan(array, None, str(request.path), chosen)


@dataclass(frozen=True)
class _Sequence:
    """Numbered frames whose names begin alike, in order and without gaps."""

    prefix: str
    frames: list[Path]


def _choose(request: Request) -> tuple[_Sequence, int]:
    """The longest numbered sequence of the folder, and how many of its files do not belong to it."""
    folder = request.path
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    groups: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path in files:
        number = re.search(r"(\d+)$", path.stem)
        if path.suffix.lower() in SUFFIXES and number and path.name.startswith(request.dataset or ""):
            groups[path.stem[: number.start()]].append((int(number[1]), path))
    if not groups:
        wanted = f" whose names begin with '{request.dataset}'" if request.dataset is not None else ""
        raise DataError(
            f"{folder}: holds no numbered TIFF frames{wanted} (such as scan_00001.tif); it holds {_listing(files)}"
        )
    ranked = sorted(groups, key=lambda prefix: len(groups[prefix]), reverse=True)
    if len(ranked) > 1 and 2 * len(groups[ranked[1]]) > len(groups[ranked[0]]):
        names = ", ".join(f"'{prefix}' ({len(groups[prefix])})" for prefix in ranked[:5])
        raise DataError(f"{folder}: holds several sequences of frames: {names}; name one with dataset=")
    members = sorted(groups[ranked[0]])
    for (current, path), (following, next_path) in pairwise(members):
        if following == current:
            raise DataError(f"{folder}: frame {current} is there twice: {path.name} and {next_path.name}")
        if following != current + 1:
            raise DataError(
                f"{folder}: frame {current + 1} is missing, between {path.name} and {next_path.name}; "
                "a rocking curve needs every step, so copy the missing file"
            )
    return _Sequence(ranked[0], [path for _, path in members]), len(files) - len(members)


def _listing(files: list[Path]) -> str:
    names = ", ".join(path.name for path in files[:5])
    return f"{names}{', ...' if len(files) > 5 else ''}" if names else "no files"


def _frame(path: Path, shape: tuple[int, int], dtype: np.dtype[np.generic], first: str) -> NDArray[np.generic]:
    with _open(path) as tif:
        found = _frame_shape(tif, path)
        page = tif.pages.first
        if found != shape or page.dtype != dtype:
            raise DataError(
                f"{path}: frame of {found} {page.dtype}, but {first} has {shape} {dtype}; all frames of a scan must be alike"
            )
        _check_extent([page], str(path), path.stat().st_size)
        return page.asarray()


def _frame_shape(tif: tifffile.TiffFile, path: Path) -> tuple[int, int]:
    _check_chain(tif, str(path))
    page = tif.pages.first
    if len(tif.pages) != 1 or len(page.shape) != 2:
        raise DataError(
            f"{path}: holds {len(tif.pages)} pages of {page.shape}; in a folder each file holds one grey-scale frame"
        )
    return page.shape[0], page.shape[1]


@contextmanager
def _open(path: Path) -> Iterator[tifffile.TiffFile]:
    """Opens a TIFF; whatever goes wrong inside the block is a DataError that names the file."""
    try:
        # a file that is one part of a multi-file series is read alone
        with tifffile.TiffFile(path, _multifile=False) as tif:
            yield tif
    except _DAMAGED as error:
        raise DataError(f"{path}: truncated, damaged, or not a TIFF that can be read: {first_line(error)}") from error


def _check_chain(tif: tifffile.TiffFile, where: str) -> None:
    """The chain of pages must end with the end mark: in a truncated file it points past the end, and pages are missing."""
    pages = len(tif.pages)
    end = tif.pages.next_page_offset
    if end is None:
        raise DataError(f"{where}: truncated: the list of its pages breaks off after page {pages}")
    tif.filehandle.seek(end)
    mark = tif.filehandle.read(tif.tiff.offsetsize)
    if len(mark) != tif.tiff.offsetsize or any(mark):
        raise DataError(f"{where}: truncated: the list of its pages breaks off after page {pages}")


def _check_extent(pages: list[tifffile.TiffPage | tifffile.TiffFrame | None], where: str, size: int) -> None:
    """Every strip of every page must lie inside the file."""
    for number, page in enumerate(pages):
        if page is None:  # a contiguous series keeps only its first page; tifffile then checks the length itself
            continue
        for begin, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            if begin + length > size:
                raise DataError(f"{where}: truncated: page {number} ends at byte {begin + length}, the file at {size}")
