"""POST /v1/reconstructions: one pattern in, its image out, in the same call where `wait` allows."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field

from inphase.formats import Limits, RawScan
from inphase.formats.scan import geometry_arrays
from inphase.pattern import digest
from inphase.preprocess.corrections import Corrections
from service import pipeline
from service.api.access import TheClock, TheServices, current, end, in_thread
from service.api.bodies import (
    JSON,
    NPY,
    NPZ,
    OCTETS,
    media_type,
    octet_layout,
    parse_body,
    read_json,
    receive_archive,
    receive_array,
)
from service.api.download import MEDIA, ResultFormat, accepted, stored, unstored
from service.clock import Clock
from service.document import JobDocument
from service.errors import ApiError
from service.inference.runtime import Network
from service.intake import Order
from service.jobs.errors import QueueUnavailableError
from service.jobs.record import JobRecord
from service.jobs.record import Request as Idempotent
from service.jobs.state import JobState
from service.lifecycle import Services
from service.options import NO_REFINEMENT, JobOptions, Options
from service.pipeline import Draft, Finished
from service.security import Submits, TheCaller
from service.sources import FileSource, load

router = APIRouter(prefix="/v1/reconstructions", tags=["reconstructions"])


class Call(JobOptions):
    """The query: options, how octets are an array, and what to answer."""

    dtype: Annotated[
        str | None, Field(max_length=40, description="of an octet body: uint16, float32, ... (little endian)")
    ] = None
    shape: Annotated[str | None, Field(max_length=100, description="of an octet body: 201,256,256 (C order)")] = None
    format: Annotated[
        Literal["json"] | ResultFormat | None, Field(description="answer with the job document or the result itself")
    ] = None


class FileCall(JobOptions):
    """The JSON body."""

    source: FileSource


_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": FileCall.model_json_schema(ref_template="#/components/schemas/{model}"),
                "example": {"source": {"kind": "file", "path": "scan_0054/"}, "refine": "fast"},
            },
            NPY: {"schema": {"type": "string", "format": "binary"}},
            NPZ: {"schema": {"type": "string", "format": "binary"}},
            OCTETS: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_BODY["requestBody"]["content"][JSON]["schema"].pop("$defs", None)


@dataclass(frozen=True)
class _Received:
    """A request whose body has come. digest: of the body, computed when asked for."""

    options: JobOptions
    network: Network | None
    read: Callable[[], tuple[RawScan, Corrections | None]]
    digest: Callable[[], str]


@dataclass(frozen=True)
class _Answered:
    """A job that is over, or accepted: its document as it stands, and the result where it is not in the store."""

    document: JobDocument
    finished: Finished | None = None
    result: str = ""


@router.post(
    "",
    summary="Reconstruct a pattern",
    response_model=JobDocument,
    responses={
        200: {
            "content": {media: {} for media in MEDIA.values()},
            "description": "done: the job document, or with format= (or Accept) the result itself",
        },
        202: {"model": JobDocument, "description": "accepted, not finished within `wait`: ask at Location"},
    },
    openapi_extra=_BODY,
    dependencies=[Submits],
)
async def reconstruct(
    request: Request,
    services: TheServices,
    clock: TheClock,
    caller: TheCaller,
    call: Annotated[Call, Query()],
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="repeat a call with the same key, and it is one job"),
    ] = None,
) -> Response:
    """Clean, predict, refine. Send a file's path as JSON, or the array as npy, npz (with geometry and mask) or octets."""
    if services.draining.is_set():
        raise ApiError(503, "the service is shutting down: try again in a moment, or another instance")
    async with AsyncExitStack() as held:
        received = await _received(request, call, services, clock, held)
        patience = _patience(request, received.options, services)
        order = Order(caller.owner, received.options)
        if idempotency_key is not None:
            order = replace(order, request=await _repeatable(idempotency_key, request, received, services))
            if (earlier := await _replayed(order, services)) is not None:
                answered = await _outcome(earlier, patience, services, clock)
                return await _response(request, call, answered, services)
        draft, document = await services.compute(lambda: _begin(received, clock))
    answered = await _carried_out(draft, document, order, patience, services, clock)
    return await _response(request, call, answered, services)


_TAKEN: Final = f"send {JSON} with the path of a file (HDF5, npy, npz, TIFF) below a data root, {NPY}, {NPZ}, or {OCTETS} with ?dtype= and ?shape="


async def _received(request: Request, call: Call, services: Services, clock: Clock, held: AsyncExitStack) -> _Received:
    """The body, and what is asked. Whatever can be refused before the data come is refused before."""
    settings = services.settings
    kind = media_type(request)
    if kind == JSON:
        with clock("receive"):
            body = await read_json(request, settings.bounds)
        asked = _parsed(body, call)
        network = await _checked(asked, services)

        def read() -> tuple[RawScan, Corrections | None]:
            with clock("decode"):
                return load(asked.source, asked.domain, Limits(settings.bounds.array_bytes), settings.data_roots)

        return _Received(asked, network, read, lambda: hashlib.sha256(body).hexdigest())
    if kind not in (NPY, NPZ, OCTETS):
        raise ApiError(415, f"a body of type {kind or 'none'!r} is not taken here: {_TAKEN}")
    network = await _checked(call, services)
    if kind == NPZ:
        with clock("receive"):
            raw = await held.enter_async_context(
                receive_archive(request, call.domain, settings.bounds, services.budget)
            )
        return _Received(call, network, lambda: (raw, None), lambda: _digest_of_all(raw))
    layout = octet_layout(call.dtype, call.shape, settings.bounds) if kind == OCTETS else None
    with clock("receive"):
        raw = await held.enter_async_context(receive_array(request, layout, settings.bounds, services.budget))
    return _Received(call, network, lambda: (raw, None), lambda: digest(raw.array))


def _digest_of_all(raw: RawScan) -> str:
    """Of array, mask, geometry and saturation: the same counts under another mask are another request."""
    sha = hashlib.sha256(f"{digest(raw.array)}{raw.saturation.level if raw.saturation else ''}".encode())
    for array in (*geometry_arrays(raw.geometry).values(), *(() if raw.mask is None else (raw.mask,))):
        sha.update(digest(array).encode())
    return sha.hexdigest()


def _parsed(body: bytes, call: Call) -> FileCall:
    """The JSON body with the query's options over it. Raises RequestValidationError."""
    asked = parse_body(FileCall, body)
    over = call.model_dump(exclude_unset=True, exclude={"dtype", "shape", "format"})
    return asked.model_copy(update=over)


async def _checked(options: Options, services: Services) -> Network | None:
    """The network to ask; everything that can be refused before the data are read is refused here."""
    options.check()
    return await services.compute(lambda: services.networks.get(options.model)) if options.asks_network else None


async def _repeatable(key: str, request: Request, received: _Received, services: Services) -> Idempotent:
    """The request as Redis remembers it: everything that was asked, but not how long to wait for the answer."""
    body = await services.compute(received.digest)
    asked = received.options.model_dump(mode="json", exclude={"wait", "format"})
    text = json.dumps([media_type(request), asked, body], sort_keys=True)
    return Idempotent(key.strip('"'), hashlib.sha256(text.encode()).hexdigest())


async def _replayed(order: Order, services: Services) -> JobRecord | None:
    """The job that this request has become before."""
    kept, request = services.records, order.request
    if kept is None or request is None:
        return None
    try:
        return await in_thread(lambda: kept.replayed(order.owner, request))
    except QueueUnavailableError:
        return None  # whether it matters is decided when the job is to be recorded


def _begin(received: _Received, clock: Clock) -> tuple[Draft, JobDocument]:
    raw, corrections = received.read()
    draft, document = pipeline.begin(raw, received.options, received.network, clock, corrections)
    return draft, document.model_copy(update={"timings_ms": clock.rounded()})


def _patience(request: Request, options: JobOptions, services: Services) -> float:
    if "respond-async" in request.headers.get("prefer", ""):
        return 0.0
    return min(options.wait, services.settings.bounds.wait_s)


async def _carried_out(
    draft: Draft, document: JobDocument, order: Order, patience: float, services: Services, clock: Clock
) -> _Answered:
    document = document.model_copy(update={"owner": order.owner, "priority": order.options.priority})
    if document.recipe.refine == NO_REFINEMENT:
        return await in_thread(lambda: _at_once(draft, document, order, services, clock))
    try:
        record = await in_thread(lambda: services.intake.accept(draft, document, order))
    except QueueUnavailableError as error:
        if draft.prediction is None or not patience:  # who does not wait wants a job, not a guess
            raise
        reason = f"{error}; this is the network's prediction, not refined and not recorded"
        recipe = document.recipe.model_copy(update={"refine": NO_REFINEMENT})
        guess = document.model_copy(update={"recipe": recipe, "reason": reason, "recorded": False})
        return await in_thread(lambda: _Answered(*_predicted(draft, guess, clock)))
    return await _outcome(record, patience, services, clock)


async def _outcome(record: JobRecord, patience: float, services: Services, clock: Clock) -> _Answered:
    """The job as it is when it has ended or the time is up."""
    if not record.state.final and (waited := await _waited(record.job_id, patience, services)) is not None:
        record = waited
    now = current(record)
    if now.reused_from is None:
        clock.ms.update(now.timings_ms)
    return _Answered(now, result=record.result)


def _predicted(draft: Draft, document: JobDocument, clock: Clock) -> tuple[JobDocument, Finished]:
    finished = pipeline.finish(draft, document, draft.guess, clock)
    return finished.document, finished


def _at_once(draft: Draft, document: JobDocument, order: Order, services: Services, clock: Clock) -> _Answered:
    """Finish with the prediction, and keep it where there is somewhere to keep it."""
    _, finished = _predicted(draft, document, clock)
    try:
        with clock("encode"):
            record = services.intake.keep(finished, order)
    except QueueUnavailableError as error:
        unrecorded = finished.document.model_copy(update={"recorded": False, "reason": f"{error}; not recorded"})
        return _Answered(unrecorded, finished.with_document(unrecorded))
    return _Answered(current(record), result=record.result)


async def _waited(job_id: str, patience: float, services: Services) -> JobRecord | None:
    """The record when the job has ended, the time is up or the service leaves; None where Redis is away."""
    assert services.records is not None
    waiting = asyncio.ensure_future(services.records.wait(job_id, patience))
    leaving = asyncio.ensure_future(services.draining.wait())
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        records = services.records
        return await in_thread(lambda: records.get(job_id))
    except QueueUnavailableError:
        return None
    finally:
        await end(waiting)
        await end(leaving)


async def _response(request: Request, call: Call, answered: _Answered, services: Services) -> Response:
    document = answered.document
    headers = {"Location": f"/v1/jobs/{document.id}"} if document.recorded else {}
    if not document.state.final:
        return Response(document.to_json(), 202, headers, "application/json")
    form = call.format or accepted(request) or "json"
    if form == "json":
        return Response(document.to_json(), 200, headers, "application/json")
    if document.state is not JobState.SUCCEEDED:
        raise ApiError(
            422, f"job {document.id} has no result, it is {document.state}: {document.reason}", headers=headers
        )
    name = f"inphase-{document.id}"
    if answered.result:
        return await stored(services, services.store.path(document.id, answered.result), form, name, headers)
    assert answered.finished is not None
    return await unstored(services, answered.finished.arrays, form, name, headers)
