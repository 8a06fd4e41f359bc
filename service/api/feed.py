"""GET /v1/events: what happens to all jobs of the caller, for whoever shows a list of them."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.access import TheServices, records
from service.api.events import Seat, told
from service.api.jobs import JobSummary
from service.api.routing import Router
from service.identity.keys import Caller, TheCaller
from service.jobs.errors import UnknownJobError
from service.jobs.events import JobEvent
from service.lifecycle import Services

router = Router(prefix="/v1/events", tags=["jobs"])


@router.get("", operation_id="watch_jobs", summary="Watch all jobs", response_class=EventSourceResponse)
async def follow(
    services: TheServices,
    caller: TheCaller,
    held: Seat,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,20}(-\d{1,20})?$")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events of the jobs that the caller sees (`GET /v1/jobs`), from now on or after Last-Event-ID.

    `listening` comes first: list the jobs now, nothing that happens later is missed; it comes again where too much has
    happened since Last-Event-ID. `job` has a job's line of the list, new or changed; `progress` the job and how far it
    is; `removed` the job.
    """

    def say(event: JobEvent) -> ServerSentEvent | None:
        return _sent(event, caller, services, last_event_id is not None)

    async for sent in told(records(services).follow_all(last_event_id), services, caller, held, say):
        yield sent


def _sent(event: JobEvent, caller: Caller, services: Services, resumed: bool) -> ServerSentEvent | None:
    """What this caller is told of an event; None for nothing."""
    if event.kind == "listening":
        if resumed and not event.data["missed"]:
            return None
        return ServerSentEvent(event="listening", id=event.event_id, data=event.data)
    if not caller.sees(event.owner, event.proposal):
        return None
    match event.kind:
        case "removed":
            return ServerSentEvent(event="removed", id=event.event_id, data={"id": event.job_id})
        case "progress":
            preview = f"/v1/jobs/{event.job_id}/preview" if event.data.get("preview") else None
            data = event.data | {"id": event.job_id, "preview": preview}
            return ServerSentEvent(event="progress", id=event.event_id, data=data)
    try:
        line = JobSummary.of(records(services).get(event.job_id))
    except UnknownJobError:
        return None  # it is gone by now, and `removed` follows
    return ServerSentEvent(event="job", id=event.event_id, data=line.model_dump(mode="json"))
