"""Bodies that are one array: checked against what they declare first, then read straight into its memory."""

import io
import math
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import anyio.to_thread
import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from inphase.formats import Limits, RawScan
from inphase.formats.boundary import first_line
from inphase.formats.scan import admit
from inphase.sizes import in_words
from service.api.bodies.media import NPY, OCTETS
from service.api.bodies.stream import HINT, bounded, chunks_of, declared_length
from service.door.budget import Share, working_bytes
from service.errors import ApiError
from service.settings import Bounds

_NPY_HEADER_MAX: Final = 65_536
_BLOCK: Final = 2**20  # is copied at once
_DTYPE: Final = re.compile(r"[<|]?(u?int(8|16|32|64)|float(32|64)|[ui][1248]|f[48])")


@dataclass(frozen=True)
class Layout:
    """How bytes are an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def working_bytes(self) -> int:
        """Memory that work on the array takes."""
        return working_bytes(math.prod(self.shape), self.nbytes)


async def receive_array(request: Request, layout: Layout | None, bounds: Bounds, share: Share) -> RawScan:
    """The array of an npy body (layout None) or of plain octets; the share holds what work on it takes.

    What it declares is refused where it could never fit, and held as far as it has come. Raises ApiError 400 where the
    body does not have the declared length, 408, 413; DataError for what is no measurement; as `Share.grow_to`.
    """
    length = declared_length(request)
    bounded(length or 0, bounds)
    chunks = chunks_of(request, bounds)
    kind = NPY if layout is None else OCTETS
    rest = b""
    header = 0
    if layout is None:
        layout, header, rest = await _npy_header(chunks, bounds)
    if length is not None and length != header + layout.nbytes:
        raise ApiError(400, _mismatch(layout, length - header))
    share.check(layout.working_bytes)
    array = await _fill(chunks, rest, layout, share)
    return RawScan(array, None, f"body of {kind}", f"{layout.shape} {layout.dtype}")


def octet_layout(dtype: str | None, shape: str | None, bounds: Bounds) -> Layout:
    """The layout that the query declares: little endian, C order.
    Raises ApiError 422, and DataError for what is no measurement.
    """
    if dtype is None or shape is None:
        raise ApiError(
            422, f"a body of {OCTETS} needs its type and shape in the query: ?dtype=uint16&shape=201,256,256"
        )
    kind = known_dtype(dtype)
    if not re.fullmatch(r"\d{1,12}(,\d{1,12}){0,15}", shape):
        raise ApiError(422, f"shape {shape[:40]!r} is not understood: write it as 201,256,256")
    sides = tuple(int(side) for side in shape.split(","))
    return Layout(admit(sides, kind, "the body", array_limits(bounds)), kind)


def known_dtype(name: str) -> np.dtype[Any]:
    """The little-endian type of this name. Raises ApiError 422."""
    if not _DTYPE.fullmatch(name):
        raise ApiError(
            422, f"dtype {name[:40]!r} is not known: uint8 to uint64, int8 to int64, float32, float64 (little endian)"
        )
    return np.dtype(name).newbyteorder("<")


def array_limits(bounds: Bounds) -> Limits:
    """Of the array of one body."""
    return Limits(max_bytes=min(bounds.array_bytes, bounds.body_bytes))


async def _npy_header(chunks: AsyncIterator[bytes], bounds: Bounds) -> tuple[Layout, int, bytes]:
    """Layout, length of the header, and the bytes that came after it so far."""
    start = bytearray()
    needed = 12
    known = False
    async for chunk in chunks:
        start += chunk
        if not known and len(start) >= needed:
            needed, known = _npy_header_length(start), True
        if known and len(start) >= needed:
            break
    else:
        raise ApiError(400, "the body ends inside the npy header: it was cut off, or is no npy file")
    stream = io.BytesIO(bytes(start[:needed]))
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        sides, fortran, dtype = reader(stream)
    except Exception as error:  # numpy has Python parse the header, and raises whatever that does
        raise ApiError(400, f"the npy header of the body is damaged: {first_line(error)}") from error
    if any(not isinstance(side, int) or side < 0 for side in sides):
        raise ApiError(400, f"the npy header of the body declares the shape {sides}")
    return Layout(admit(sides, dtype, "the body", array_limits(bounds)), dtype, fortran), needed, bytes(start[needed:])


def _npy_header_length(start: bytearray) -> int:
    if start[:6] != b"\x93NUMPY":
        raise ApiError(400, f"the body is no npy file: it begins with {bytes(start[:6])!r}, not with the npy signature")
    major = start[6]
    if major not in (1, 2):
        raise ApiError(400, f"npy version {major}.{start[7]} is not read; versions 1.0 and 2.0 are")
    length = 10 + int.from_bytes(start[8:10], "little") if major == 1 else 12 + int.from_bytes(start[8:12], "little")
    if length > _NPY_HEADER_MAX:
        raise ApiError(400, f"the npy header declares {length} bytes for itself, more than {_NPY_HEADER_MAX}")
    return length


async def _fill(chunks: AsyncIterator[bytes], rest: bytes, layout: Layout, share: Share) -> NDArray[np.generic]:
    """Read the array's bytes into its own memory, of which the system hands out what has been written.

    That is done in threads: for fresh memory the system takes up to tens of milliseconds a megabyte.
    """
    try:
        buffer = np.empty(layout.nbytes, np.uint8)
    except MemoryError:
        raise ApiError(503, f"this machine has no memory left for {in_words(layout.nbytes)}; {HINT}") from None
    filled = come = 0
    pieces: list[bytes] = []
    async for chunk in _after(rest, chunks):
        come += len(chunk)
        if come > layout.nbytes:
            raise ApiError(400, _mismatch(layout, None))
        share.grow_to(layout.working_bytes * come // layout.nbytes)
        pieces.append(chunk)
        if come - filled >= _BLOCK:
            await _copied(pieces, buffer[filled:come])
            filled, pieces = come, []
    if come < layout.nbytes:
        raise ApiError(400, _mismatch(layout, come))
    await _copied(pieces, buffer[filled:])
    return buffer.view(layout.dtype).reshape(layout.shape, order="F" if layout.fortran else "C")


async def _after(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


async def _copied(pieces: list[bytes], target: NDArray[np.uint8]) -> None:
    """Also for a sender who has left: what has come whole becomes a job."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(_copy, pieces, target)


def _copy(pieces: list[bytes], target: NDArray[np.uint8]) -> None:
    """numpy lets other threads go on meanwhile."""
    begin = 0
    for piece in pieces:
        np.copyto(target[begin : begin + len(piece)], np.frombuffer(piece, np.uint8))
        begin += len(piece)


def _mismatch(layout: Layout, found: int | None) -> str:
    what = "it holds more" if found is None else f"{found} bytes came"
    return (
        f"the body does not hold what it declares: shape {layout.shape} of {layout.dtype} needs {layout.nbytes} bytes, "
        f"{what}; it was cut off, or shape or dtype are wrong"
    )
