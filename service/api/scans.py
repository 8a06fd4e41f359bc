"""/v1/scans: measurements that are imaged while they are still being taken."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from fastapi import Depends, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from inphase.formats import Limits, RawScan, Reading, npz
from inphase.formats.scan import Saturation, admit
from inphase.geometry import Geometry
from inphase.live.batch import decode
from inphase.live.curve import Curve
from service import audit
from service.api.access import (
    IdempotencyKey,
    Staying,
    TheOrigin,
    TheServices,
    check_options,
    in_thread,
    records,
)
from service.api.bodies import (
    FILES,
    JSON,
    OCTETS,
    Uncoded,
    known_dtype,
    media_type,
    parse_body,
    read_frames,
    read_json,
    receive_file,
)
from service.api.events import Seat, told
from service.api.routing import Router
from service.door.budget import Share
from service.errors import ApiError
from service.identity.keys import Submits, TheCaller
from service.intake.options import MapOptions, ReadingOptions
from service.intake.sources import found
from service.jobs.errors import QueueUnavailableError
from service.jobs.record import Repeatable
from service.jobs.scans import ScanRecord, closed_scan, unknown_scan
from service.jobs.state import ScanState
from service.lifecycle import Services
from service.sandbox.order import BodyOrder
from service.scans.document import ScanDocument, ScanOptions, ScanOrder, ScanSummary
from service.scans.live import LiveScans

router = Router(prefix="/v1/scans", tags=["scans"])

ScanId = Annotated[str, InPath(pattern=r"^[0-9a-f]{32}$", description="The id of a scan has 32 hexadecimal digits.")]
Reason = Annotated[
    str, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="Why: it becomes the scan's reason.")
]
_COPIES: Final = 4  # of a batch: the body, its frames in this machine's order, stacked, and what a summary takes

Row = tuple[float, float, float]


class ScanCall(ScanOptions, MapOptions):
    """The JSON body: what the frames are, what is known of the detector, and how to reconstruct."""

    shape: Annotated[
        tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]],
        Field(description="A frame has so many rows and columns."),
    ]
    dtype: Annotated[
        str,
        Field(
            max_length=40,
            description="The numbers of a frame have this type, little endian: uint16, uint32, float32, ...",
        ),
    ]
    q_steps: Annotated[
        tuple[Row, Row, Row] | None,
        Field(description="The change of Q from voxel to voxel along frames, rows and columns, in 1/m."),
    ] = None
    q_centre: Annotated[
        Row | None,
        Field(description="Q at the voxel (frames // 2, rows // 2, columns // 2), in 1/m; at place 0 of an open end."),
    ] = None
    sample_rotation: tuple[Row, Row, Row] | None = None
    saturation: Annotated[
        float | None, Field(gt=0, description="At and above so many counts the detector does not count any more.")
    ] = None


class ScanQuery(ScanOptions, ReadingOptions):
    """The query of a body that is a file: options, and how the file is read."""


class OutsideFrame(BaseModel):
    """A frame whose place is none of the scan, and why."""

    place: int
    reason: str


class FramesAnswer(BaseModel):
    """What became of a batch: the places that are new, those that had come before, and those that are none of the scan.

    All frames of `received` and `duplicate` are on the disk of the service. total: frames that have come.
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
                "schema": ScanCall.model_json_schema(ref_template="#/components/schemas/{model}"),
                "example": {"shape": [256, 256], "dtype": "uint16", "frames": 201, "name": "particle 3"},
            },
            **{media: {"schema": {"type": "string", "format": "binary"}} for media in FILES},
        },
    }
}
_BODY["requestBody"]["content"][JSON]["schema"].pop("$defs", None)
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
    responses={201: {"model": ScanDocument}},
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
    """A rocking curve whose frames will follow. Send JSON with the shape and type of the frames; or one frame as a file
    (npz, HDF5, ...) that stands for all, with its geometry, mask and detector maps, and the options in the query.
    """
    bounds = services.settings.bounds
    roots = services.settings.data_roots if caller.roots is None else caller.roots
    live = kept(services)
    with services.budget.share(caller.owner) as share:
        kind = media_type(request)
        if kind == JSON:
            asked = _parsed(await read_json(request, bounds, share), call)
            await check_options(asked, services)
            template = await services.compute(lambda: _declared(asked, roots, services, share))
            options = ScanOptions(**{name: getattr(asked, name) for name in ScanOptions.model_fields})
        elif kind in FILES:
            await check_options(call, services)
            template = await receive_file(request, Reading(**call.told()), call.domain, roots, services, share)
            options = ScanOptions(**{name: getattr(call, name) for name in ScanOptions.model_fields})
        else:
            raise ApiError(
                415,
                f"a body of type {kind or 'none'!r} is not taken here: send {JSON}, or a frame as {', '.join(FILES)}",
            )
        if options.start == "random" or options.slice != "none":
            raise ApiError(
                422,
                "the looks at a live scan begin from the image of a network for rocking curves: leave start=random and "
                "slice=center out",
            )
        curve = Curve.of(template, options.frames)
        _bounded(curve, services)
        order = ScanOrder(**options.model_dump(), shape=curve.shape, dtype=str(curve.dtype))
        repeatable = _repeatable(idempotency_key, order)
        record = await in_thread(lambda: live.open(curve, order, origin, repeatable))
    audit.note("submit", scan=record.scan_id)
    response.headers["Location"] = f"/v1/scans/{record.scan_id}"
    return await in_thread(lambda: _document(record, services))


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


@router.get("/{scan_id}", operation_id="get_scan", summary="One live scan")
async def one(scan_id: ScanId, services: TheServices, caller: TheCaller) -> ScanDocument:
    """What has come, what it says, and the looks at it, newest first."""
    record = await _own(scan_id, services, caller)
    return await in_thread(lambda: _document(record, services))


@router.post(
    "/{scan_id}/frames",
    operation_id="add_frames",
    summary="Add frames",
    dependencies=[Submits, Staying, Uncoded],
    openapi_extra=_FRAMES,
    responses={409: {"description": "A place came before with another content, or the scan takes no frames any more."}},
)
async def add(scan_id: ScanId, request: Request, services: TheServices, caller: TheCaller) -> FramesAnswer:
    """A batch of frames, in any order: each is its place (8 bytes, unsigned, little endian) and then its numbers.

    What is answered with 200 is on the disk: frames that came again with the same content are told as duplicates, and
    places that are none of the scan are counted and left out. With 4xx nothing of the batch was taken.
    """
    record = await _own(scan_id, services, caller)
    if media_type(request) != OCTETS:
        raise ApiError(415, f"frames come as {OCTETS}: the place of each, and its numbers")
    live = kept(services)
    if record.state is not ScanState.OPEN:
        raise closed_scan(record.scan_id, record.state)
    with services.budget.share(caller.owner) as share:
        body = await read_frames(request, services.settings.bounds, _COPIES, share)

        def take() -> FramesAnswer:
            curve = live.curve(record)
            added = live.archive.add(record.scan_id, curve, decode(body, curve))
            total = live.records.get(record.scan_id).counted.received
            outside = [OutsideFrame(place=frame.place, reason=frame.reason) for frame in added.outside]
            return FramesAnswer(
                received=list(added.received), duplicate=list(added.duplicate), out_of_range=outside, total=total
            )

        return await in_thread(take)


@router.post(
    "/{scan_id}/finish", operation_id="finish_scan", summary="Finish a live scan", dependencies=[Submits, Staying]
)
async def finish(scan_id: ScanId, services: TheServices, caller: TheCaller, reason: Reason = "") -> ScanDocument:
    """No frame follows: the image of the finished curve is made, as fine as was asked. May be repeated."""
    record = await _own(scan_id, services, caller)
    live = kept(services)
    now = await in_thread(lambda: live.finish(record.scan_id, reason.strip(), caller.owner))
    if services.reader is not None:
        services.reader.wake.set()
    return await in_thread(lambda: _document(now, services))


@router.delete("/{scan_id}", operation_id="abort_scan", summary="Abort a live scan", dependencies=[Submits])
async def abort(scan_id: ScanId, services: TheServices, caller: TheCaller, reason: Reason = "") -> ScanDocument:
    """No frame follows, and no image is made any more: 409 where the scan had ended. Looks that were made stay."""
    record = await _own(scan_id, services, caller)
    live = kept(services)
    now = await in_thread(lambda: live.abort(record.scan_id, reason.strip() or "on request", caller.owner))
    audit.note("cancel", scan=record.scan_id, of=record.owner, reason=now.reason)
    return await in_thread(lambda: _document(now, services))


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


def _document(record: ScanRecord, services: Services) -> ScanDocument:
    return ScanDocument.read(record, kept(services).frames(record), records(services))


def _parsed(body: bytes, call: ScanQuery) -> ScanCall:
    """The JSON body with the query's options over it. Raises RequestValidationError, ApiError 422."""
    over = call.model_dump(exclude_unset=True)
    if strange := [name for name in over if name not in ScanCall.model_fields]:
        raise ApiError(422, f"{', '.join(strange)}: say how a file is read, and a body of {JSON} is none")
    return parse_body(ScanCall, body).model_copy(update=over)


def _declared(asked: ScanCall, roots: tuple[Path, ...], services: Services, share: Share) -> RawScan:
    """The template of frames that were declared, with maps from files. Read as a body that holds all of it would be.

    Raises DataError, and ApiError as `found`.
    """
    bounds = services.settings.bounds
    dtype = known_dtype(asked.dtype)
    limits = Limits(max_bytes=bounds.array_bytes, roots=roots)
    shape = admit((1, *asked.shape), dtype, "a frame", limits)
    if asked.q_steps is None and (asked.q_centre is not None or asked.sample_rotation is not None):
        raise ApiError(422, "q_centre and sample_rotation belong to q_steps, which are not given")
    geometry = None
    if asked.q_steps is not None:
        more = (None if given is None else np.array(given) for given in (asked.q_centre, asked.sample_rotation))
        geometry = Geometry(np.array(asked.q_steps), *more)
    level = None if asked.saturation is None else Saturation(asked.saturation, "as declared")
    frame = RawScan(np.zeros(shape, dtype.newbyteorder("=")), geometry, "frames", "", saturation=level)
    told = Reading(**{name: getattr(asked, name) for name in MapOptions.model_fields})
    reading = found(told, roots)
    with services.store.scratch() as folder:
        path = folder / "frame.npz"
        path.write_bytes(npz.encode(frame))
        order = BodyOrder(path, reading, asked.domain, limits)
        return services.sandbox.read_body(order, lambda voxels, nbytes: share.grow_to(nbytes))


def _bounded(curve: Curve, services: Services) -> None:
    """Refuse a curve that could never be held. Raises TooLargeError, ApiError."""
    bounds = services.settings.bounds
    if curve.frames is not None and curve.frames > bounds.scan_frames:
        raise ApiError(
            422, f"a live scan has at most {bounds.scan_frames} frames, and this one declares {curve.frames}"
        )
    limits = Limits(max_bytes=bounds.array_bytes)
    admit((curve.frames or 1, *curve.shape), curve.dtype, "the curve", limits)


def _repeatable(key: str | None, order: ScanOrder) -> Repeatable | None:
    if key is None:
        return None
    return Repeatable(f"scan:{key}", hashlib.sha256(json.dumps(order.model_dump(mode="json")).encode()).hexdigest())
