"""A live scan as a document: what was asked, what has come, and the looks at it; each kind adds what is its own."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from inphase.live.advice import ranges
from service.jobs.entry import JobRecord
from service.jobs.record import Records
from service.jobs.scans import LookJob, ScanRecord
from service.jobs.state import JobState, ScanState
from service.scans.order import KindName, ScanOrder, order_of


class OutsidePart(BaseModel):
    """What is none of the scan, or cannot be used. reason: of the last of it."""

    count: int
    reason: str


class FrameCounts(BaseModel):
    """What has come. expected: null for an open end. missing: of the places between the first and the last that came;
    missing_places names them for people. out_of_range: frames and positions that are none of the scan.
    """

    expected: int | None
    received: int
    duplicate: int
    missing: int
    missing_places: str
    out_of_range: OutsidePart

    @classmethod
    def of(cls, record: ScanRecord, order: ScanOrder, missing: tuple[int, ...]) -> Self:
        """Of a scan."""
        counted = record.counted
        return cls(
            expected=order.frames,
            received=counted.received,
            duplicate=counted.duplicate,
            missing=len(missing),
            missing_places=ranges(missing),
            out_of_range=OutsidePart(count=counted.outside, reason=counted.why_outside),
        )


class LookPart(BaseModel):
    """One look, a job of its own. similarity: to the look before. oversampling: voxels per fringe, as measured so far;
    r_factor, r_held_out, size: of a ptychographic image. note: why that does not begin from the network of the scan.
    pending: frames that are left to the next look. asked: frames that could be imaged when it was asked for; frames:
    that it shows.
    """

    model_config = ConfigDict(extra="forbid")

    number: int
    job: str
    state: JobState
    reason: str = ""
    final: bool = False
    frames: int
    asked: int
    similarity: float | None = None
    oversampling: tuple[float, ...] | None = None
    start: str | None = None
    chi2: float | None = None
    free_llk: float | None = None
    trust: Literal["high", "medium", "low"] | None = None
    r_factor: float | None = None
    r_held_out: float | None = None
    size: tuple[int, int] | None = None
    note: str = ""
    pending: int = 0
    links: dict[str, str] = Field(default_factory=dict)


class ScanSummary(BaseModel):
    """One line of the list. ended_by: who finished or aborted it. look: the job of the newest look."""

    id: str
    kind: KindName
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
        order = order_of(record.order)
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
    """A live scan as it stands. looks: newest first. final: the job of the finished scan. words: what it says, for
    people.
    """

    frames: FrameCounts
    words: tuple[str, ...]
    shape: tuple[int, int]
    dtype: str
    refine: str | None
    final: str | None
    looks: list[LookPart]
    links: dict[str, str]

    @staticmethod
    def common(
        record: ScanRecord, order: ScanOrder, looks: list[LookPart], missing: tuple[int, ...], words: tuple[str, ...]
    ) -> dict[str, Any]:
        """What the documents of all kinds have. looks: in order."""
        address = f"/v1/scans/{record.scan_id}"
        return {
            **ScanSummary.of(record).model_dump(),
            "frames": FrameCounts.of(record, order, missing),
            "words": words,
            "shape": order.shape,
            "dtype": order.dtype,
            "refine": order.refine,
            "final": None if record.last is None else record.last.job_id,
            "looks": looks[::-1],
            "links": {"self": address, "frames": f"{address}/frames", "events": f"{address}/events"},
        }


def looks_of(record: ScanRecord, records: Records, known: Mapping[str, LookPart] = {}) -> list[LookPart]:
    """The looks of a scan, in order. known: some of them, by job, which are not read."""
    asked = [(number, job, False) for number, job in record.looks.items()]
    if record.last is not None:
        asked.append((len(record.looks) + 1, record.last, True))
    unread = [job.job_id.encode() for _, job, _ in asked if job.job_id not in known]
    jobs = {job.job_id: job for job in records.existing(unread)}
    return [known.get(job.job_id) or _look(number, job, final, jobs.get(job.job_id)) for number, job, final in asked]


def _look(number: int, look: LookJob, final: bool, job: JobRecord | None) -> LookPart:
    part = LookPart(
        number=number, job=look.job_id, state=JobState.FAILED, final=final, frames=look.frames, asked=look.frames
    )
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
    ptychography = document.get("ptychography") or {}
    told = document.get("look") or ptychography.get("look") or {}
    found = ptychography.get("report") or {}
    metrics = document.get("metrics") or {}
    final = metrics.get("final") or {}
    return {
        "frames": told.get("frames", frames),
        "similarity": told.get("similarity"),
        "start": "network" if ptychography.get("model") else (document.get("start") or {}).get("kind"),
        "chi2": final.get("chi2"),
        "free_llk": final.get("free_llk"),
        "trust": (document.get("trust") or {}).get("level"),
        "r_factor": found.get("r_factor"),
        "r_held_out": found.get("r_held_out"),
        "size": tuple(ptychography.get("size") or ()) or None,
        "note": ptychography.get("note", ""),
        "pending": ptychography.get("pending", 0),
        "oversampling": tuple((document.get("oversampling") or {}).get("measured", ())) or None,
    }
