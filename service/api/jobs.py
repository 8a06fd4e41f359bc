"""GET and DELETE /v1/jobs: what became of a reconstruction."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from service.api.access import TheServices, current, in_thread, records
from service.api.results import JobId
from service.document import JobDocument
from service.errors import ApiError
from service.jobs.record import JobRecord
from service.jobs.state import JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


class JobSummary(BaseModel):
    """One line of the list."""

    id: str
    state: JobState
    reason: str
    created: float
    started: float | None
    finished: float | None
    link: str

    @classmethod
    def of(cls, record: JobRecord) -> "JobSummary":
        """The line of a record."""
        return cls(
            id=record.job_id,
            state=record.state,
            reason=record.reason,
            created=record.created,
            started=record.started,
            finished=record.finished,
            link=f"/v1/jobs/{record.job_id}",
        )


class JobList(BaseModel):
    """Jobs, newest first; `cursor` asks for the next ones and is null on the last page."""

    jobs: list[JobSummary]
    cursor: str | None


@router.get("", summary="List jobs")
async def index(
    services: TheServices,
    state: JobState | None = None,
    cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobList:
    """Jobs, newest first."""
    page = await in_thread(lambda: records(services).page(state=state, cursor=cursor, limit=limit))
    return JobList(jobs=[JobSummary.of(record) for record in page.records], cursor=page.cursor)


@router.get("/{job_id}", summary="One job", response_model=JobDocument)
async def one(job_id: JobId, services: TheServices) -> Response:
    """The job document as it stands."""

    def read() -> JobDocument:
        kept = records(services)
        record = kept.get(job_id)
        return current(record, kept.position(job_id) if record.state is JobState.QUEUED else None)

    return _answer(await in_thread(read), 200)


@router.delete("/{job_id}", summary="Cancel a job", response_model=JobDocument, responses={202: {"model": JobDocument}})
async def cancel(job_id: JobId, services: TheServices) -> Response:
    """Cancel: 200 when nothing runs any more (also where the job had ended before), 202 while its worker is told."""

    def ask() -> JobDocument:
        kept = records(services)
        kept.request_cancel(job_id)
        return current(kept.get(job_id))

    document = await in_thread(ask)
    if document.state is JobState.SUCCEEDED:
        raise ApiError(409, f"job {job_id} has succeeded already: there is nothing to cancel")
    return _answer(document, 200 if document.state.final else 202)


def _answer(document: JobDocument, status: int) -> Response:
    return Response(document.to_json(), status, media_type="application/json")
