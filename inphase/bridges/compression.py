"""LZ4 and bitshuffle with LZ4, framed as the filters of HDF5 do and bare, and Blosc.

The lengths inside are checked, because what comes over a network may be cut off.
"""

import struct
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from inphase.bridges.stream import StreamError
from inphase.formats.framing import BLOCK, HEAD, LENGTH, MULTIPLE

_BLOSC: Final = struct.Struct("<4xI")  # four bytes of kinds, bytes of all
_LARGEST: Final = 2**26


def told_size(data: bytes) -> int:
    """Bytes that framed data tell to hold. Raises StreamError where they are cut off."""
    if len(data) < HEAD.size:
        raise StreamError(f"{len(data)} bytes are cut off: compressed data begin with {HEAD.size} that tell their size")
    return int(HEAD.unpack_from(data)[0])


def decompressed(algorithm: str, data: bytes, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """An array of `count` numbers, one axis.

    algorithm: "bslz4", "lz4" (both framed), "bare bslz4" (in blocks of 8192 bytes), "bare lz4", "blosc" or "".

    Raises StreamError where the data do not hold so many.
    """
    size = count * dtype.itemsize
    try:
        if algorithm == "bslz4":
            found = _framed_bslz4(data, dtype.itemsize, size)
        elif algorithm == "bare bslz4":
            found = _bslz4(data, 0, BLOCK, dtype.itemsize, size)
        elif algorithm == "lz4":
            found = bytes(imagecodecs.lz4h5_decode(data))
        elif algorithm == "bare lz4":
            found = bytes(imagecodecs.lz4_decode(data, out=size))
        elif algorithm == "blosc":
            found = _blosc(data, size)
        elif algorithm == "":
            found = data
        else:
            raise StreamError(f"compression {algorithm!r} is not known: set the detector to bslz4, lz4 or none")
    except (RuntimeError, ValueError, struct.error) as error:
        raise StreamError(f"{len(data)} bytes of {algorithm} are damaged or cut off: {error}") from error
    if len(found) != size:
        raise StreamError(f"the data hold {len(found)} bytes, and {count} numbers of {dtype} take {size}")
    return np.frombuffer(found, dtype)


def _blosc(data: bytes, size: int) -> bytes:
    (told,) = _BLOSC.unpack_from(data)
    if told != size:  # before so much is allocated
        raise StreamError(f"the data tell of {told} bytes, and the image takes {size}")
    return bytes(imagecodecs.blosc_decode(data))


def _framed_bslz4(data: bytes, itemsize: int, size: int) -> bytes:
    told, block = HEAD.unpack_from(data)
    if told != size:
        raise StreamError(f"the data tell of {told} bytes, and the image takes {size}")
    block = block or BLOCK
    if block % (MULTIPLE * itemsize) or block > _LARGEST:
        raise StreamError(f"blocks of {block} bytes: they hold {MULTIPLE} elements of {itemsize} bytes or a multiple")
    return _bslz4(data, HEAD.size, block, itemsize, size)


def _bslz4(data: bytes, at: int, block: int, itemsize: int, size: int) -> bytes:
    """What stands from `at` on, in blocks of so many bytes."""
    shuffled = size - size % (MULTIPLE * itemsize)
    blocks = []
    for first in range(0, shuffled, block):
        (length,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
        whole = min(block, shuffled - first)
        blocks.append(bytes(imagecodecs.lz4_decode(data[at : at + length], out=whole)))
        if len(blocks[-1]) != whole:
            raise StreamError(f"block {len(blocks)} holds {len(blocks[-1])} bytes instead of {whole}")
        at += length
    numbers = imagecodecs.bitshuffle_decode(b"".join(blocks), itemsize=itemsize, blocksize=block // itemsize)
    return bytes(numbers) + data[at:]
