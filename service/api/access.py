"""What endpoints get from the application, and how a job is read for an answer."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, cast

import anyio.to_thread
from fastapi import Depends, Header, Path, Request
from pydantic import AfterValidator

from inphase.imaging.arrays import Present, names
from inphase.imaging.clock import Clock
from inphase.ptycho.arrays import NAMES as PTYCHO
from service.api.presence import Line
from service.document import JobDocument, JobProgress, JobRevision
from service.errors import ApiError
from service.identity.keys import TheCaller
from service.intake.options import ImagingOptions, JobOptions
from service.jobs.entry import JobRecord, Origin, Revision
from service.jobs.errors import QueueUnavailableError
from service.jobs.events import unknown
from service.jobs.record import Records
from service.jobs.state import JobState
from service.lifecycle import Services

T = TypeVar("T")
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The id of a job has 32 hexadecimal digits.")]


# coroutines, though they wait for nothing: FastAPI runs a function in a thread, and every request would wait for one
async def services(request: Request) -> Services:
    """The running services."""
    return cast(Services, request.app.state.services)


async def clock(request: Request) -> Clock:
    """The request's clock."""
    return cast(Clock, request.state.clock)


async def origin(request: Request, caller: TheCaller) -> Origin:
    """Where a job comes from that this request submits."""
    state = request.state
    return Origin(caller.owner, caller.proposal, caller.key, state.request_id, state.traceparent)


def line(request: Request) -> Line:
    """The line to the request's client."""
    return cast(Line, request.state.line)


TheServices = Annotated[Services, Depends(services)]
TheOrigin = Annotated[Origin, Depends(origin)]
TheClock = Annotated[Clock, Depends(clock)]


async def staying(services: TheServices) -> None:
    """Refuse new work while the service leaves: 503."""
    if services.draining.is_set():
        raise ApiError(503, "the service is shutting down: try again in a moment, or another instance")


Staying = Depends(staying)


def _unquoted(key: str) -> str:
    """The header is a quoted string (RFC 8941), and clients leave the quotes away."""
    if not (found := key.strip('"')):
        raise ValueError("the key is empty")
    return found


IdempotencyKey = Annotated[
    Annotated[str, AfterValidator(_unquoted)] | None,
    Header(min_length=1, max_length=255, description="A call that is repeated with the same key is one job."),
]


async def check_options(asked: ImagingOptions, services: Services) -> None:
    """Refuse what can be refused before the data are read; the network is loaded.

    Raises RecipeError, ModelError, ApiError, QueueUnavailableError.
    """
    if isinstance(asked, JobOptions) and asked.webhook is not None:
        services.webhooks.check(asked.webhook)
        records(services)  # what is not recorded does not end
    options = asked.imaging()
    options.check()
    if options.asks_network:
        await services.compute(lambda: services.sessions.get(options.model))


def records(services: Services) -> Records:
    """The records. Raises QueueUnavailableError where the service runs without a queue."""
    if services.records is None:
        raise QueueUnavailableError("this service runs without a queue: it keeps no jobs")
    return services.records


async def own_job(job_id: JobId, services: TheServices, caller: TheCaller) -> None:
    """Refuse the jobs of others as if they did not exist: 404."""
    if caller.party is None:
        return
    record = await in_thread(lambda: records(services).get(job_id))
    if not caller.sees(record.owner, record.proposal):
        raise unknown(job_id)


OwnJob = Depends(own_job)


async def in_thread(call: Callable[[], T]) -> T:
    """Run a short blocking call (Redis, a file) beside the event loop."""
    return await anyio.to_thread.run_sync(call)


async def end(task: asyncio.Future[Any]) -> None:
    """Cancel a task until it has ended: redis-py may swallow a cancellation that meets it while it connects."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


def current(record: JobRecord, position: int | None = None) -> JobDocument:
    """A job's document as it stands now: the record is newer than what the document says of state and progress."""
    document = JobDocument.from_json(record.document)
    return replace(
        document,
        state=record.state,
        reason=record.reason or document.reason,
        attempt=record.attempt,
        owner=record.owner,
        proposal=record.proposal,
        cancelled_by=cancelled_by(record),
        priority=record.priority,
        started=_time(record.started),
        finished=_time(record.finished),
        progress=progress_of(record),
        queue_position=position,
        links=links(record.job_id, record.state, document),
        revisions=tuple(_revision(record.job_id, revision) for revision in record.revisions),
    )


def cancelled_by(record: JobRecord) -> str:
    """Who has asked to cancel a job; empty where nobody has, or it had ended before that had an effect."""
    return "" if record.state in (JobState.SUCCEEDED, JobState.FAILED) else record.cancelled_by


def progress_of(record: JobRecord) -> JobProgress | None:
    """How far a job is; None unless it runs."""
    if record.progress is None or record.state is not JobState.RUNNING:
        return None
    return JobProgress.of(record.progress, f"/v1/jobs/{record.job_id}/preview")


def _revision(job_id: str, revision: Revision) -> JobRevision:
    where = f"/v1/jobs/{job_id}/result?revision={revision.number}"
    made = datetime.fromtimestamp(revision.made, UTC).isoformat(timespec="milliseconds")
    return JobRevision(revision.number, revision.kind, revision.final, made, where)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def links(job_id: str, state: JobState, document: JobDocument) -> dict[str, str]:
    """Where the job and its parts are: every array that its result has."""
    job = f"/v1/jobs/{job_id}"
    always = {"self": job, "events": f"{job}/events", "preview": f"{job}/preview"}
    if state is not JobState.SUCCEEDED:
        return always
    if document.ptychography is not None:
        return {**always, "result": f"{job}/result", **{name: f"{job}/result/{name}" for name in PTYCHO}}
    report = document.report
    present: list[Present] = ["always"]
    if report is not None and report.strain is not None:
        present.append("strain")
    if report is not None and len(report.preprocess.shape) == 2:
        present.append("image")
    if report is not None and report.ensemble is not None and report.ensemble.mode_weights is not None:
        present.append("ensemble")
    return {**always, "result": f"{job}/result", **{name: f"{job}/result/{name}" for name in names(*present)}}
