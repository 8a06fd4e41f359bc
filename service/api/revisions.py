"""The revisions of a job's result: the network's image as soon as there is one, then the refined ones, ever finer."""

from dataclasses import replace
from typing import Annotated

from fastapi import Query

from inphase.imaging.clock import Clock
from inphase.imaging.options import NO_REFINEMENT
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.way import judge
from service.api.access import in_thread, records
from service.document import JobDocument
from service.errors import ApiError
from service.intake.acceptance import INPUT
from service.jobs.entry import JobRecord, Revision
from service.jobs.errors import StoreError
from service.jobs.housekeeping import make_room
from service.jobs.state import JobState
from service.lifecycle import Services

RevisionNumber = Annotated[
    int | None, Query(ge=1, le=10**6, description="The result has this revision; by default it is the newest one.")
]


async def revision_of(services: Services, job_id: str, number: int | None) -> tuple[JobRecord, Revision]:
    """The record of a job and a revision of its result, the newest where none is named.

    Raises ApiError 409 where there is none yet, or the job has failed or was cancelled and no revision is named; 404
    where there is no such revision.
    """
    record = await in_thread(lambda: records(services).get(job_id))
    if number is not None:
        found = next((revision for revision in record.revisions if revision.number == number), None)
        if found is None:
            there = ", ".join(str(revision.number) for revision in record.revisions) or "none yet"
            raise ApiError(404, f"job {job_id} has no revision {number}: it has {there}")
        return record, found
    if record.revisions and (record.state is JobState.SUCCEEDED or not record.state.final):
        return record, record.revisions[-1]
    why = f": {record.reason}" if record.reason else ""
    hint = "" if record.state.final else f"; ask /v1/jobs/{job_id} until it has succeeded"
    raise ApiError(409, f"job {job_id} has no result, it is {record.state}{why}{hint}")


async def pattern_of(services: Services, job_id: str, number: int | None) -> tuple[JobRecord, Revision]:
    """The same of a job that reconstructs a pattern. Raises ApiError 422 for one of a ptychographic scan."""
    record, revision = await revision_of(services, job_id, number)
    if JobDocument.from_json(record.document).ptychography is not None:
        raise ApiError(
            422, f"job {job_id} is the image of a ptychographic scan: this is made of the images of patterns alone"
        )
    return record, revision


async def materialised(services: Services, record: JobRecord, revision: Revision) -> None:
    """Put the network's image of a job that a worker refines into the store, where nobody has asked for it before.

    It follows from what the worker reads: so a job whose first revision nobody looks at pays nothing for it.
    """
    store, job_id = services.store, record.job_id
    if revision.kind != "network" or revision.final or store.has(job_id, revision.result):
        return

    def make() -> None:
        arrays = store.read(job_id, INPUT)
        document = JobDocument.from_json(str(arrays["document"]).encode())
        report, clock = document.reported, Clock()
        clock.ms |= report.timings_ms
        prepared = PreparedPattern.from_arrays(arrays, report)
        unrefined = replace(report, recipe=replace(report.recipe, refine=NO_REFINEMENT))
        result = judge(prepared, unrefined, prepared.guess, clock)
        told = replace(document, report=result.report).to_json().decode()
        stored = result.with_document(told)
        make_room(services.records, services.series, store, sum(array.nbytes for array in stored.values()))
        if not store.has(job_id, INPUT):
            raise StoreError(f"the result of job {job_id} has expired")  # it was the oldest that had ended
        store.write(job_id, revision.result, stored, durable=False)

    await services.compute(make)


def told(revision: Revision) -> dict[str, str]:
    """The headers that say which revision an answer is of, and whether a better one follows."""
    return {"Inphase-Revision": str(revision.number), "Inphase-Final": "true" if revision.final else "false"}
