"""Request bodies that are measurements. Arrays are checked against the declared size first, then read straight into
their memory; files are kept in the store's scratch room while a process of their own reads them.
"""

import asyncio
import io
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import anyio.to_thread
import numpy as np
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from inphase.errors import DataError
from inphase.formats import Limits, RawScan, Reading
from inphase.formats.boundary import first_line
from inphase.formats.scan import admit
from inphase.pattern import Domain
from inphase.ptycho.formats.contents import Given
from inphase.ptycho.measurement import Measurement
from inphase.sizes import in_words
from service.door.budget import Share, carried_bytes, working_bytes
from service.errors import ApiError
from service.intake.sources import found, with_maps
from service.jobs.store import Store
from service.lifecycle import Services
from service.sandbox.order import BodyOrder, PtychogramOrder
from service.settings import Bounds

Body = TypeVar("Body", bound=BaseModel)
Data = TypeVar("Data", RawScan, Measurement)
T = TypeVar("T")
NPY: Final = "application/x-npy"
NPZ: Final = "application/x-npz"
HDF5: Final = "application/x-hdf5"
NEXUS: Final = "application/x-nexus"
CXI: Final = "application/x-cxi"
MATLAB: Final = "application/x-matlab-data"
# files: as what each is read
FILES: Final = {
    NPZ: ".npz", HDF5: ".h5", NEXUS: ".nxs", CXI: ".cxi", MATLAB: ".mat", "image/tiff": ".tif",
}  # fmt: skip
OCTETS: Final = "application/octet-stream"
JSON: Final = "application/json"
_NPY_HEADER_MAX: Final = 65_536
_BLOCK: Final = 2**20
_SILENCE_S: Final = 30.0  # a client that sends nothing for so long has gone
_GRACE_S: Final = 20.0  # in which a body may come as slowly as it likes
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


def media_type(request: Request) -> str:
    """The content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def uncoded(request: Request) -> None:
    """Refuse a compressed body: 415 with Accept-Encoding (RFC 9110, 12.5.3), before any of it is read.

    The bound on a body would bound nothing if it could be unpacked; counts are smaller as integers, or packed in HDF5.
    """
    codings = [part.strip().lower() for part in ",".join(request.headers.getlist("content-encoding")).split(",")]
    found = [coding for coding in codings if coding not in ("", "identity")]
    if found:
        raise ApiError(
            415,
            f"a body with Content-Encoding {', '.join(found)[:80]} is not taken: send it as it is, without "
            "compression, or name a file that the service can read",
            headers={"Accept-Encoding": "identity"},
        )


Uncoded = Depends(uncoded)


async def read_json(request: Request, bounds: Bounds, share: Share) -> bytes:
    """A small body as it is. Raises ApiError 408 and 413, and as `Share.grow_to`."""
    too_long = f"the JSON body is longer than {in_words(bounds.json_bytes)}: arrays are sent as npy or octets"
    return await _whole(request, bounds, bounds.json_bytes, too_long, share)


async def read_frames(request: Request, bounds: Bounds, copies: int, share: Share) -> bytes:
    """A batch of frames as it is. copies: of it that work on it takes. Raises as `read_json`."""
    most = min(bounds.body_bytes, bounds.array_bytes)
    too_long = f"the batch is longer than {in_words(most)}: send fewer frames at a time"
    share.check(copies * (declared_length(request) or 0))
    return await _whole(request, bounds, most, too_long, share, copies)


async def _whole(request: Request, bounds: Bounds, most: int, too_long: str, share: Share, copies: int = 1) -> bytes:
    body = bytearray()
    async for chunk in chunks_of(request, bounds):
        body += chunk
        if len(body) > most:
            raise ApiError(413, too_long)
        share.grow_to(copies * len(body))
    return bytes(body)


def parse_body(model: type[Body], body: bytes) -> Body:
    """A JSON body. Raises RequestValidationError."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{"type": e["type"], "loc": ("body", *e["loc"]), "msg": e["msg"]} for e in error.errors()]
        ) from None


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


async def receive_file(
    request: Request,
    reading: Reading,
    domain: Domain,
    roots: tuple[Path, ...],
    services: Services,
    share: Share,
    name: str = "",
) -> RawScan:
    """The measurement of a body that is a file, with all that it brings, read as the same file would be by its path.

    roots: of the files that the reading names. name: what its sender calls it, for its source and for errors. The
    share holds what has come and, before it is unpacked, what work on its arrays takes. Raises ApiError 400, 408, 413;
    DataError for what is no measurement; as `sources.found`, `Share.grow_to` and `Store.scratch`.
    """
    named = await services.compute(lambda: found(reading, roots))
    limits = replace(array_limits(services.settings.bounds), roots=roots)

    def read(path: Path, received: int) -> RawScan:
        order = BodyOrder(path, named, domain, limits)
        return services.sandbox.read_body(
            order, lambda voxels, nbytes: share.grow_to(received + working_bytes(voxels, nbytes))
        )

    return await _read_file(request, read, services, share, name)


async def receive_ptychogram(
    request: Request,
    given: Given,
    roots: tuple[Path, ...],
    services: Services,
    share: Share,
    name: str = "",
) -> Measurement:
    """The same of a ptychographic measurement. given: what the file lacks, or has wrong, and its detector maps, which
    lie below the roots. Raises as `receive_file`.
    """
    named = await services.compute(lambda: with_maps(given, roots))
    limits = replace(array_limits(services.settings.bounds), roots=roots)

    def read(path: Path, received: int) -> Measurement:
        order = PtychogramOrder(path, named, limits, sent=True)
        return services.sandbox.read_ptychogram(
            order, lambda elements, nbytes: share.grow_to(received + carried_bytes(elements, nbytes))
        )

    return await _read_file(request, read, services, share, name)


async def _read_file(
    request: Request, read: Callable[[Path, int], Data], services: Services, share: Share, name: str
) -> Data:
    """What `read`, which is told the length of a body, makes of it. The share holds what has come. The file is called
    by its name, or body.h5 and so on where it has none.
    """
    bounds = services.settings.bounds
    length = declared_length(request)
    bounded(length or 0, bounds)
    share.check(length or 0)
    received = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal received
        async for chunk in chunks_of(request, bounds):
            received += len(chunk)
            bounded(received, bounds)
            share.grow_to(received)
            yield chunk
        if length is not None and received != length:
            raise ApiError(400, f"the body holds {received} bytes of the {length} that it declares: it was cut off")

    stored = f"body{FILES[media_type(request)]}"
    async with _kept(counted(), stored, services.store) as path:
        try:
            held = await services.compute(lambda: read(path, received))
        except DataError as error:
            raise type(error)(str(error).replace(stored, name or stored)) from error
    return replace(held, source=held.source.replace(stored, name or stored))


@asynccontextmanager
async def _kept(chunks: AsyncIterator[bytes], name: str, store: Store) -> AsyncIterator[Path]:
    """A file that holds what comes, in a folder of its own, gone after the block. The disk is waited for in threads."""
    async with _entered(store.scratch()) as folder:
        with (folder / name).open("xb", buffering=0) as file:
            block = bytearray()
            async for chunk in chunks:
                block += chunk
                if len(block) >= _BLOCK:
                    await anyio.to_thread.run_sync(_write, file, bytes(block))
                    block.clear()
            await anyio.to_thread.run_sync(_write, file, bytes(block))
        yield folder / name


@asynccontextmanager
async def _entered(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A context whose two ends touch the disk, entered and left in threads, also by a request that is cancelled."""
    entered = await anyio.to_thread.run_sync(context.__enter__)
    try:
        yield entered
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(context.__exit__, type(error), error, error.__traceback__)
        raise
    await anyio.to_thread.run_sync(context.__exit__, None, None, None)


def _write(file: IO[bytes], content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


_HINT: Final = "crop the detector to the region around the peak"


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


def bounded(length: int, bounds: Bounds) -> None:
    """Refuse a body that is too long: 413."""
    if length > bounds.body_bytes:
        raise ApiError(
            413, f"the body has {in_words(length)}, more than the limit of {in_words(bounds.body_bytes)}; {_HINT}"
        )


def declared_length(request: Request) -> int | None:
    """What its Content-Length says."""
    text = request.headers.get("content-length")
    return int(text) if text is not None and text.isdecimal() else None


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
        raise ApiError(503, f"this machine has no memory left for {in_words(layout.nbytes)}; {_HINT}") from None
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


async def chunks_of(request: Request, bounds: Bounds) -> AsyncIterator[bytes]:
    """A body as it comes, which has to come at a certain rate and to its end. Raises ApiError 408."""
    stream = request.stream()
    begun = time.monotonic()
    received = 0
    while True:
        left = begun + min(_GRACE_S + received / bounds.body_rate, bounds.body_s) - time.monotonic()
        try:
            async with asyncio.timeout(min(_SILENCE_S, left)):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise ApiError(408, _too_slow(received, time.monotonic() - begun, bounds)) from None
        if chunk is None:
            return
        if chunk:
            received += len(chunk)
            yield chunk


def _too_slow(received: int, seconds: float, bounds: Bounds) -> str:
    return (
        f"the body came too slowly: {in_words(received)} in {seconds:.0f} s. None of it for {_SILENCE_S:g} s, less "
        f"than {in_words(bounds.body_rate)} per second after the first {_GRACE_S:g} s, and more than {bounds.body_s:g} "
        "s in all are not waited for"
    )
