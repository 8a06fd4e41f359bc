"""POST /v1/reconstructions: one pattern in, its image out, in the same call where `wait` allows."""

import asyncio
import hashlib
import json
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import anyio
from fastapi import Query, Request, Response
from pydantic import Field

from inphase.formats import Limits, RawScan, Reading
from inphase.formats.maps import map_arrays
from inphase.formats.masks import with_boxes
from inphase.formats.scan import geometry_arrays
from inphase.imaging.clock import Clock
from inphase.imaging.options import NO_REFINEMENT
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.way import begin, judge
from inphase.pattern import digest
from service import audit
from service.api.access import (
    IdempotencyKey,
    Staying,
    TheClock,
    TheOrigin,
    TheServices,
    check_options,
    current,
    end,
    in_thread,
    line,
)
from service.api.bodies import (
    FILES,
    JSON,
    NPY,
    OCTETS,
    Uncoded,
    media_type,
    octet_layout,
    parse_body,
    read_json,
    receive_array,
    receive_file,
)
from service.api.download import MEDIA, ResultFormat, accepted, stored, unstored
from service.api.presence import Line
from service.api.routing import Router
from service.api.schema import JOB
from service.document import JobDocument
from service.door.budget import Share
from service.errors import ApiError
from service.identity.keys import Submits, TheCaller
from service.intake.acceptance import new_document
from service.intake.options import JobOptions, ReadingOptions
from service.intake.reader import Reader, new_token, reason
from service.intake.sources import FileSource, load
from service.intake.submission import Sender, Submission, Upload
from service.jobs.entry import JobRecord, Origin, Repeatable
from service.jobs.errors import QueueUnavailableError, UnknownJobError
from service.jobs.state import JobState
from service.lifecycle import Services

router = Router(prefix="/v1/reconstructions", tags=["reconstructions"])


class Call(JobOptions, ReadingOptions):
    """The query: options, how a file is read, how octets are an array, and what to answer."""

    dtype: Annotated[
        str | None,
        Field(
            max_length=40,
            description="The numbers of an octet body have this type, little endian: uint16, float32, ...",
        ),
    ] = None
    shape: Annotated[
        str | None, Field(max_length=100, description="An octet body has this shape in C order, such as 201,256,256.")
    ] = None
    format: Annotated[
        Literal["json"] | ResultFormat | None,
        Field(description="The answer is the job document (json), or the result itself in this format."),
    ] = None


class FileCall(JobOptions):
    """The JSON body."""

    source: FileSource


BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": FileCall.model_json_schema(ref_template="#/components/schemas/{model}"),
                "example": {"source": {"kind": "file", "path": "scan_0054/"}, "refine": "fast"},
            },
            **{media: {"schema": {"type": "string", "format": "binary"}} for media in (NPY, OCTETS, *FILES)},
        },
    }
}
BODY["requestBody"]["content"][JSON]["schema"].pop("$defs", None)


@dataclass
class Received:
    """A request whose body has come. share: holds its memory. line: to who sent it.

    scan: what was sent, until it has been read; None where a file is named.
    """

    submission: Submission
    share: Share
    line: Line
    scan: RawScan | None = None
    body: bytes = b""

    def digest(self) -> str:
        """Of everything that was sent."""
        return hashlib.sha256(self.body).hexdigest() if self.scan is None else _digest_of_all(self.scan)


@dataclass(frozen=True)
class _Answered:
    """A job that is over, or accepted: its document as it stands, and the result where it is not in the store."""

    document: JobDocument
    unkept: Reconstruction | None = None
    result: str = ""


@router.post(
    "",
    operation_id="create_reconstruction",
    summary="Reconstruct a pattern",
    response_model=JOB,
    responses={
        200: {
            "content": {media: {} for media in MEDIA.values()},
            "description": "The job is done. The body is its document, or with format= (or Accept) the result itself.",
        },
        202: {"model": JOB, "description": "The job is accepted, but was not finished within `wait`; ask at Location."},
    },
    openapi_extra=BODY,
    dependencies=[Submits, Staying, Uncoded],
)
async def reconstruct(
    request: Request,
    services: TheServices,
    clock: TheClock,
    caller: TheCaller,
    origin: TheOrigin,
    call: Annotated[Call, Query()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Clean, predict, refine. Send a file's path as JSON, the file itself (HDF5, CXI, MATLAB, TIFF, npz), or the array
    as npy or octets.

    Data that cannot be used are answered with 422 while the call waits; with `wait=0` the job fails with the reason.
    """
    async with AsyncExitStack() as held:
        share = held.enter_context(services.budget.share(caller.owner))
        received = await receive(request, call, services, clock, caller.roots, share)
        patience = _Patience(_seconds(request, received.submission.options, services))
        sender = Sender(origin, waiting_jobs=caller.waiting_jobs)
        if idempotency_key is not None:
            sender = replace(sender, repeatable=await _repeatable(idempotency_key, request, received, services))
        answered = await _answered(received, sender, patience, services, clock, held)
    return await _response(request, call, answered, services)


_TAKEN: Final = (
    f"send {JSON} with the path of a file (HDF5, npy, npz, TIFF, MATLAB) below a data root, the file as it is as "
    f"{', '.join(FILES)} or {NPY}, or {OCTETS} with ?dtype= and ?shape="
)


async def receive(
    request: Request, call: Call, services: Services, clock: Clock, roots: tuple[Path, ...] | None, share: Share
) -> Received:
    """The body, and what is asked. Whatever can be refused before the data come is refused before."""
    settings = services.settings
    kind = media_type(request)
    if kind == JSON:
        with clock("receive"):
            body = await read_json(request, settings.bounds, share)
        asked = _parsed(body, call)
        await check_options(asked, services)
        submission = Submission(
            options=_options(asked), source=asked.source, receive_ms=clock.ms["receive"], roots=roots
        )
        return Received(submission, share, line(request), body=body)
    if kind not in (NPY, OCTETS, *FILES):
        raise ApiError(415, f"a body of type {kind or 'none'!r} is not taken here: {_TAKEN}")
    await check_options(call, services)
    told = call.told()
    of_files = [name for name in told if name != "masked"]
    if of_files and kind not in FILES:
        raise ApiError(422, f"{', '.join(of_files)}: say how a file is read, and a body of {kind} is an array alone")
    layout = octet_layout(call.dtype, call.shape, settings.bounds) if kind == OCTETS else None
    with clock("receive"):
        if kind in FILES:
            below = settings.data_roots if roots is None else roots
            scan = await receive_file(request, Reading(**told), call.domain, below, services, share)
        else:
            scan = await receive_array(request, layout, settings.bounds, share)
            if (boxes := call.masked) is not None:
                array = scan
                scan = await services.compute(lambda: with_boxes(array, boxes))
    submission = Submission(options=_options(call), source=Upload(), receive_ms=clock.ms["receive"])
    return Received(submission, share, line(request), scan)


def _options(asked: JobOptions) -> JobOptions:
    return JobOptions(**{name: getattr(asked, name) for name in JobOptions.model_fields})


def _digest_of_all(raw: RawScan) -> str:
    """Of array, mask, geometry, saturation and detector maps:
    the same counts under another mask are another request.
    """
    sha = hashlib.sha256(f"{digest(raw.array)}{raw.saturation.level if raw.saturation else ''}".encode())
    arrays = (
        geometry_arrays(raw.geometry) | map_arrays(raw.corrections) | ({} if raw.mask is None else {"mask": raw.mask})
    )
    for name, array in arrays.items():
        sha.update(f"{name}{digest(array)}".encode())
    return sha.hexdigest()


def _parsed(body: bytes, call: Call) -> FileCall:
    """The JSON body with the query's options over it. Raises RequestValidationError."""
    asked = parse_body(FileCall, body)
    over = call.model_dump(exclude_unset=True, exclude={"dtype", "shape", "format", *ReadingOptions.model_fields})
    return asked.model_copy(update={**over, "source": replace(asked.source, **call.told())})


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
        reader.wake.set()
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
        assert received.scan is not None
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
    assert answered.unkept is not None
    arrays = answered.unkept.with_document(document.to_json().decode())
    return await unstored(services, arrays, form, name, headers)
