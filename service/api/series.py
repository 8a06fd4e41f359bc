"""POST, GET and DELETE /v1/series: many scans as one."""

import base64
import hashlib
from typing import Annotated, Final, Literal
from uuid import uuid4

import anyio.to_thread
from fastapi import Path as InPath
from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

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
from service.api.bodies.media import Uncoded
from service.api.bodies.stream import parse_body, read_json
from service.api.events import preview_of
from service.api.jobs import Why
from service.api.routing import Router
from service.api.schema import request_body
from service.errors import ApiError
from service.identity.keys import Caller, Submits, TheCaller
from service.intake.options import JobOptions
from service.intake.sources import CommonReading, FileSource, expand
from service.intake.submission import Sender
from service.jobs.entry import Repeatable
from service.jobs.errors import QueueUnavailableError, StoreError, UnknownJobError, UnknownSeriesError
from service.jobs.series import SeriesRecord, SeriesRecords
from service.jobs.state import JobState, Priority
from service.lifecycle import Services
from service.series.document import SeriesDocument, SeriesOrder, SeriesSummary, Title
from service.series.page import series_page

router = Router(prefix="/v1/series", tags=["series"])

SeriesId = Annotated[
    str, InPath(pattern=r"^[0-9a-f]{32}$", description="The id of a series has 32 hexadecimal digits.")
]
_PICTURES = 300  # on one page


class SeriesCall(JobOptions):
    """The JSON body: scans, what belongs to each of them, and how to reconstruct them. `wait` does not count here."""

    scans: Annotated[
        list[str | FileSource],
        Field(
            min_length=1,
            max_length=10_000,
            description="Each is a file, a folder of frames, a folder of scans or a pattern (scans/*.h5) below a data "
            "root.",
        ),
    ]
    name: Title = ""
    reading: Annotated[CommonReading, Field(description="Scans that are named by their path alone are read so.")] = (
        CommonReading()
    )
    priority: Priority = Priority.LOW


class SeriesList(BaseModel):
    """Series, newest first; `cursor` asks for the next ones and is null on the last page."""

    series: list[SeriesSummary]
    cursor: str | None


def kept(services: Services) -> SeriesRecords:
    """The series. Raises QueueUnavailableError where the service runs without a queue."""
    if services.series is None:
        raise QueueUnavailableError("this service runs without a queue: it keeps no series")
    return services.series


async def _own(series_id: str, services: Services, caller: Caller) -> SeriesRecord:
    """The record; a series of others does not exist."""
    record = await in_thread(lambda: kept(services).get(series_id))
    if not caller.sees(record.owner, record.origin.proposal):
        raise UnknownSeriesError(f"there is no series {series_id}: the id is wrong, or the series has expired")
    return record


_BODY: Final = request_body(
    SeriesCall, {"scans": ["hc5001/scan_*.h5"], "refine": "standard", "name": "heating, particle 3"}
)


@router.post(
    "",
    status_code=202,
    operation_id="create_series",
    summary="Reconstruct many scans",
    dependencies=[Submits, Staying, Uncoded],
    openapi_extra=_BODY,
    responses={202: {"model": SeriesDocument}},
)
async def submit(
    request: Request,
    response: Response,
    services: TheServices,
    caller: TheCaller,
    origin: TheOrigin,
    idempotency_key: IdempotencyKey = None,
) -> SeriesDocument:
    """One job for each scan, of low priority unless asked otherwise; results in the frame of the first good one."""
    with services.budget.share(caller.owner) as share:
        body = await read_json(request, services.settings.bounds, share)
    call = parse_body(SeriesCall, body)
    await check_options(call, services)

    def accept() -> SeriesDocument:
        settings = services.settings
        roots = settings.data_roots if caller.roots is None else caller.roots
        sources = expand(call.scans, call.reading, roots, settings.bounds.series_scans)
        services.intake.check_room(call.priority, len(sources))
        services.intake.check_quota(Sender(origin, waiting_jobs=caller.waiting_jobs), len(sources))
        order = SeriesOrder(
            sources=sources, roots=caller.roots, **call.model_dump(include=set(JobOptions.model_fields))
        )
        repeatable = (
            Repeatable(f"series:{idempotency_key}", hashlib.sha256(b"series" + body).hexdigest())
            if idempotency_key
            else None
        )
        record = kept(services).create(
            uuid4().hex, order.model_dump_json(by_alias=True).encode(), len(sources), origin, repeatable
        )
        services.intake.accept_scans(record.series_id, order.submissions(), origin)
        audit.note("submit", series=record.series_id, scans=len(sources))
        return SeriesDocument.read(kept(services).get(record.series_id), records(services))

    document = await in_thread(accept)
    if services.reader is not None:
        services.reader.wake()
    response.headers["Location"] = document.link
    return document


@router.get("", operation_id="list_series", summary="List series")
async def index(
    services: TheServices,
    caller: TheCaller,
    cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> SeriesList:
    """Series, newest first: those of the caller and of the key's proposal, with an admin's key everybody's."""
    found, more = await in_thread(lambda: kept(services).page(caller.party, cursor, limit))
    return SeriesList(series=[SeriesSummary.of(record) for record in found], cursor=more)


@router.get(
    "/{series_id}",
    operation_id="get_series",
    summary="One series",
    response_model=SeriesDocument,
    responses={200: {"content": {"text/csv": {}, "text/html": {}}}},
)
async def one(
    series_id: SeriesId,
    services: TheServices,
    caller: TheCaller,
    form: Annotated[Literal["json", "csv", "html"], Query(alias="format")] = "json",
) -> Response:
    """Every scan with its state, figures and links. csv: the table.
    html: one page with pictures, complete in itself.
    """
    record = await _own(series_id, services, caller)
    document = await in_thread(lambda: SeriesDocument.read(record, records(services)))
    if form == "csv":
        name = f'attachment; filename="inphase-series-{record.series_id}.csv"'
        return Response(document.to_csv(), media_type="text/csv", headers={"Content-Disposition": name})
    if form == "html":
        page = await anyio.to_thread.run_sync(lambda: series_page(document, _pictures(document, services)))
        return Response(page, media_type="text/html")
    return Response(document.model_dump_json(), media_type="application/json")


@router.delete(
    "/{series_id}",
    operation_id="cancel_series",
    summary="Cancel a series",
    dependencies=[Submits],
    responses={202: {"model": SeriesDocument}},
)
async def cancel(
    series_id: SeriesId, services: TheServices, caller: TheCaller, response: Response, reason: Why = ""
) -> SeriesDocument:
    """Cancel what has not ended: 200 when nothing runs any more, 202 while workers are told,
    409 where all had ended.
    """
    record = await _own(series_id, services, caller)

    def ask() -> SeriesDocument:
        jobs = records(services)
        before = SeriesDocument.read(record, jobs)
        if before.done and not before.cancelled:
            raise ApiError(409, f"series {record.series_id} has ended already: there is nothing to cancel")
        kept(services).cancel(record.series_id, caller.owner)
        now = kept(services).get(record.series_id)
        for job_id in now.jobs.values():
            try:
                jobs.request_cancel(job_id, reason.strip(), caller.owner)
            except UnknownJobError:
                continue
        return SeriesDocument.read(now, jobs)

    document = await in_thread(ask)
    audit.note("cancel", series=record.series_id, of=record.owner, reason=reason.strip() or None)
    response.status_code = 200 if document.done else 202
    return document


def _pictures(document: SeriesDocument, services: Services) -> dict[str, str]:
    """job -> picture as a data URL, of the scans that have one."""
    found: dict[str, str] = {}
    for scan in document.scans:
        if scan.job is None or len(found) == _PICTURES:
            continue
        try:
            record = records(services).get(scan.job)
            picture = (
                preview_of(services, scan.job, record.result)
                if record.state is JobState.SUCCEEDED
                else services.store.preview(scan.job, record.attempt)
            )
        except (UnknownJobError, StoreError):
            continue  # expired, or damaged: the line is there without it
        if picture is not None:
            found[scan.job] = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return found
