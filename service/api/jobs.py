"""GET and DELETE /v1/jobs: what became of a reconstruction."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Response
from pydantic import BaseModel

from service import audit
from service.api.access import JobId, TheServices, cancelled_by, current, in_thread, progress_of, records
from service.api.routing import Router
from service.api.schema import JOB
from service.document import JobDocument, JobProgress
from service.errors import ApiError
from service.identity.keys import Submits, TheCaller
from service.jobs.entry import JobRecord
from service.jobs.listing import Filter
from service.jobs.state import JobState, Priority

listing = Router(prefix="/v1/jobs", tags=["jobs"])
router = Router(prefix="/v1/jobs", tags=["jobs"])

Why = Annotated[
    str,
    Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="Why: it becomes part of the job's reason."),
]
Level = Literal["high", "medium", "low"]


class JobSummary(BaseModel):
    """One line of the list. chi2, r_factor, support_voxels, trust, probability: null until the job has succeeded.
    A ptychographic scan has r_factor alone.
    """

    id: str
    name: str
    state: JobState
    reason: str
    owner: str
    proposal: str
    cancelled_by: str
    priority: Priority
    series: str | None
    model: str | None
    recipe: str | None
    source: str | None
    chi2: float | None
    r_factor: float | None
    support_voxels: int | None
    trust: Level | None
    probability: float | None = None  # of being right
    created: float
    started: float | None
    finished: float | None
    progress: JobProgress | None
    revisions: int
    link: str

    @classmethod
    def of(cls, record: JobRecord) -> "JobSummary":
        """The line of a record; what its document does not have, whatever wrote it, is null."""
        document = _document(record)
        final = _part(_part(document, "metrics"), "final")
        return cls(
            id=record.job_id,
            name=document.get("name", ""),
            state=record.state,
            reason=record.reason,
            owner=record.owner,
            proposal=record.proposal,
            cancelled_by=cancelled_by(record),
            priority=record.priority,
            series=record.series or None,
            model=_model(document),
            recipe=_part(document, "recipe").get("refine") or _recipe_of_scan(document),
            source=_part(document, "input").get("source")
            or _part(document, "ptychography").get("source")
            or _named(record),
            chi2=final.get("chi2"),
            r_factor=final.get("r_factor") or _part(_part(document, "ptychography"), "report").get("r_factor"),
            support_voxels=final.get("support_voxels"),
            trust=_part(document, "trust").get("level"),
            probability=_part(document, "trust").get("probability"),
            created=record.created,
            started=record.started,
            finished=record.finished,
            progress=progress_of(record),
            revisions=len(record.revisions),
            link=f"/v1/jobs/{record.job_id}",
        )


class JobList(BaseModel):
    """Jobs, newest first; `cursor` asks for the next ones and is null on the last page. A page may be short."""

    jobs: list[JobSummary]
    cursor: str | None


def _document(record: JobRecord) -> dict[str, Any]:
    try:
        found = json.loads(record.document)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _named(record: JobRecord) -> str | None:
    """The file of a job whose data have not been read, or could not be; None for what was sent."""
    asked = json.loads(record.asked) if record.asked else {}
    return _part(asked, "source").get("path")


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _recipe_of_scan(document: dict[str, Any]) -> str | None:
    found: str | None = _part(_part(document, "ptychography"), "options").get("recipe")
    return found


def _model(document: dict[str, Any]) -> str | None:
    part = _part(document, "model")
    if "name" in part and "version" in part:
        return f"{part['name']}@{part['version']}"
    found: str | None = _part(document, "ptychography").get("model")
    return found


@listing.get("", operation_id="list_jobs", summary="List jobs")
async def index(
    services: TheServices,
    caller: TheCaller,
    state: JobState | None = None,
    series: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
    owner: Annotated[
        str | None,
        Query(
            max_length=64,
            description="Only jobs of this owner are listed; those of others need a key of their proposal, or an "
            "admin's.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        Query(max_length=100, description="Only jobs of this network are listed, given as name or name@version."),
    ] = None,
    trust: Level | None = None,
    since: Annotated[
        datetime | None,
        Query(description="Only jobs created at this time or later are listed; it is UTC unless an offset is given."),
    ] = None,
    until: Annotated[
        datetime | None, Query(description="Only jobs created at this time or earlier are listed.")
    ] = None,
    cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobList:
    """Jobs, newest first: those of the caller and of the key's proposal, with an admin's key everybody's."""

    def accepts(record: JobRecord) -> bool:
        if model is None and trust is None:
            return True
        document = _document(record)
        named = _model(document) or ""
        return (model is None or model in (named, named.partition("@")[0])) and (
            trust is None or _part(document, "trust").get("level") == trust
        )

    if owner is not None and not caller.sees(owner) and not caller.proposal:
        raise ApiError(403, f"this key lists the jobs of {caller.owner} only")
    wanted = Filter(
        state=state,
        party=caller.party,
        owner=owner,
        series=series,
        since=_seconds(since) if since else 0.0,
        until=_seconds(until) if until else float("inf"),
        accepts=accepts,
    )

    def read() -> JobList:
        page = records(services).page(wanted, cursor=cursor, limit=limit)
        return JobList(jobs=[JobSummary.of(record) for record in page.records], cursor=page.cursor)

    return await in_thread(read)


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@router.get("/{job_id}", operation_id="get_job", summary="One job", response_model=JOB)
async def one(job_id: JobId, services: TheServices) -> Response:
    """The job document as it stands."""

    def read() -> JobDocument:
        kept = records(services)
        record = kept.get(job_id)
        return current(record, kept.position(job_id) if record.state is JobState.QUEUED else None)

    return _answer(await in_thread(read), 200)


@router.delete(
    "/{job_id}",
    operation_id="cancel_job",
    summary="Cancel a job",
    response_model=JOB,
    responses={202: {"model": JOB}, 409: {"description": "The job has succeeded or failed already."}},
    dependencies=[Submits],
)
async def cancel(job_id: JobId, services: TheServices, caller: TheCaller, reason: Why = "") -> Response:
    """Cancel: 200 when it is cancelled (also where it was before), 202 while its worker is told,
    409 where it has ended.
    """

    def ask() -> JobDocument:
        kept = records(services)
        kept.request_cancel(job_id, reason.strip(), caller.owner)
        return current(kept.get(job_id))

    document = await in_thread(ask)
    audit.note("cancel", job=job_id, of=document.owner, reason=reason.strip() or None, state=document.state)
    if document.state in (JobState.SUCCEEDED, JobState.FAILED):
        raise ApiError(409, f"job {job_id} has {document.state} already: there is nothing to cancel")
    return _answer(document, 200 if document.state.final else 202)


def _answer(document: JobDocument, status: int) -> Response:
    return Response(document.to_json(), status, media_type="application/json")
