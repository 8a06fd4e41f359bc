"""/v1/scans: measurements that are imaged while they are still being taken."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from fastapi import Depends, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from inphase.formats import Limits, RawScan, Reading, npz
from inphase.formats.scan import Saturation, admit
from inphase.live.awaited import Awaited
from inphase.live.batch import decode, decode_positions, decode_probe
from inphase.live.ptychogram import Ptychogram
from inphase.pattern import Domain
from service import audit
from service.api.access import (
    IdempotencyKey,
    Staying,
    TheOrigin,
    TheServices,
    check_options,
    in_thread,
)
from service.api.bodies.arrays import known_dtype
from service.api.bodies.files import receive_file
from service.api.bodies.media import FILES, JSON, OCTETS, Uncoded, media_type
from service.api.bodies.stream import read_frames, read_json
from service.api.events import Seat, told
from service.api.routing import Router
from service.api.scan_calls import (
    OPTIONS,
    PtychoCall,
    RockingCall,
    ScanQuery,
    geometry_of,
    options_of,
    order_with,
    parsed,
)
from service.api.schema import described
from service.door.budget import Share
from service.errors import ApiError
from service.identity.keys import Caller, Submits, TheCaller
from service.intake.options import MapOptions, ReadingOptions
from service.intake.sources import found
from service.jobs.entry import Repeatable
from service.jobs.errors import QueueUnavailableError
from service.jobs.scans import ScanRecord, closed_scan, unknown_scan
from service.jobs.state import ScanState
from service.lifecycle import Services
from service.sandbox.order import BodyOrder
from service.scans.document import ScanDocument, ScanSummary
from service.scans.frames import Added
from service.scans.live import LiveScans
from service.scans.order import (
    PtychoScanOptions,
    RockingOptions,
    ScanOrder,
    order_of,
)
from service.scans.ptycho import PtychoDocument
from service.scans.rocking import RockingDocument

router = Router(prefix="/v1/scans", tags=["scans"])

ScanId = Annotated[str, InPath(pattern=r"^[0-9a-f]{32}$", description="The id of a scan has 32 hexadecimal digits.")]
Reason = Annotated[
    str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="Why: it becomes the scan's reason.")
]
FramesShape = Annotated[
    str | None,
    Query(pattern=r"^\d{1,6},\d{1,6}$", description="The frames have so many rows and columns, written as 256,256."),
]
FramesType = Annotated[str | None, Query(max_length=10, description="The frames are of this type, such as uint16.")]
T = TypeVar("T")

_COPIES: Final = 4  # of a batch: the body, its frames in this machine's order, stacked, and what a summary takes

AnyScan = RockingDocument | PtychoDocument


class OutsideFrame(BaseModel):
    """A frame whose place is none of the scan, and why."""

    place: int
    reason: str


class FramesAnswer(BaseModel):
    """What became of a batch: the places that are new, those that had come before, and those that are none of the scan.

    All of `received` and `duplicate` are on the disk of the service. total: frames, or positions, that have come.
    """

    received: list[int]
    duplicate: list[int]
    out_of_range: list[OutsideFrame]
    total: int


class ScanList(BaseModel):
    """Live scans, newest first; `cursor` asks for the next ones and is null on the last page."""

    scans: list[ScanSummary]
    cursor: str | None


def kept(services: Services) -> LiveScans:
    """The live scans. Raises QueueUnavailableError where the service runs without a queue."""
    if services.live is None:
        raise QueueUnavailableError("this service runs without a queue: it keeps no live scans")
    return services.live


async def _own(scan_id: ScanId, services: TheServices, caller: TheCaller) -> ScanRecord:
    """The record; a scan of others does not exist."""
    record = await in_thread(lambda: kept(services).records.get(scan_id))
    if not caller.sees(record.owner, record.origin.proposal):
        raise unknown_scan(scan_id)
    return record


_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"anyOf": [described(RockingCall), described(PtychoCall)]},
                "example": {"shape": [256, 256], "dtype": "uint16", "frames": 201, "name": "particle 3"},
            },
            **{media: {"schema": {"type": "string", "format": "binary"}} for media in FILES},
        },
    }
}
_FRAMES: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post(
    "",
    status_code=201,
    operation_id="open_scan",
    summary="Open a live scan",
    dependencies=[Submits, Staying, Uncoded],
    openapi_extra=_BODY,
    response_model=AnyScan,
)
async def create(
    request: Request,
    response: Response,
    services: TheServices,
    caller: TheCaller,
    origin: TheOrigin,
    call: Annotated[ScanQuery, Query()],
    idempotency_key: IdempotencyKey = None,
) -> ScanDocument:
    """A rocking curve or a ptychographic scan whose frames will follow. Send JSON with the shape and type of the
    frames; or one frame as a file (npz, HDF5, ...) that stands for all, with its geometry, mask and detector maps, and
    the options in the query.
    """
    bounds = services.settings.bounds
    roots = services.settings.data_roots if caller.roots is None else caller.roots
    live = kept(services)
    with services.budget.share(caller.owner) as share:
        kind = media_type(request)
        if kind == JSON:
            asked = parsed(await read_json(request, bounds, share), call)
            options = options_of(asked.kind, asked.model_dump(include=set(OPTIONS[asked.kind].model_fields)))
            await _checked(options, services)
            template = await services.compute(lambda: _declared(asked, roots, services, share))
        elif kind in FILES:
            reading = ReadingOptions(**{name: getattr(call, name) for name in ReadingOptions.model_fields}).told()
            given = call.model_dump(include=call.model_fields_set - set(ReadingOptions.model_fields))
            options = options_of(call.kind, given)
            await _checked(options, services)
            template = await receive_file(request, Reading(**reading), call.domain, roots, services, share, call.name)
        else:
            raise ApiError(
                415,
                f"a body of type {kind or 'none'!r} is not taken here: send {JSON}, or a frame as {', '.join(FILES)}",
            )
        order = order_with(options, template)
        awaited = live.kind(order).awaited(order, template)
        _bounded(awaited, services)
        repeatable = _repeatable(idempotency_key, order)
        record = await in_thread(lambda: live.open(awaited, order, origin, repeatable))
    audit.note("submit", scan=record.scan_id)
    response.headers["Location"] = f"/v1/scans/{record.scan_id}"
    return await in_thread(lambda: live.document(record))


@router.get("", operation_id="list_scans", summary="List live scans")
async def index(
    services: TheServices,
    caller: TheCaller,
    cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ScanList:
    """Live scans, newest first: those of the caller and of the key's proposal, with an admin's key everybody's."""
    listed, more = await in_thread(lambda: kept(services).records.page(caller.party, cursor, limit))
    return ScanList(scans=[ScanSummary.of(record) for record in listed], cursor=more)


@router.get("/{scan_id}", operation_id="get_scan", summary="One live scan", response_model=AnyScan)
async def one(scan_id: ScanId, services: TheServices, caller: TheCaller) -> ScanDocument:
    """What has come, what it says, and the looks at it, newest first."""
    record = await _own(scan_id, services, caller)
    return await in_thread(lambda: kept(services).document(record))


@router.post(
    "/{scan_id}/frames",
    operation_id="add_frames",
    summary="Add frames",
    dependencies=[Submits, Staying, Uncoded],
    openapi_extra=_FRAMES,
    responses={409: {"description": "A place came before with another content, or the scan takes no frames any more."}},
)
async def add(
    scan_id: ScanId,
    request: Request,
    services: TheServices,
    caller: TheCaller,
    shape: FramesShape = None,
    dtype: FramesType = None,
) -> FramesAnswer:
    """A batch of frames, in any order: each is its place (8 bytes, unsigned, little endian) and then its numbers.

    What is answered with 200 is on the disk: frames that came again with the same content are told as duplicates, and
    places that are none of the scan are counted and left out. With 4xx nothing of the batch was taken. Bytes do not
    tell what they are: who says `shape` and `dtype` in the query is refused where the scan's frames are others.
    """

    def take(live: LiveScans, record: ScanRecord, body: bytes) -> FramesAnswer:
        awaited = live.awaited(record)
        sides = awaited.shape if shape is None else tuple(map(int, shape.split(",")))
        awaited.check_kind("the batch is", sides, awaited.dtype if dtype is None else known_dtype(dtype))
        summary = live.kind(order_of(record.order)).summary(awaited)
        added = live.archive.add(record.scan_id, awaited, summary, decode(body, awaited))
        return _answer(added, live.records.get(record.scan_id).counted.received)

    what = "frames: the place of each, and its numbers"
    return await _taken(scan_id, request, services, caller, what, take)


@router.post(
    "/{scan_id}/positions",
    operation_id="add_positions",
    summary="Add positions",
    dependencies=[Submits, Staying, Uncoded],
    openapi_extra=_FRAMES,
    responses={409: {"description": "A place came before with another position, or the scan takes none any more."}},
)
async def place(scan_id: ScanId, request: Request, services: TheServices, caller: TheCaller) -> FramesAnswer:
    """A batch of positions of a ptychographic scan, in any order: each is the place of its frame (8 bytes, unsigned),
    and row and column (8 bytes each, floating point), all little endian.

    What is answered with 200 is kept, as frames are. A position that is not finite or beyond all bounds is counted and
    left out.
    """

    def take(live: LiveScans, record: ScanRecord, body: bytes) -> FramesAnswer:
        added = live.archive.place(record.scan_id, _ptychogram(live, record), decode_positions(body))
        return _answer(added, live.records.get(record.scan_id).counted.placed)

    return await _taken(scan_id, request, services, caller, "positions: place, row and column of each", take)


@router.put(
    "/{scan_id}/probe",
    operation_id="give_probe",
    summary="Give the guess of the probe",
    status_code=204,
    dependencies=[Submits, Staying, Uncoded],
    openapi_extra=_FRAMES,
    responses={409: {"description": "Frames have come: they are imaged with the probe as it was given before them."}},
)
async def probe(scan_id: ScanId, request: Request, services: TheServices, caller: TheCaller) -> None:
    """The wave of the beam as it is known before a ptychographic scan: modes x rows x columns numbers of complex64,
    little endian, centred at (rows // 2, columns // 2). Without it a probe is made from the patterns.
    """

    def keep(live: LiveScans, record: ScanRecord, body: bytes) -> None:
        live.give_probe(record, decode_probe(body, _ptychogram(live, record).shape))

    await _taken(scan_id, request, services, caller, "the modes of a probe, complex64", keep)


@router.post(
    "/{scan_id}/finish",
    operation_id="finish_scan",
    summary="Finish a live scan",
    dependencies=[Submits, Staying],
    response_model=AnyScan,
)
async def finish(scan_id: ScanId, services: TheServices, caller: TheCaller, reason: Reason = "") -> ScanDocument:
    """No frame follows: the image of the finished scan is made, as fine as was asked. May be repeated."""
    record = await _own(scan_id, services, caller)
    live = kept(services)
    now = await in_thread(lambda: live.finish(record.scan_id, reason.strip(), caller.owner))
    if services.reader is not None:
        services.reader.wake()
    return await in_thread(lambda: live.document(now))


@router.delete(
    "/{scan_id}",
    operation_id="abort_scan",
    summary="Abort a live scan",
    dependencies=[Submits],
    response_model=AnyScan,
)
async def abort(scan_id: ScanId, services: TheServices, caller: TheCaller, reason: Reason = "") -> ScanDocument:
    """No frame follows, and no image is made any more: 409 where the scan had ended. Looks that were made stay."""
    record = await _own(scan_id, services, caller)
    live = kept(services)
    now = await in_thread(lambda: live.abort(record.scan_id, reason.strip() or "on request", caller.owner))
    audit.note("cancel", scan=record.scan_id, of=record.owner, reason=now.reason)
    return await in_thread(lambda: live.document(now))


@router.get(
    "/{scan_id}/events",
    operation_id="watch_scan",
    summary="Watch a live scan",
    response_class=EventSourceResponse,
    dependencies=[Depends(_own)],
)
async def follow(
    scan_id: ScanId,
    services: TheServices,
    caller: TheCaller,
    held: Seat,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,20}(-\d{1,20})?$")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events `state`, `frames` (what has come, and advice) and `look` (one that has ended), from the first
    one or the one after Last-Event-ID, up to the scan's end.
    """
    events = kept(services).records.follow(scan_id, last_event_id or "0-0")
    async for sent in told(
        events,
        services,
        caller,
        held,
        lambda event: ServerSentEvent(event=event.kind, id=event.event_id, data=event.data),
    ):
        yield sent


async def _taken(
    scan_id: str,
    request: Request,
    services: Services,
    caller: Caller,
    what: str,
    take: Callable[[LiveScans, ScanRecord, bytes], T],
) -> T:
    """What `take` makes, in a thread, of the octets that are sent for a scan; their memory is held meanwhile.

    what: the octets are, for people. Raises ApiError 408, 413, 415, ScanClosedError, and as `take`.
    """
    record = await _own(scan_id, services, caller)
    if media_type(request) != OCTETS:
        raise ApiError(415, f"{OCTETS} is taken here, {what}")
    if record.state is not ScanState.OPEN:
        raise closed_scan(record.scan_id, record.state)
    with services.budget.share(caller.owner) as share:
        body = await read_frames(request, services.settings.bounds, _COPIES, share)
        taken = await in_thread(lambda: take(kept(services), record, body))
    services.news.set()
    return taken


def _answer(added: Added, total: int) -> FramesAnswer:
    return FramesAnswer(
        received=list(added.received),
        duplicate=list(added.duplicate),
        out_of_range=[OutsideFrame(place=frame.place, reason=frame.reason) for frame in added.outside],
        total=total,
    )


def _ptychogram(live: LiveScans, record: ScanRecord) -> Ptychogram:
    awaited = live.awaited(record)
    if not isinstance(awaited, Ptychogram):
        raise ApiError(422, f"scan {record.scan_id} is a rocking curve: it has neither positions nor a probe")
    return awaited


async def _checked(options: RockingOptions | PtychoScanOptions, services: Services) -> None:
    """Refuse what can be refused before anything is read. Raises as `check_options`."""
    if isinstance(options, RockingOptions):
        await check_options(options, services)
        return
    if options.webhook is not None:
        services.webhooks.check(options.webhook)


def _declared(asked: RockingCall | PtychoCall, roots: tuple[Path, ...], services: Services, share: Share) -> RawScan:
    """The template of frames that were declared, with maps from files. Read as a body that holds all of it would be.

    Raises DataError, and ApiError as `found`.
    """
    bounds = services.settings.bounds
    dtype = known_dtype(asked.dtype)
    limits = Limits(max_bytes=bounds.array_bytes, roots=roots)
    shape = admit((1, *asked.shape), dtype, "a frame", limits)
    geometry, saturation, domain = None, None, Domain.COUNTS
    if isinstance(asked, RockingCall):
        geometry, domain = geometry_of(asked), asked.domain
        saturation = None if asked.saturation is None else Saturation(asked.saturation, "as declared")
    frame = RawScan(np.zeros(shape, dtype.newbyteorder("=")), geometry, "frames", "", saturation=saturation)
    told = Reading(**{name: getattr(asked, name) for name in MapOptions.model_fields})
    reading = found(told, roots)
    with services.store.scratch() as folder:
        path = folder / "frame.npz"
        path.write_bytes(npz.encode(frame))
        order = BodyOrder(path, reading, domain, limits)
        return services.sandbox.read_body(order, lambda voxels, nbytes: share.grow_to(nbytes))


def _bounded(awaited: Awaited, services: Services) -> None:
    """Refuse a scan that could never be held. Raises TooLargeError, ApiError."""
    bounds = services.settings.bounds
    if awaited.frames is not None and awaited.frames > bounds.scan_frames:
        raise ApiError(
            422, f"a live scan has at most {bounds.scan_frames} frames, and this one declares {awaited.frames}"
        )
    limits = Limits(max_bytes=bounds.array_bytes)
    admit((awaited.frames or 1, *awaited.shape), awaited.dtype, f"the {awaited.what}", limits)


def _repeatable(key: str | None, order: ScanOrder) -> Repeatable | None:
    if key is None:
        return None
    return Repeatable(f"scan:{key}", hashlib.sha256(json.dumps(order.model_dump(mode="json")).encode()).hexdigest())
