"""Bodies as they come: at a certain rate, to their end, within their bounds, and counted in their sender's share."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from inphase.sizes import in_words
from service.door.budget import Share
from service.errors import ApiError
from service.settings import Bounds

Body = TypeVar("Body", bound=BaseModel)
HINT: Final = "crop the detector to the region around the peak"
_SILENCE_S: Final = 30.0  # a client that sends nothing for so long has gone
_GRACE_S: Final = 20.0  # in which a body may come as slowly as it likes


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


def bounded(length: int, bounds: Bounds) -> None:
    """Refuse a body that is too long: 413."""
    if length > bounds.body_bytes:
        raise ApiError(
            413, f"the body has {in_words(length)}, more than the limit of {in_words(bounds.body_bytes)}; {HINT}"
        )


def declared_length(request: Request) -> int | None:
    """What its Content-Length says."""
    text = request.headers.get("content-length")
    return int(text) if text is not None and text.isdecimal() else None


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
