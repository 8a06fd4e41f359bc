"""numpy's .npy: one array, header checked before a byte of it is allocated; pickles are never loaded."""

import io
import math
import os
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats.boundary import damaged
from inphase.formats.regular import open_regular
from inphase.formats.scan import FileReading, Limits, RawScan, admit, native
from inphase.sizes import in_words

MAX_HEADER = 65_536  # bytes: the length that the header declares for itself is not believed beyond
_HEADERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


def read(request: FileReading) -> RawScan:
    """Reads the array of a .npy file."""
    with open_regular(request.path) as stream:
        array = decode(stream, os.fstat(stream.fileno()).st_size, str(request.path), request.limits)
    return RawScan(array, None, str(request.path), f"array {array.shape} {array.dtype}")


def decode(stream: IO[bytes], size: int, where: str, limits: Limits) -> NDArray[np.generic]:
    """The numeric array of a rocking curve or a single frame in `size` bytes of .npy;
    further axes of length 1 are dropped.

    Raises DataError where the header is damaged, promises other than `size` bytes, or holds objects; TooLargeError.
    """
    shape, dtype, begin = header(stream, where)
    sides = admit(shape, dtype, where, limits)
    _check_size(shape, dtype, size - begin, where)
    stream.seek(0)
    return native(np.lib.format.read_array(stream, allow_pickle=False)).reshape(sides)


def decode_any(stream: IO[bytes], size: int, where: str, most: int) -> NDArray[Any]:
    """Any array but of objects, of at most `most` bytes. Raises DataError, TooLargeError as `decode`."""
    shape, dtype, begin = header(stream, where)
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects (pickled), which are never loaded")
    _check_size(shape, dtype, size - begin, where)
    if size - begin > most:
        raise TooLargeError(f"{where}: {in_words(size - begin)}, above the limit of {in_words(most)}")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], found: int, where: str) -> None:
    needed = math.prod(shape) * dtype.itemsize
    if found != needed:
        what = "truncated" if found < needed else "longer than its header says"
        raise DataError(
            f"{where}: {what}: shape {shape} of {dtype} needs {needed} bytes after the header, the file holds {found}"
        )


def header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type, and length in bytes of the header, of which no more than 64 KiB are read. Raises DataError."""
    # numpy has Python parse the header, and raises whatever that does
    with damaged(f"{where}: not a .npy array, or its header is damaged"):
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise DataError(f"{where}: .npy version {version[0]}.{version[1]} is not read; versions 1.0 and 2.0 are")
        digits, parsed = _HEADERS[version]
        length = stream.read(digits)
        declared = int.from_bytes(length, "little")
        if declared > MAX_HEADER:
            raise DataError(f"{where}: its header declares {declared} bytes for itself, more than {MAX_HEADER}")
        content = stream.read(declared)
        shape, _, dtype = parsed(io.BytesIO(length + content))
    if any(not isinstance(side, int) or side < 0 for side in shape):
        raise DataError(f"{where}: not a .npy array: its header declares the shape {shape}")
    return shape, dtype, len(np.lib.format.MAGIC_PREFIX) + 2 + digits + declared
