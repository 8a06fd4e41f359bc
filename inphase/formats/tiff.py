"""TIFF: a stack in one file, or a folder with one frame per file as EPICS areaDetector writes it."""

import math
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import sequence, survey
from inphase.formats.boundary import damaged
from inphase.formats.frames import ArrayFrame, Frame
from inphase.formats.regular import open_regular
from inphase.formats.scan import FileReading, RawScan, Saturation, admit, native, three_axes, with_saturation

SUFFIXES = (".tif", ".tiff")
# the counts come back as they were; what loses some of them (JPEG and its kin) is no measurement any more
_LOSSLESS = tuple(
    tifffile.COMPRESSION[name]
    for name in ("NONE", "LZW", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS", "LZMA", "ZSTD", "ZSTD_DEPRECATED")
)
_CUTOFF = re.compile(r"Count_cutoff[\s:=]+(\d{1,12})")  # in the header that a Pilatus writes into its frames
_IMAGEJ = re.compile(r"ImageJ=[^\n]*\n(?:[^\n]*\n)*?images=(\d{1,9})")
_MOST_PAGES = 100_000
# by the signature: where the first page is named, how the entries of a page are counted, the bytes of one,
# the next page
_FORMS = {
    signature: (first, struct.Struct(order + count), entry, struct.Struct(order + link))
    for order, sign in (("<", b"II"), (">", b"MM"))
    for number, first, count, entry, link in ((42, 4, "H", 12, "I"), (43, 8, "Q", 20, "Q"))
    for signature in (sign + struct.pack(order + "H", number),)
}


def read_stack(request: FileReading) -> RawScan:
    """Reads a multi-page TIFF; of several series the largest three-dimensional one, or image where there is none."""
    where = str(request.path)
    with opened(request.path) as tif:
        _check_chain(tif, where)
        series = max(tif.series, key=lambda s: (s.dtype is not None, len(three_axes(s.shape)) == 3, s.size))
        _check_promise(tif, series.shape, where)
        if series.dtype is None:
            raise DataError(f"{where}: its pages have no element type that can be read")
        shape = admit(series.shape, series.dtype, where, request.limits)
        _check_compression(list(series.pages), where)
        _check_extent(list(series.pages), where, request.path.stat().st_size)
        array = native(series.asarray())
        software = str(tif.pages.first.software or "")
        levels = _saturation(tif.pages.first)
    if array.size != math.prod(shape):
        raise DataError(f"{where}: truncated: {shape} declared, {array.shape} readable")
    array = array.reshape(shape)
    chosen = f"{shape[0] if len(shape) == 3 else 1} page{'s' * (len(shape) == 3)} {shape[-2:]} {array.dtype}"
    if len(tif.series) > 1:
        chosen += f"; passed over {len(tif.series) - 1} other series"
    return with_saturation(RawScan(array, None, where, chosen, {"software": software} if software else {}), levels)


def read_folder(request: FileReading) -> RawScan:
    """Reads a folder of single frames, ordered by the number that ends each file's name.

    Where the folder holds several numbered sequences, `dataset` names the beginning of the wanted one.
    Raises DataError naming the first missing, repeated, damaged or differently shaped frame.
    """
    found = sequence.find(request.path, SUFFIXES, request.reading.dataset, "TIFF")
    frames = found.files
    with opened(frames[0]) as tif:
        page = tif.pages.first
        height, width = _frame_shape(tif, frames[0])
        dtype = np.dtype(page.dtype)
        levels = _saturation(page)
    taken = survey.read(_Frames(tuple(frames), (height, width), dtype), request)
    return with_saturation(RawScan(taken.array, None, str(request.path), found.chosen, region=taken.region), levels)


@dataclass(frozen=True)
class _Frames:
    """One in each file, of so many rows and columns and that type in its file."""

    files: tuple[Path, ...]
    sides: tuple[int, int]
    stored: np.dtype[np.generic]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.files), *self.sides)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.stored.newbyteorder("=")

    def open(self, number: int) -> Frame | None:
        return ArrayFrame(_frame(self.files[number], self.sides, self.stored, self.files[0].name))


def _frame(path: Path, shape: tuple[int, int], dtype: np.dtype[np.generic], first: str) -> NDArray[np.generic]:
    with opened(path) as tif:
        found = _frame_shape(tif, path)
        page = tif.pages.first
        if found != shape or page.dtype != dtype:
            raise DataError(
                f"{path}: frame of {found} {page.dtype}, but {first} has {shape} {dtype}; all frames of a scan must be "
                "alike"
            )
        _check_compression([page], str(path))
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
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """Opens a TIFF; whatever goes wrong inside the block is a DataError that names the file."""
    with damaged(f"{path}: truncated, damaged, or not a TIFF that can be read"), open_regular(path) as stream:
        _check_pages(stream, str(path))
        # a file that is one part of a multi-file series is read alone
        with tifffile.TiffFile(stream, name=path.name, _multifile=False) as tif:
            yield tif


def _check_pages(stream: BinaryIO, where: str) -> None:
    """The list of pages, of which each names the next, must come to an end. Raises DataError, TooLargeError.

    tifffile follows a list that leads back into itself for ever.
    """
    form = _FORMS.get(stream.read(4))
    if form is None:
        stream.seek(0)  # of no TIFF it says more
        return
    first, count, entry, link = form
    size, seen = os.fstat(stream.fileno()).st_size, set[int]()
    stream.seek(first)
    at = _number(stream, link)
    while at is not None and 0 < at < size:
        if at in seen:
            raise DataError(f"{where}: damaged: the list of its pages leads back to one of them after page {len(seen)}")
        if len(seen) == _MOST_PAGES:
            raise TooLargeError(f"{where}: holds more than {_MOST_PAGES} pages")
        seen.add(at)
        stream.seek(at)
        entries = _number(stream, count)
        stream.seek(entry * (entries or 0), os.SEEK_CUR)
        at = _number(stream, link)
    stream.seek(0)


def _number(stream: BinaryIO, form: struct.Struct) -> int | None:
    content = stream.read(form.size)
    return int(form.unpack(content)[0]) if len(content) == form.size else None


def _check_chain(tif: tifffile.TiffFile, where: str) -> None:
    """The chain of pages must end with the end mark:
    in a truncated file it points past the end, and pages are missing.
    """
    pages = len(tif.pages)
    end = tif.pages.next_page_offset
    if end is None:
        raise DataError(f"{where}: truncated: the list of its pages breaks off after page {pages}")
    tif.filehandle.seek(end)
    mark = tif.filehandle.read(tif.tiff.offsetsize)
    if len(mark) != tif.tiff.offsetsize or any(mark):
        raise DataError(f"{where}: truncated: the list of its pages breaks off after page {pages}")


def _saturation(page: tifffile.TiffPage) -> list[Saturation]:
    """Where the detector stops counting: a Pilatus says it in its header; a counter has fewer bits than the type."""
    found = []
    if (match := _CUTOFF.search(page.description or "")) is not None and int(match[1]) > 1:
        found.append(Saturation(float(match[1]), "Count_cutoff of the TIFF's description"))
    bits, dtype = page.bitspersample, page.dtype
    if dtype is not None and dtype.kind == "u" and 8 < bits < 8 * dtype.itemsize:
        found.append(Saturation(2.0**bits - 1, f"{bits} bits per sample"))
    return found


def _check_compression(pages: list[tifffile.TiffPage | tifffile.TiffFrame | None], where: str) -> None:
    for page in pages:
        if page is not None and page.compression not in _LOSSLESS:
            name = getattr(page.compression, "name", "not known")
            raise DataError(
                f"{where}: is compressed with {name} (TIFF compression {int(page.compression)}), which is not read: "
                "save it without compression, or with LZW, deflate or zstd"
            )


def _check_promise(tif: tifffile.TiffFile, shape: tuple[int, ...], where: str) -> None:
    """ImageJ writes above 4 GB one page and `images=N`, the others behind it;
    of a truncated file only that page is left.
    """
    match = _IMAGEJ.match(tif.pages.first.description or "")
    if match is not None and len(tif.pages) == 1 and math.prod(shape[:-2]) < int(match[1]):
        raise DataError(
            f"{where}: truncated: its description promises {match[1]} images, and the file does not hold them"
        )


def _check_extent(pages: list[tifffile.TiffPage | tifffile.TiffFrame | None], where: str, size: int) -> None:
    """Every strip of every page must lie inside the file."""
    for number, page in enumerate(pages):
        if page is None:  # a contiguous series keeps only its first page; tifffile then checks the length itself
            continue
        for begin, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            if begin + length > size:
                raise DataError(f"{where}: truncated: page {number} ends at byte {begin + length}, the file at {size}")
