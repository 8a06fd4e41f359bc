"""Frames straight from the chunks of an HDF5 dataset: decompressed outside of HDF5's lock, by several threads, and only
as far as the rows that are asked for.

It is for what detectors write: one frame a chunk, compressed with bitshuffle and LZ4 or Zstandard. The decoder is the
one that HDF5 itself would call, out of hdf5plugin's library. It believes the lengths that a chunk names, so they are
followed and checked here before it sees a byte. HDF5 reads everything else.
"""

import ctypes
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.framing import BLOCK, HEAD, LENGTH, MULTIPLE
from inphase.formats.tree import name_of

_BITSHUFFLE: Final = 32008
_DECODERS: Final = {2: "bshuf_decompress_lz4", 3: "bshuf_decompress_zstd"}  # by the last number of the filter's options
_OPTIONS: Final = 5  # version, subversion, bytes of an element, of a block, compression
_SUFFIX: Final = {"Darwin": "dylib", "Windows": "dll"}


@dataclass(frozen=True)
class Chunks:
    """The frames of a dataset, of which each is one chunk.

    decode: of bitshuffle's library.
    """

    dataset: h5py.Dataset
    decode: Any

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> "Chunks | None":
        """None where HDF5 has to read them: another layout, filter or byte order, or a library without that decoder."""
        frame = dataset.shape[-2:]
        if dataset.chunks != (1,) * (dataset.ndim - 2) + frame or not dataset.dtype.isnative:
            return None
        properties = dataset.id.get_create_plist()
        if properties.get_nfilters() != 1:
            return None
        code, _, options, _ = properties.get_filter(0)
        if code != _BITSHUFFLE or len(options) < _OPTIONS or options[2] != dataset.dtype.itemsize:
            return None
        decode = _function(_DECODERS.get(options[4], ""))
        return None if decode is None else cls(dataset, decode)

    def open(self, index: tuple[int, ...]) -> "Stored | None":
        """The chunk of a frame, by all but the last two of its indices; None where it was stored without the filter.
        Raises DataError, OSError.
        """
        skipped, stored = self.dataset.id.read_direct_chunk((*index, 0, 0))
        if skipped:
            return None
        where = f"{Path(self.dataset.file.filename).name}, dataset '{name_of(self.dataset)}'"
        frame = f"{where}: truncated or damaged: the chunk of {f'frame {index[-1]}' if index else 'its image'}"
        try:
            return Stored.of(stored, self.dataset.dtype, self.dataset.shape[-2:], self.decode, frame)
        except _BrokenError as error:
            raise DataError(f"{frame}: {error}") from None


@dataclass(frozen=True)
class Stored:
    """A frame as its chunk holds it. sides: rows, columns. blocks: where each begins, and where the last one ends.
    per: elements of a block. where: for messages.
    """

    stored: bytes
    dtype: np.dtype[Any]
    sides: tuple[int, int]
    decode: Any
    where: str
    blocks: list[int]
    per: int

    @classmethod
    def of(cls, stored: bytes, dtype: np.dtype[Any], sides: tuple[int, int], decode: Any, where: str) -> "Stored":
        """Follows the lengths from block to block. Raises _BrokenError where they lead out of the chunk."""
        if len(stored) < HEAD.size:
            raise _BrokenError(f"it has {len(stored)} bytes")
        size, width = HEAD.unpack_from(stored)
        width = width or BLOCK
        count = sides[0] * sides[1]
        if size != count * dtype.itemsize or not width or width % (MULTIPLE * dtype.itemsize):
            raise _BrokenError(f"it tells of {size} bytes in blocks of {width}, and takes {count * dtype.itemsize}")
        per = width // dtype.itemsize
        rest = count % MULTIPLE
        blocks, at, last = [HEAD.size], HEAD.size, len(stored) - LENGTH.size
        for _ in range(0, count - rest, per):
            if at > last:
                raise _BrokenError("it is cut off")
            at += LENGTH.size + LENGTH.unpack_from(stored, at)[0]
            blocks.append(at)
        if at + rest * dtype.itemsize > len(stored):
            raise _BrokenError("it is cut off")
        return cls(stored, dtype, sides, decode, where, blocks, per)

    def rows(self, first: int, end: int, scratch: NDArray[np.generic]) -> NDArray[np.generic]:
        """Some rows, in `scratch`, which has room for a frame. Raises DataError."""
        columns, count = self.sides[1], self.sides[0] * self.sides[1]
        shuffled = count - count % MULTIPLE
        low, high = first * columns // self.per, -(-min(end * columns, shuffled) // self.per)
        begin, got = low * self.per, max(0, min(high * self.per, shuffled) - low * self.per)
        if got:
            source = np.frombuffer(self.stored, np.uint8).ctypes.data + self.blocks[low]
            used = self.decode(source, scratch.ctypes.data, got, self.dtype.itemsize, self.per)
            if used != self.blocks[high] - self.blocks[low]:
                raise DataError(f"{self.where}: its decoder says {used}")
        if end * columns > shuffled:  # what is left over is stored as it is
            rest = np.frombuffer(self.stored, self.dtype, count - shuffled, self.blocks[-1])
            begin = min(begin, shuffled)
            scratch[got : got + rest.size] = rest
        return scratch[first * columns - begin : end * columns - begin].reshape(end - first, columns)


class _BrokenError(Exception):
    """What is stored is no frame."""


@cache
def _function(name: str) -> Any:
    """A function of bitshuffle's library: int64 (in, out, elements, bytes of one, elements of a block). None where it
    has none of that name.
    """
    path = Path(hdf5plugin.PLUGIN_PATH) / f"libh5bshuf.{_SUFFIX.get(platform.system(), 'so')}"
    if not name or not path.is_file():
        return None
    try:
        function = getattr(ctypes.CDLL(str(path)), name)
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int64
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_size_t]
    return function
