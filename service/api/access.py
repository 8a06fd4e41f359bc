"""What endpoints get from the application, and how a job is read for an answer."""

from collections.abc import Callable
from typing import Annotated, TypeVar, cast

import anyio.to_thread
from fastapi import Depends, Request

from service.clock import Clock
from service.document import JobDocument, ProgressPart
from service.jobs.errors import QueueUnavailableError
from service.jobs.record import JobRecord, Records
from service.jobs.state import JobState
from service.lifecycle import Services

T = TypeVar("T")


def services(request: Request) -> Services:
    """The running services."""
    return cast(Services, request.app.state.services)


def clock(request: Request) -> Clock:
    """The request's clock."""
    return cast(Clock, request.state.clock)


TheServices = Annotated[Services, Depends(services)]
TheClock = Annotated[Clock, Depends(clock)]


def records(services: Services) -> Records:
    """The records. Raises QueueUnavailableError where the service runs without a queue."""
    if services.records is None:
        raise QueueUnavailableError("this service runs without a queue: it keeps no jobs")
    return services.records


async def in_thread(work: Callable[[], T]) -> T:
    """Run a short blocking call (Redis, a file) beside the event loop."""
    return await anyio.to_thread.run_sync(work)


def current(record: JobRecord, position: int | None = None) -> JobDocument:
    """A job's document as it stands now: the record is newer than what the document says of state and progress."""
    document = JobDocument.model_validate_json(record.document)
    progress = record.progress
    return document.model_copy(
        update={
            "state": record.state,
            "reason": record.reason or document.reason,
            "attempt": record.attempt,
            "progress": ProgressPart.of(progress)
            if progress is not None and record.state is JobState.RUNNING
            else None,
            "queue_position": position,
            "links": links(record.job_id, record.state),
        }
    )


ARRAYS = ("amplitude", "phase", "phase_flat", "object", "support", "modulus", "mask", "free")


def links(job_id: str, state: JobState) -> dict[str, str]:
    """Where the job and its parts are."""
    here = f"/v1/jobs/{job_id}"
    if state is not JobState.SUCCEEDED:
        return {"self": here}
    return {"self": here, "result": f"{here}/result", **{name: f"{here}/result/{name}" for name in ARRAYS}}
