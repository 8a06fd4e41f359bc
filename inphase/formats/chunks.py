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
from struct import Struct
from typing import Any, Final

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.tree import name_of

_BITSHUFFLE: Final = 32008
_DECODERS: Final = {2: "bshuf_decompress_lz4", 3: "bshuf_decompress_zstd"}  # by the last number of the filter's options
_OPTIONS: Final = 5  # version, subversion, bytes of an element, of a block, compression
_HEAD: Final = Struct(">QI")  # bytes of all, bytes of a block
_LENGTH: Final = Struct(">I")  # bytes of a block as it is stored
_MULTIPLE: Final = 8  # elements: bits are shuffled in such groups, and what is left over is stored as it is
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

    def fill(self, frame: NDArray[np.generic], index: tuple[int, ...], first: int, end: int) -> bool:
        """Fills rows `first` to `end` of `frame` (rows, columns), C order and of the dataset's type, and may write
        beside them; False where this chunk was stored without the filter. Raises DataError, OSError.
        """
        skipped, stored = self.dataset.id.read_direct_chunk((*index, 0, 0))
        if skipped:
            return False
        try:
            self._decode(frame.reshape(-1), stored, first * frame.shape[1], end * frame.shape[1])
        except _BrokenError as error:
            where = f"{Path(self.dataset.file.filename).name}, dataset '{name_of(self.dataset)}'"
            raise DataError(f"{where}: truncated or damaged: the chunk of frame {index[-1]}: {error}") from None
        return True

    def _decode(self, numbers: NDArray[np.generic], stored: bytes, first: int, end: int) -> None:
        """The blocks that hold elements `first` to `end`, each into its place among all of the frame's."""
        if len(stored) < _HEAD.size:
            raise _BrokenError(f"it has {len(stored)} bytes")
        size, width = _HEAD.unpack_from(stored)
        step = numbers.itemsize
        if size != numbers.nbytes or not width or width % (_MULTIPLE * step):
            raise _BrokenError(f"it tells of {size} bytes in blocks of {width}, and the frame takes {numbers.nbytes}")
        per = width // step
        shuffled = numbers.size - numbers.size % _MULTIPLE
        low, high = first // per * per, min(-(-end // per) * per, shuffled)
        begin, at = 0, _HEAD.size
        for element in range(0, high if end <= shuffled else shuffled, per):
            if element == low:
                begin = at
            at += _LENGTH.size
            if at > len(stored):
                raise _BrokenError("it is cut off")
            at += _LENGTH.unpack_from(stored, at - _LENGTH.size)[0]
        if at + (end > shuffled) * (numbers.size - shuffled) * step > len(stored):
            raise _BrokenError("it is cut off")
        if high > low:
            source = np.frombuffer(stored, np.uint8).ctypes.data + begin
            used = self.decode(source, numbers.ctypes.data + low * step, high - low, step, per)
            if used < 0 or begin + used > len(stored):
                raise _BrokenError(f"its decoder says {used}")
        if end > shuffled:
            numbers[shuffled:] = np.frombuffer(stored, numbers.dtype, numbers.size - shuffled, at)


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
