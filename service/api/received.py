"""A request whose body has come: a job is recorded, its data are read while the caller waits, and its end is told.

What is sent, and asked, is the matter of the routes: patterns in `reconstructions`, scans in `ptychograms`.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import anyio
from fastapi import Request, Response
from numpy.typing import NDArray

from inphase.formats import Limits, RawScan
from inphase.formats.maps import map_arrays
from inphase.formats.scan import geometry_arrays
from inphase.imaging.clock import Clock
from inphase.imaging.options import NO_REFINEMENT
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.way import begin, judge
from inphase.pattern import digest
from inphase.ptycho.parts import parts_of
from service import audit
from service.api.access import current, end, in_thread
from service.api.bodies.media import media_type
from service.api.download import ResultFormat, accepted, stored, unstored
from service.api.presence import Line
from service.document import JobDocument
from service.door.budget import Share
from service.errors import ApiError
from service.identity.keys import Caller
from service.intake.acceptance import new_document
from service.intake.options import JobOptions
from service.intake.reader import Reader, new_token, reason
from service.intake.sources import FileSource, load
from service.intake.submission import Sender, Sent, Submission, Upload
from service.jobs.entry import JobRecord, Origin, Repeatable
from service.jobs.errors import QueueUnavailableError, UnknownJobError
from service.jobs.state import JobState
from service.lifecycle import Services

Form = Literal["json"] | ResultFormat | None


@dataclass
class Received:
    """A request whose body has come. share: holds its memory. line: to who sent it.

    scan: what was sent, until it has been read; None where a file is named.
    """

    submission: Submission
    share: Share
    line: Line
    scan: Sent | None = None
    body: bytes = b""

    def digest(self) -> str:
        """Of everything that was sent."""
        if self.scan is None:
            return hashlib.sha256(self.body).hexdigest()
        if isinstance(self.scan, RawScan):
            return _digest_of_all(self.scan)
        return _digest_of_arrays("", parts_of(self.scan))


@dataclass(frozen=True)
class _Answered:
    """A job that is over, or accepted: its document as it stands, and the result where it is not in the store."""

    document: JobDocument
    unkept: Reconstruction | None = None
    result: str = ""


async def reply(
    request: Request,
    receive: Callable[[Share], Awaitable[Received]],
    form: Form,
    key: str | None,
    caller: Caller,
    origin: Origin,
    services: Services,
    clock: Clock,
) -> Response:
    """The answer to a request. receive: takes the body, whose memory the share holds. key: its Idempotency-Key."""
    async with AsyncExitStack() as held:
        received = await receive(held.enter_context(services.budget.share(caller.owner)))
        patience = _Patience(_seconds(request, received.submission.options, services))
        sender = Sender(origin, waiting_jobs=caller.waiting_jobs)
        if key is not None:
            sender = replace(sender, repeatable=await _repeatable(key, request, received, services))
        answer = await _answered(received, sender, patience, services, clock, held)
    return await _response(request, form, answer, services)


def _digest_of_all(raw: RawScan) -> str:
    """Of array, mask, geometry, saturation and detector maps:
    the same counts under another mask are another request.
    """
    arrays = (
        geometry_arrays(raw.geometry) | map_arrays(raw.corrections) | ({} if raw.mask is None else {"mask": raw.mask})
    )
    return _digest_of_arrays(f"{digest(raw.array)}{raw.saturation.level if raw.saturation else ''}", arrays)


def _digest_of_arrays(first: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    sha = hashlib.sha256(first.encode())
    for name, array in arrays.items():
        sha.update(f"{name}{digest(array)}".encode())
    return sha.hexdigest()


async def _repeatable(key: str, request: Request, received: Received, services: Services) -> Repeatable:
    """The request as Redis remembers it: everything that was asked, but not how long to wait for the answer."""
    body = await services.compute(received.digest)
    asked = received.submission.model_dump(
        mode="json", exclude={"options": {"wait"}, "receive_ms": True, "roots": True}
    )
    text = json.dumps([media_type(request), asked, body], sort_keys=True)
    return Repeatable(key, hashlib.sha256(text.encode()).hexdigest())


async def _replayed(sender: Sender, services: Services) -> JobRecord | None:
    """The job that this request has become before."""
    kept, repeatable = services.records, sender.repeatable
    if kept is None or repeatable is None:
        return None
    try:
        return await in_thread(lambda: kept.replayed(sender.origin.owner, repeatable))
    except QueueUnavailableError:
        return None  # whether it matters is decided when the job is to be recorded


def _seconds(request: Request, options: JobOptions, services: Services) -> float:
    if "respond-async" in request.headers.get("prefer", ""):
        return 0.0
    return min(options.wait, services.settings.bounds.wait_s)


class _Patience:
    """How long the caller still waits."""

    def __init__(self, seconds: float) -> None:
        self.any = seconds > 0
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, never below 0."""
        return max(0.0, self._end - time.monotonic())


async def _answered(
    received: Received, sender: Sender, patience: _Patience, services: Services, clock: Clock, held: AsyncExitStack
) -> _Answered:
    """Carry the request out, unless it came before."""
    while True:
        try:
            if (earlier := await _replayed(sender, services)) is not None:
                return await _outcome(earlier, patience, services, clock)
            return await _carried_out(received, sender, patience, services, clock, held)
        except UnknownJobError:
            if sender.repeatable is None:
                raise
            # the same call was here at the same moment, read the data, was refused, and left nothing to be joined


async def _carried_out(
    received: Received, sender: Sender, patience: _Patience, services: Services, clock: Clock, held: AsyncExitStack
) -> _Answered:
    """Record the job, read its data while the caller waits, and wait for its end."""
    token = new_token() if patience.any else ""
    try:
        with anyio.CancelScope(shield=True):  # what has come whole becomes a job, also where its sender has left
            record = await in_thread(lambda: services.intake.accept(received.submission, sender, received.scan, token))
    except QueueUnavailableError as error:
        why = error
        return await services.compute(
            lambda: _unrecorded(received, sender, patience, services, clock, why), sender.origin.owner
        )
    reader = services.reader
    assert reader is not None  # what records jobs reads them
    if not token or record.reader != token:
        reader.wake()
        return await _outcome(record, patience, services, clock)
    own = Clock()  # the caller's is read when the caller is answered, and the reading may go on then
    reading = asyncio.ensure_future(_read(record, token, received, services, own, held.pop_all()))
    try:
        await _or_leaving(reading, services, patience.left)
    finally:  # the caller may have gone
        if not reading.done():
            reading.add_done_callback(lambda task: _told_too_late(task, record.job_id, token, reader, services))
    if not reading.done():
        return await _outcome(record, patience, services, clock)
    clock.ms.update(own.ms)
    try:
        read = reading.result()
    except QueueUnavailableError as error:
        why = error
        return await services.compute(
            lambda: _unrecorded(received, sender, patience, services, clock, why), sender.origin.owner
        )
    except Exception as error:
        told = reason(error, services.settings.data_roots)
        with suppress(QueueUnavailableError), anyio.CancelScope(shield=True):  # else who reads it next says the same
            await in_thread(lambda: services.intake.discard(record.job_id, token, told))
        raise
    return await _outcome(read, patience, services, clock)


async def _read(
    record: JobRecord, token: str, received: Received, services: Services, clock: Clock, held: AsyncExitStack
) -> JobRecord:
    """Read the data; the request's share of the memory is held until that is done, whoever waits."""
    reader = services.reader
    assert reader is not None
    with reader.reading(token):
        async with held:
            read = await services.compute(
                lambda: reader.read(record.job_id, token, clock, received.share, received.scan), record.owner
            )
            received.scan = None  # whoever waits for a worker holds no memory any more
            return read


def _told_too_late(
    reading: "asyncio.Future[JobRecord]", job_id: str, token: str, reader: Reader, services: Services
) -> None:
    """The caller has its 202: what goes wrong with the data becomes the job's reason."""
    error = None if reading.cancelled() else reading.exception()
    if error is not None:
        services.in_background(lambda: reader.give_up(job_id, token, error))


def _unrecorded(
    received: Received,
    sender: Sender,
    patience: _Patience,
    services: Services,
    clock: Clock,
    why: QueueUnavailableError,
) -> _Answered:
    """The network's prediction, where there is nowhere to keep a job and the caller waits.
    Raises QueueUnavailableError.
    """
    if received.submission.ptychography is not None:
        raise why
    options = received.submission.options.imaging()
    asked = options.recipe()
    a_job = received.submission.options.webhook is not None or (asked is not None and not patience.any)
    if not options.asks_network or options.start == "random" or a_job:
        raise why  # who does not wait, or is to be told of the end, wants a job, not a guess
    network = services.networks.get(options.model, sender.origin.owner, received.line.when_left)
    with clock("decode"):
        scan = data_of(received, services)
    prepared, report = begin(scan, options, network, clock)
    unrefined = replace(report, recipe=replace(report.recipe, refine=NO_REFINEMENT))
    result = judge(prepared, unrefined, prepared.guess, clock)
    reason = (
        f"{why}; not recorded"
        if asked is None
        else f"{why}; this is the network's prediction, not refined and not recorded"
    )
    document = replace(new_document(received.submission, Origin()), reason=reason, recorded=False)
    audit.note("submit", recorded=False)
    return _Answered(document.succeeded(result.report), result)


def data_of(received: Received, services: Services) -> RawScan:
    """The measurement: what was sent, or the file that was named. Raises as `service.intake.sources.load`."""
    submission, settings = received.submission, services.settings
    source = submission.source
    if isinstance(source, Upload):
        assert isinstance(received.scan, RawScan)
        return received.scan
    assert isinstance(source, FileSource)
    limits = Limits(settings.bounds.array_bytes, submission.readable(settings.data_roots))
    return load(source, submission.options.domain, limits, services.sandbox, received.share)


async def _outcome(record: JobRecord, patience: _Patience, services: Services, clock: Clock) -> _Answered:
    """The job as it is when it has ended or the time is up. Raises UnknownJobError where it was discarded meanwhile."""
    if not record.state.final and patience.left and (waited := await _waited(record.job_id, patience.left, services)):
        record = waited
    if record.state in (JobState.ACCEPTED, JobState.READING):
        with suppress(QueueUnavailableError):  # then nobody can discard it either
            await in_thread(lambda: services.intake.promise(record.job_id))
    now = current(record)
    if now.reused_from is None and now.report is not None:
        clock.ms.update(now.report.timings_ms)
    return _Answered(now, result=record.result)


async def _waited(job_id: str, patience: float, services: Services) -> JobRecord | None:
    """The record when the job has ended, the time is up or the service leaves; None where Redis is away."""
    assert services.records is not None
    waiting = asyncio.ensure_future(services.records.wait(job_id, patience))
    try:
        await _or_leaving(waiting, services)
        if waiting.done():
            return waiting.result()
        records = services.records
        return await in_thread(lambda: records.get(job_id))
    except QueueUnavailableError:
        return None
    finally:
        with anyio.CancelScope(shield=True):  # the caller may be gone: what was begun is ended all the same
            await end(waiting)


async def _or_leaving(task: asyncio.Future[JobRecord], services: Services, seconds: float | None = None) -> None:
    """Returns when the task is done, the time is up or the service leaves."""
    leaving = asyncio.ensure_future(services.draining.wait())
    either: set[asyncio.Future[Any]] = {task, leaving}
    try:
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        with anyio.CancelScope(shield=True):
            await end(leaving)


async def _response(request: Request, asked: Form, answered: _Answered, services: Services) -> Response:
    document = answered.document
    headers = {"Location": f"/v1/jobs/{document.id}"} if document.recorded else {}
    if not document.state.final:
        return Response(document.to_json(), 202, headers, "application/json")
    form = asked or accepted(request) or "json"
    if form == "json":
        return Response(document.to_json(), 200, headers, "application/json")
    if document.state is not JobState.SUCCEEDED:
        raise ApiError(
            422, f"job {document.id} has no result, it is {document.state}: {document.reason}", headers=headers
        )
    name = f"inphase-{document.id}"
    if answered.result:
        return await stored(services, services.store.path(document.id, answered.result), form, name, headers)
    assert answered.unkept is not None
    arrays = answered.unkept.with_document(document.to_json().decode())
    return await unstored(services, arrays, form, name, headers)
