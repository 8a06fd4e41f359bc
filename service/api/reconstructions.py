"""POST /v1/reconstructions: one pattern in, its image out, in the same call where `wait` allows."""

import asyncio
import io
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from pydantic import Field, ValidationError

from inphase.formats import Limits, RawScan
from inphase.preprocess.corrections import Corrections
from inphase.preprocess.recipe import preset
from service import pipeline
from service.api.access import TheClock, TheServices, current, in_thread, links
from service.api.bodies import JSON, NPY, OCTETS, Layout, media_type, octet_layout, read_json, receive_array
from service.api.results import NPZ
from service.clock import Clock
from service.document import JobDocument
from service.errors import ApiError
from service.inference.runtime import Network
from service.jobs.errors import QueueUnavailableError
from service.jobs.record import JobRecord
from service.jobs.state import JobState
from service.lifecycle import Services
from service.options import NO_REFINEMENT, JobOptions, Options
from service.pipeline import Draft, Finished
from service.sources import FileSource, load

router = APIRouter(prefix="/v1/reconstructions", tags=["reconstructions"])

_RESULT: Final = "result-0"  # of a job that no worker has attempted


class Call(JobOptions):
    """The query: options, how octets are an array, and what to answer."""

    dtype: Annotated[
        str | None, Field(max_length=40, description="of an octet body: uint16, float32, ... (little endian)")
    ] = None
    shape: Annotated[str | None, Field(max_length=100, description="of an octet body: 201,256,256 (C order)")] = None
    format: Annotated[
        Literal["json", "npz"] | None, Field(description="answer with the job document or the result itself")
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
            OCTETS: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_BODY["requestBody"]["content"][JSON]["schema"].pop("$defs", None)


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
        200: {"content": {NPZ: {}}, "description": "done: the job document, or with format=npz the result itself"},
        202: {"model": JobDocument, "description": "accepted, not finished within `wait`: ask at Location"},
    },
    openapi_extra=_BODY,
)
async def reconstruct(
    request: Request, services: TheServices, clock: TheClock, call: Annotated[Call, Query()]
) -> Response:
    """Clean, predict, refine. Send a file's path as JSON, or the array as npy or octets."""
    if services.draining.is_set():
        raise ApiError(503, "the service is shutting down: try again in a moment, or another instance")
    kind = media_type(request)
    if kind == JSON:
        with clock("receive"):
            file_call = _parsed(await read_json(request, services.settings.bounds), call)
        options: JobOptions = file_call
        network = await _checked(options, services)
        draft, document = await services.compute(lambda: _begin_file(file_call, network, services, clock))
    elif kind in (NPY, OCTETS):
        options = call
        network = await _checked(options, services)
        bounds = services.settings.bounds
        layout = octet_layout(call.dtype, call.shape, bounds) if kind == OCTETS else None
        draft, document = await _begin_body(request, layout, options, network, services, clock)
    else:
        raise ApiError(415, f"a body of type {kind or 'none'!r} is not taken here: {_TAKEN}")
    answered = await _carried_out(draft, document, options, _patience(request, options, services), services, clock)
    return await _response(request, call, answered, services)


_TAKEN: Final = f"send {JSON} with the path of a file (HDF5, npy, npz, TIFF) below a data root, {NPY}, or {OCTETS} with ?dtype= and ?shape="


def _parsed(body: bytes, call: Call) -> FileCall:
    """The JSON body with the query's options over it. Raises RequestValidationError."""
    try:
        asked = FileCall.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{"type": e["type"], "loc": ("body", *e["loc"]), "msg": e["msg"]} for e in error.errors()]
        ) from None
    over = call.model_dump(exclude_unset=True, exclude={"dtype", "shape", "format"})
    return asked.model_copy(update=over)


async def _checked(options: Options, services: Services) -> Network | None:
    """The network to ask; everything that can be refused before the data are read is refused here."""
    recipe = options.recipe()
    preset(options.preprocess, options.domain)
    if options.start == "random":
        if recipe is None:
            raise ApiError(
                422, "refine=none answers with the network's image, start=random asks no network: choose one of them"
            )
        if options.model is None:
            return None
    return await services.compute(lambda: services.networks.get(options.model))


def _begin_file(call: FileCall, network: Network | None, services: Services, clock: Clock) -> tuple[Draft, JobDocument]:
    settings = services.settings
    with clock("decode"):
        raw, corrections = load(call.source, call.domain, Limits(settings.bounds.array_bytes), settings.data_roots)
    return _begin(raw, call, network, clock, corrections)


async def _begin_body(
    request: Request, layout: Layout | None, options: Options, network: Network | None, services: Services, clock: Clock
) -> tuple[Draft, JobDocument]:
    async with AsyncExitStack() as stack:
        with clock("receive"):
            raw = await stack.enter_async_context(
                receive_array(request, layout, services.settings.bounds, services.budget)
            )
        return await services.compute(lambda: _begin(raw, options, network, clock, None))


def _begin(
    raw: RawScan, options: Options, network: Network | None, clock: Clock, corrections: Corrections | None
) -> tuple[Draft, JobDocument]:
    draft, document = pipeline.begin(raw, options, network, clock, corrections)
    return draft, document.model_copy(update={"timings_ms": clock.rounded()})


def _patience(request: Request, options: JobOptions, services: Services) -> float:
    if "respond-async" in request.headers.get("prefer", ""):
        return 0.0
    return min(options.wait, services.settings.bounds.wait_s)


async def _carried_out(
    draft: Draft, document: JobDocument, options: JobOptions, patience: float, services: Services, clock: Clock
) -> _Answered:
    if document.recipe.refine == NO_REFINEMENT:
        return await in_thread(lambda: _at_once(draft, document, services, clock))
    try:
        await in_thread(lambda: _accept(draft, document, options, services))
    except QueueUnavailableError as error:
        if draft.prediction is None:
            raise
        reason = f"{error}; this is the network's prediction, not refined and not recorded"
        recipe = document.recipe.model_copy(update={"refine": NO_REFINEMENT})
        guess = document.model_copy(update={"recipe": recipe, "reason": reason, "recorded": False})
        return await in_thread(lambda: _Answered(*_predicted(draft, guess, clock)))
    record = await _waited(document.id, patience, services)
    if record is None:
        return _Answered(document.model_copy(update={"links": links(document.id, JobState.QUEUED)}))
    now = current(record)
    clock.ms.update(now.timings_ms)
    return _Answered(now, result=record.result)


def _predicted(draft: Draft, document: JobDocument, clock: Clock) -> tuple[JobDocument, Finished]:
    finished = pipeline.finish(draft, document, draft.guess, clock)
    return finished.document, finished


def _at_once(draft: Draft, document: JobDocument, services: Services, clock: Clock) -> _Answered:
    """Finish with the prediction, and keep it where there is somewhere to keep it."""
    _, finished = _predicted(draft, document, clock)
    try:
        if services.records is None:
            raise QueueUnavailableError("this service runs without a queue")
        with clock("encode"):
            services.store.admit(_nbytes(finished.arrays))
            services.store.write(document.id, _RESULT, finished.arrays)
        try:
            services.records.add_ended(document.id, finished.document.to_json(), result=_RESULT)
        except BaseException:
            services.store.delete(document.id)
            raise
    except QueueUnavailableError as error:
        unrecorded = finished.document.model_copy(update={"recorded": False, "reason": f"{error}; not recorded"})
        return _Answered(unrecorded, finished.with_document(unrecorded))
    return _Answered(
        finished.document.model_copy(update={"links": links(document.id, JobState.SUCCEEDED)}), finished, _RESULT
    )


def _accept(draft: Draft, document: JobDocument, options: JobOptions, services: Services) -> None:
    """Arrays on disk, then the record, then the message. Raises QueueUnavailableError, StoreFullError: nothing was accepted."""
    if services.records is None or services.queue is None:
        raise QueueUnavailableError("this service runs without a queue")
    waiting = services.records.count(JobState.QUEUED)
    if waiting >= services.settings.bounds.queued_jobs:
        raise ApiError(503, f"{waiting} jobs wait for a worker already: try again in a moment, or start more workers")
    arrays = draft.to_arrays()
    services.store.admit(_nbytes(arrays))
    services.store.write(document.id, "input", arrays)
    try:
        services.records.create(document.id, document.to_json(), priority=options.priority)
    except BaseException:
        services.store.delete(document.id)
        raise
    try:
        services.queue.enqueue(document.id, options.priority)
    except QueueUnavailableError:
        return  # recorded, so housekeeping hands it out when Redis is back


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
        await _end(waiting)
        await _end(leaving)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it has ended: redis-py may swallow a cancellation that meets it while it connects."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


def _nbytes(arrays: pipeline.Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


async def _response(request: Request, call: Call, answered: _Answered, services: Services) -> Response:
    document = answered.document
    headers = {"Location": f"/v1/jobs/{document.id}"} if document.recorded else {}
    if not document.state.final:
        return Response(document.to_json(), 202, headers, "application/json")
    if not (call.format == "npz" or (call.format is None and NPZ in request.headers.get("accept", ""))):
        return Response(document.to_json(), 200, headers, "application/json")
    if document.state is not JobState.SUCCEEDED:
        raise ApiError(
            422, f"job {document.id} has no result, it is {document.state}: {document.reason}", headers=headers
        )
    name = f"inphase-{document.id}.npz"
    if answered.result:
        return FileResponse(services.store.path(document.id, answered.result), 200, headers, NPZ, filename=name)
    assert answered.finished is not None
    arrays = answered.finished.arrays

    def pack() -> bytes:
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **arrays)
        return stream.getvalue()

    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(await services.compute(pack), 200, headers, NPZ)
