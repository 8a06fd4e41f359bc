"""The body of a request under /v2: its JSON first, which is checked, and then each tensor straight into its memory."""

import zlib
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio.to_thread
import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from inphase.sizes import in_words
from service.api.bodies.stream import bounded, chunks_of, declared_length
from service.api.oip.contract import Contract
from service.api.oip.wire import HEADER_LENGTH, TYPES, Asked, parse
from service.door.budget import Share
from service.errors import ApiError
from service.settings import Bounds

_PIECE: Final = 2**20  # what is unpacked at a time
_LONG: Final = 8 * 2**20  # what takes longer to look at than a thread takes to be woken
_CODINGS: Final = ("gzip", "deflate")


class Octets:
    """A body as it comes."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    async def some(self, most: int) -> memoryview:
        """At most so many of the next bytes, none where it has ended."""
        if not self._rest:
            self._rest = memoryview(await anext(self._chunks, b""))
        found, self._rest = self._rest[:most], self._rest[most:]
        return found

    async def into(self, view: memoryview, share: Share) -> int:
        """Fill a view; how many bytes came. The share holds them twice, as far as they have come."""
        before, filled = share.held, 0
        while filled < len(view) and (piece := await self.some(len(view) - filled)):
            share.grow_to(before + 2 * (filled + len(piece)))
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled


async def receive(
    request: Request, contract: Contract, bounds: Bounds, share: Share
) -> tuple[Asked, dict[str, NDArray[Any]]]:
    """What is asked of a model, and its tensors as they were sent; what can be refused before they come is refused.

    The share holds them twice: the network's own are of their size. Raises ApiError 400, 408, 413, 415, and as
    `Share.grow_to`.
    """
    coding = _coding(request)
    length = declared_length(request)
    bounded(length or 0, bounds)
    chunks = chunks_of(request, bounds)
    body = Octets(chunks if coding is None else _unpacked(chunks, coding))
    head = _header_length(request, bounds)
    text = await (_whole(body, bounds, share) if head is None else _exactly(body, head, share))
    asked = parse(text)
    contract.check(asked)
    bounded(len(text) + asked.octets, bounds)
    if head is None and asked.octets:
        raise ApiError(400, f"there are tensors behind the JSON, and no header {HEADER_LENGTH} that says where")
    if coding is None and length is not None and length != len(text) + asked.octets:
        raise ApiError(
            400, f"the body has {length} bytes, its JSON {len(text)} and the tensors that it declares {asked.octets}"
        )
    share.check(share.held + 2 * asked.octets)
    tensors: dict[str, NDArray[Any]] = {}
    for found in asked.inputs:
        if found.nbytes is None:
            tensors[found.name] = found.array()
            continue
        array = np.empty(found.shape, TYPES[found.datatype])
        came = await body.into(array.reshape(-1).view(np.uint8).data, share)
        if came < found.nbytes:
            raise ApiError(400, f"the body ends {found.nbytes - came} bytes before the end of the input {found.name}")
        tensors[found.name] = array
    if await body.some(1):
        raise ApiError(400, "the body goes on behind the tensors that it declares")
    if asked.octets <= _LONG:
        contract.check_values(tensors)
    else:
        await anyio.to_thread.run_sync(contract.check_values, tensors)
    return asked, tensors


def _coding(request: Request) -> str | None:
    """How the body is packed: 415 for what is not unpacked."""
    coding = ",".join(request.headers.getlist("content-encoding")).strip().lower()
    if coding in ("", "identity"):
        return None
    if coding not in _CODINGS:
        raise ApiError(
            415,
            f"a body with Content-Encoding {coding[:80]} is not taken: send it as it is, or as one of "
            f"{', '.join(_CODINGS)}",
            headers={"Accept-Encoding": ", ".join(_CODINGS)},
        )
    return coding


def _header_length(request: Request, bounds: Bounds) -> int | None:
    """How many bytes of the body, once unpacked, are JSON; None where all of it is."""
    told = request.headers.get(HEADER_LENGTH)
    if told is None:
        return None
    if not (told.isascii() and told.isdecimal()) or len(told) > 12:
        raise ApiError(400, f"{HEADER_LENGTH} is a number of bytes, not {told[:40]!r}")
    length = int(told)
    if length == 0:
        raise ApiError(400, f"{HEADER_LENGTH} is 0: a body without JSON says nothing of the shapes of its tensors")
    if length > bounds.json_bytes:
        raise _too_much_json(bounds)
    return length


def _too_much_json(bounds: Bounds) -> ApiError:
    return ApiError(
        413,
        f"the JSON is longer than {in_words(bounds.json_bytes)}: send tensors as octets behind it "
        f"(parameter binary_data_size, header {HEADER_LENGTH})",
    )


async def _exactly(body: Octets, length: int, share: Share) -> bytes:
    text = bytearray(length)
    if (came := await body.into(memoryview(text), share)) < length:
        raise ApiError(400, f"the body has {came} bytes, and {HEADER_LENGTH} says that {length} of it are JSON")
    return bytes(text)


async def _whole(body: Octets, bounds: Bounds, share: Share) -> bytes:
    text = bytearray()
    while piece := await body.some(_PIECE):
        text += piece
        if len(text) > bounds.json_bytes:
            raise _too_much_json(bounds)
        share.grow_to(len(text))
    return bytes(text)


async def _unpacked(chunks: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """A packed body, unpacked piece by piece beside the event loop: who reads on decides how much comes out.
    Raises ApiError 400.
    """
    stream = zlib.decompressobj(wbits=31 if coding == "gzip" else 15)
    async for chunk in chunks:
        packed = chunk
        while packed or stream.unconsumed_tail:
            if stream.eof:
                raise ApiError(400, f"the body goes on behind the end of its {coding} stream")
            try:
                piece = await anyio.to_thread.run_sync(stream.decompress, packed, _PIECE)
            except zlib.error as error:
                raise ApiError(400, f"the body is no {coding} stream: {error}") from None
            packed = stream.unconsumed_tail or stream.unused_data
            if piece:
                yield piece
    if not stream.eof:
        raise ApiError(400, f"the body ends before its {coding} stream does: it was cut off")
