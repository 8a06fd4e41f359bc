"""GET /v1/jobs/{id}/events and /preview: watch a job.

Events are small: numbers, and where the picture is. The picture itself lies in the store and is fetched by those who
want to look, as often as they like; a slow reader misses pictures, never events.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import anyio
import numpy as np
from fastapi import Depends, Header, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from inphase.ptycho.continuation import LIT
from service.api.access import JobId, TheServices, end, in_thread, records
from service.api.results import known, read_array, read_arrays, tag
from service.api.revisions import materialised
from service.api.routing import Router
from service.errors import ApiError
from service.identity.keys import Caller, TheCaller
from service.jobs.errors import QueueUnavailableError, UnknownJobError
from service.jobs.events import Event
from service.jobs.state import JobState
from service.lifecycle import Services
from service.pictures import png

T = TypeVar("T")
router = Router(prefix="/v1/jobs", tags=["jobs"])

_RETRY_MS: Final = 2000  # when a client whose stream ended before the job did should ask again


async def seat(services: TheServices) -> AsyncIterator[AsyncExitStack]:
    """A place among the streams, held until the answer has ended however it ends, and what is to be closed with it.
    Raises ApiError 503.
    """
    if services.draining.is_set():
        raise ApiError(503, "the service is shutting down: ask again in a moment, or another instance")
    limit = services.settings.bounds.streams
    if services.streams >= limit:
        raise ApiError(503, f"{limit} clients follow events already: ask for the job document instead, or later")
    services.streams += 1
    try:
        async with AsyncExitStack() as held:
            yield held
    finally:
        services.streams -= 1


Seat = Annotated[AsyncExitStack, Depends(seat)]


async def there(job_id: JobId, services: TheServices) -> None:
    """Refuse a job that does not exist before the answer begins. Raises UnknownJobError."""
    await in_thread(lambda: records(services).get(job_id))


@router.get(
    "/{job_id}/events",
    operation_id="watch_job",
    summary="Watch a job",
    response_class=EventSourceResponse,
    dependencies=[Depends(there)],
)
async def follow(
    job_id: JobId,
    services: TheServices,
    caller: TheCaller,
    held: Seat,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,20}(-\d{1,20})?$")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events `state`, `revision` and `progress`, from the first one or the one after Last-Event-ID,
    up to the job's end.

    A comment about every two silent seconds. `leaving` says that the service shuts down: ask again, the rest is kept.
    """
    events = records(services).follow(job_id, last_event_id or "0-0")
    async for sent in told(events, services, caller, held, lambda event: _sent(job_id, event)):
        yield sent


def told(
    events: AsyncGenerator[T | None, None],
    services: Services,
    caller: Caller,
    held: AsyncExitStack,
    say: Callable[[T], ServerSentEvent | None],
) -> AsyncIterator[ServerSentEvent]:
    """What is sent for events until they end, the service leaves, the key is taken away or Redis does not answer; None
    is silence.

    It is closed with the seat: an answer whose client has left is dropped where it stands.
    """
    sent = _told(events, services, caller, say)
    held.push_async_callback(sent.aclose)
    return sent


async def _told(
    events: AsyncGenerator[T | None, None],
    services: Services,
    caller: Caller,
    say: Callable[[T], ServerSentEvent | None],
) -> AsyncGenerator[ServerSentEvent, None]:
    leaving = asyncio.ensure_future(services.draining.wait())
    coming: asyncio.Future[Any] = leaving
    try:
        yield ServerSentEvent(retry=_RETRY_MS, comment="inphase")
        while True:
            coming = asyncio.ensure_future(anext(events, _END))
            await asyncio.wait({coming, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                yield ServerSentEvent(event="leaving", data={"retry_ms": _RETRY_MS}, retry=_RETRY_MS)
                return
            event = coming.result()
            if event is _END or not services.keyring.admits(caller):
                return
            if event is None:
                yield ServerSentEvent(comment="waiting")
            elif (sent := await in_thread(partial(say, event))) is not None:
                yield sent
    except (QueueUnavailableError, UnknownJobError) as error:
        yield ServerSentEvent(comment=str(error), retry=_RETRY_MS)  # the client asks again after its last event
    finally:
        with anyio.CancelScope(shield=True):  # the client may be gone: what was begun is ended all the same
            await end(coming)
            await end(leaving)
            await events.aclose()


_END: Final = object()


def _sent(job_id: str, event: Event) -> ServerSentEvent:
    data: dict[str, Any] = event.data
    match event.kind:
        case "progress":
            data = data | {"preview": f"/v1/jobs/{job_id}/preview" if data.get("preview") else None}
        case "revision":
            data = data | {"result": f"/v1/jobs/{job_id}/result?revision={data['number']}"}
    return ServerSentEvent(event=event.kind, id=event.event_id, data=data)


@router.get(
    "/{job_id}/preview",
    operation_id="get_job_preview",
    summary="A picture of a job",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, 404: {"description": "There is no picture yet."}},
)
async def preview(job_id: JobId, request: Request, services: TheServices) -> Response:
    """Three central slices (PNG): amplitudes above, phases below. Of the newest image:
    the result, the iterate, the network's.
    """
    record = await in_thread(lambda: records(services).get(job_id))
    if record.state is JobState.SUCCEEDED:
        etag = tag(job_id, record.result, "preview")
        if known(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
        picture = await services.compute(lambda: preview_of(services, job_id, record.result))
    else:
        found = await in_thread(lambda: services.store.preview(job_id, record.attempt))
        if found is None and record.revisions and not record.state.final:
            first = record.revisions[-1]
            await materialised(services, record, first)
            found = await services.compute(lambda: preview_of(services, job_id, first.result))
        if found is None:
            raise ApiError(404, f"job {job_id} is {record.state} and has no picture yet")
        picture, etag = found, tag(found.hex())
        if known(request, etag):
            return Response(status_code=304, headers={"ETag": etag})
    return Response(picture, media_type="image/png", headers={"ETag": etag, "Cache-Control": "private, no-cache"})


def preview_of(services: Services, job_id: str, result: str) -> bytes:
    """The slices of a result; of a ptychographic one the object where light fell on it."""
    obj = read_array(services, job_id, result, "object")
    coverage = read_arrays(services, job_id, result, "coverage").get("coverage")
    if coverage is not None:
        obj = np.where(coverage > LIT, obj, 0)
    planes = [obj.take(n // 2, axis) for axis, n in enumerate(obj.shape)] if obj.ndim == 3 else [obj]
    return png.preview(planes)
