"""A live scan as a document: what was asked, what has come, what it says, and the looks at it."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from inphase.live.advice import Advice, Seen, advise, ranges
from service.intake.options import JobOptions
from service.jobs.record import JobRecord, Records
from service.jobs.scans import LookJob, ScanRecord, StoredFrame
from service.jobs.state import JobState, Priority, ScanState

Name = Annotated[str, Field(max_length=200, description="People know the scan by this name.")]
_POINTS: Final = 1000  # of a curve in a document


class ScanOptions(JobOptions):
    """What is asked of a live scan. `wait` does not count here."""

    kind: Annotated[
        Literal["rocking"],
        Field(description="Frames are those of a rocking curve, and a frame's place is its step on the rocking axis."),
    ] = "rocking"
    frames: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="The finished curve has so many frames; without it the end is open."),
    ] = None
    name: Name = ""
    priority: Priority = Priority.HIGH


class ScanOrder(ScanOptions):
    """What was asked, as it is stored. shape: rows and columns. dtype: of the frames."""

    shape: tuple[int, int]
    dtype: str


class OutsidePart(BaseModel):
    """Frames whose place is none of the scan. reason: of the last of them."""

    count: int
    reason: str


class FrameCounts(BaseModel):
    """What has come. expected: null for an open end. missing: of the places between the first and the last that came;
    missing_places names them for people.
    """

    expected: int | None
    received: int
    duplicate: int
    missing: int
    missing_places: str
    out_of_range: OutsidePart


class LookPart(BaseModel):
    """One look, a job of its own. similarity: amplitude correlation with the look before.
    oversampling: voxels per fringe, as measured so far.
    """

    model_config = ConfigDict(extra="forbid")

    number: int
    job: str
    state: JobState
    reason: str = ""
    final: bool = False
    frames: int
    similarity: float | None = None
    oversampling: tuple[float, ...] | None = None
    start: str | None = None
    chi2: float | None = None
    free_llk: float | None = None
    trust: Literal["high", "medium", "low"] | None = None
    links: dict[str, str] = Field(default_factory=dict)


class ScanSummary(BaseModel):
    """One line of the list. ended_by: who finished or aborted it. look: the job of the newest look."""

    id: str
    kind: Literal["rocking"]
    name: str
    owner: str
    proposal: str
    created: str
    state: ScanState
    reason: str
    ended_by: str
    received: int
    look: str | None
    link: str

    @classmethod
    def of(cls, record: ScanRecord) -> "ScanSummary":
        """The line of a record."""
        order = ScanOrder.model_validate_json(record.order)
        return cls(
            id=record.scan_id,
            kind=order.kind,
            name=order.name,
            owner=record.owner,
            proposal=record.origin.proposal,
            created=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            state=record.state,
            reason=record.reason,
            ended_by=record.ended_by,
            received=record.counted.received,
            look=None if record.newest is None else record.newest.job_id,
            link=f"/v1/scans/{record.scan_id}",
        )


class ScanDocument(ScanSummary):
    """A live scan as it stands. looks: newest first. final: the job of the finished curve.
    curve: place and counts of the frames that have come, in order; of many, the brightest of neighbours.
    """

    frames: FrameCounts
    curve: list[tuple[int, float]]
    advice: Advice
    shape: tuple[int, int]
    dtype: str
    refine: str | None
    model: str | None
    final: str | None
    looks: list[LookPart]
    links: dict[str, str]

    @classmethod
    def read(cls, record: ScanRecord, frames: Mapping[int, StoredFrame], records: Records) -> "ScanDocument":
        """A scan as it stands."""
        order = ScanOrder.model_validate_json(record.order)
        looks = looks_of(record, records)
        advice = advice_on(order, frames, looks)
        address = f"/v1/scans/{record.scan_id}"
        counted = record.counted
        return cls(
            **ScanSummary.of(record).model_dump(),
            frames=FrameCounts(
                expected=order.frames,
                received=counted.received,
                duplicate=counted.duplicate,
                missing=len(advice.missing),
                missing_places=ranges(advice.missing),
                out_of_range=OutsidePart(count=counted.outside, reason=counted.why_outside),
            ),
            curve=_thinned(sorted((frame.summary.place, frame.summary.counts) for frame in frames.values())),
            advice=advice,
            shape=order.shape,
            dtype=order.dtype,
            refine=order.refine,
            model=order.model,
            final=None if record.last is None else record.last.job_id,
            looks=looks[::-1],
            links={"self": address, "frames": f"{address}/frames", "events": f"{address}/events"},
        )


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most _POINTS of these."""
    every = math.ceil(len(curve) / _POINTS) or 1
    return [max(curve[at : at + every], key=lambda point: point[1]) for at in range(0, len(curve), every)]


def advice_on(order: ScanOrder, frames: Mapping[int, StoredFrame], looks: list[LookPart]) -> Advice:
    """Advice from what has come, and from the looks that have succeeded (in order)."""
    seen = [
        Seen(look.frames, look.similarity, look.oversampling)
        for look in looks
        if look.state is JobState.SUCCEEDED and look.oversampling is not None and not look.final
    ]
    return advise((frame.summary for frame in frames.values()), order.frames, order.shape, seen)


def looks_of(record: ScanRecord, records: Records) -> list[LookPart]:
    """The looks of a scan, in order."""
    asked = [(number, job, False) for number, job in record.looks.items()]
    if record.last is not None:
        asked.append((len(record.looks) + 1, record.last, True))
    jobs = {job.job_id: job for job in records.existing(job.job_id.encode() for _, job, _ in asked)}
    return [_look(number, job, final, jobs.get(job.job_id)) for number, job, final in asked]


def _look(number: int, look: LookJob, final: bool, job: JobRecord | None) -> LookPart:
    part = LookPart(number=number, job=look.job_id, state=JobState.FAILED, final=final, frames=look.frames)
    if job is None:
        return part.model_copy(update={"reason": "its job has expired"})
    address = f"/v1/jobs/{look.job_id}"
    links = {"self": address, "preview": f"{address}/preview", "result": f"{address}/result"}
    part = part.model_copy(update={"state": job.state, "reason": job.reason, "links": links})
    return part.model_copy(update=_found(job, look.frames))


def _found(job: JobRecord, frames: int) -> dict[str, Any]:
    """What the summary takes from the document of a look, as far as it is there."""
    try:
        document = json.loads(job.document)
    except ValueError:
        return {}
    told = document.get("look") or {}
    metrics = document.get("metrics") or {}
    final = metrics.get("final") or {}
    return {
        "frames": told.get("frames", frames),
        "similarity": told.get("similarity"),
        "start": (document.get("start") or {}).get("kind"),
        "chi2": final.get("chi2"),
        "free_llk": final.get("free_llk"),
        "trust": (document.get("trust") or {}).get("level"),
        "oversampling": tuple((document.get("oversampling") or {}).get("measured", ())) or None,
    }
