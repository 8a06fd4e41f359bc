"""numpy's .npy: one array, header checked before a byte of it is allocated; pickles are never loaded."""

import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.scan import Limits, RawScan, Request, admit, native

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(request: Request) -> RawScan:
    """Reads the array of a .npy file."""
    size = request.path.stat().st_size
    with request.path.open("rb") as stream:
        array = decode(stream, size, str(request.path), request.limits)
    return RawScan(array, None, str(request.path), f"array {array.shape} {array.dtype}")


def decode(stream: IO[bytes], size: int, where: str, limits: Limits) -> NDArray[np.generic]:
    """The numeric array of a rocking curve or a single frame in `size` bytes of .npy; further axes of length 1 are dropped.

    Raises DataError where the header is damaged, promises other than `size` bytes, or holds objects; TooLargeError.
    """
    shape, dtype, begin = header(stream, where)
    sides = admit(shape, dtype, where, limits)
    count = math.prod(shape)
    if size - begin != count * dtype.itemsize:
        what = "truncated" if size - begin < count * dtype.itemsize else "longer than its header says"
        raise DataError(
            f"{where}: {what}: shape {shape} of {dtype} needs {count * dtype.itemsize} bytes after the header, the file holds {size - begin}"
        )
    stream.seek(0)
    return native(np.lib.format.read_array(stream, allow_pickle=False)).reshape(sides)


def header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type, and length in bytes of the header; allocates nothing."""
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise DataError(f"{where}: .npy version {version[0]}.{version[1]} is not read; versions 1.0 and 2.0 are")
        shape, _, dtype = _HEADERS[version](stream)
    except (ValueError, EOFError) as error:
        raise DataError(f"{where}: not a .npy array, or its header is damaged: {first_line(error)}") from error
    if any(not isinstance(side, int) or side < 0 for side in shape):
        raise DataError(f"{where}: not a .npy array: its header declares the shape {shape}")
    return shape, dtype, stream.tell()


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for quoting inside one of ours."""
    return str(error).split("\n", 1)[0][:200]
