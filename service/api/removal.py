"""DELETE /v1/jobs/{id}/record: a job that has ended is forgotten before it is old."""

from fastapi import Response

from service import audit
from service.api.access import JobId, TheServices, in_thread, records
from service.api.routing import Router
from service.errors import ApiError
from service.identity.keys import Submits
from service.jobs.housekeeping import forget

router = Router(prefix="/v1/jobs", tags=["jobs"])


@router.delete(
    "/{job_id}/record",
    operation_id="delete_job",
    summary="Delete a job",
    status_code=204,
    responses={409: {"description": "The job has not ended: cancel it first."}},
    dependencies=[Submits],
)
async def delete(job_id: JobId, services: TheServices) -> Response:
    """Delete a job that has ended, with its arrays. A result that another job has taken over stays with that one."""

    def remove() -> str:
        kept = records(services)
        record = kept.get(job_id)
        if not record.state.final:
            raise ApiError(409, f"job {job_id} is {record.state}: cancel it first")
        forget(kept, services.store, job_id)
        return record.owner

    audit.note("delete", job=job_id, of=await in_thread(remove))
    return Response(status_code=204)
