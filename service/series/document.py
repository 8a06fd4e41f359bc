"""A series as a document: what was asked, and what became of every scan."""

import csv
import io
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from inphase.imaging.report import Alignment
from service.intake.options import JobOptions
from service.intake.sources import FileSource
from service.intake.submission import Submission
from service.jobs.entry import JobRecord
from service.jobs.record import Records
from service.jobs.series import SeriesRecord
from service.jobs.state import JobState, Priority

Title = Annotated[str, Field(max_length=200, description="People know the series by this name.")]


class SeriesOrder(JobOptions):
    """What is asked of every scan of a series. Stored as it is."""

    name: Title = ""
    sources: list[FileSource]
    roots: tuple[Path, ...] | None = None  # of the sender's key

    def submissions(self) -> list[Submission]:
        """One for each scan."""
        options = JobOptions(**self.model_dump(include=set(JobOptions.model_fields) - {"name"}))  # a scan's is its file
        return [Submission(options=options, source=source, roots=self.roots) for source in self.sources]


class ScanPart(BaseModel):
    """One scan. job: null for the moment in which the series is being accepted."""

    model_config = ConfigDict(extra="forbid")

    scan: int
    source: str
    state: JobState
    reason: str = ""
    job: str | None = None
    chi2: float | None = None
    noise_chi2: float | None = None
    r_factor: float | None = None
    support_voxels: int | None = None
    free_llk: float | None = None
    trust: Literal["high", "medium", "low"] | None = None
    probability: float | None = None
    trust_reasons: list[str] = Field(default_factory=list)
    start: str | None = None
    frame: bool = False
    alignment: Alignment | None = None
    alignment_why: str = ""
    links: dict[str, str] = Field(default_factory=dict)


class SeriesSummary(BaseModel):
    """One line of the list."""

    id: str
    name: str
    owner: str
    proposal: str
    created: str
    total: int
    cancelled: bool
    cancelled_by: str
    link: str

    @classmethod
    def of(cls, record: SeriesRecord) -> "SeriesSummary":
        """The line of a record."""
        return cls(
            id=record.series_id,
            name=SeriesOrder.model_validate_json(record.order).name,
            owner=record.owner,
            proposal=record.origin.proposal,
            created=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            total=record.total,
            cancelled=record.cancelled,
            cancelled_by=record.cancelled_by,
            link=f"/v1/series/{record.series_id}",
        )


class SeriesDocument(SeriesSummary):
    """A series and its scans. done: nothing will change any more.
    frame: the job to whose result the others are aligned.
    """

    done: bool
    states: dict[JobState, int]
    priority: Priority
    refine: str | None
    frame: str | None
    scans: list[ScanPart]
    links: dict[str, str]

    @classmethod
    def read(cls, record: SeriesRecord, records: Records) -> "SeriesDocument":
        """A series as it stands."""
        order = SeriesOrder.model_validate_json(record.order)
        jobs = {job.job_id: job for job in records.existing(job_id.encode() for job_id in record.jobs.values())}
        scans = [_scan(record, scan, source, jobs) for scan, source in enumerate(order.sources)]
        address = f"/v1/series/{record.series_id}"
        return cls(
            **SeriesSummary.of(record).model_dump(),
            done=all(scan.state.final for scan in scans),
            states={state: Counter(scan.state for scan in scans)[state] for state in JobState},
            priority=order.priority,
            refine=order.refine,
            frame=next((scan.job for scan in scans if scan.frame), None),
            scans=scans,
            links={"self": address, "csv": f"{address}?format=csv", "page": f"{address}?format=html"},
        )

    def to_csv(self) -> str:
        """One line a scan."""
        stream = io.StringIO()
        columns = [
            "scan", "source", "state", "reason", "job", "chi2", "noise_chi2", "r_factor", "support_voxels", "free_llk",
            "trust", "probability", "start", "frame", "score", "margin", "undecided",
        ]  # fmt: skip
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        for scan in self.scans:
            line = scan.model_dump(mode="json")
            writer.writerow({key: _cell(value) for key, value in (line | (line["alignment"] or {})).items()})
        return stream.getvalue()


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula is marked as a text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else value


def _scan(record: SeriesRecord, scan: int, source: FileSource, jobs: dict[str, JobRecord]) -> ScanPart:
    job_id = record.jobs.get(scan)
    if job_id is None:
        state = JobState.CANCELLED if record.cancelled else JobState.ACCEPTED
        return ScanPart(scan=scan, source=source.path, state=state)
    job = jobs.get(job_id)
    if job is None:
        return ScanPart(scan=scan, source=source.path, state=JobState.FAILED, reason="its job has expired", job=job_id)
    part = ScanPart(scan=scan, source=source.path, state=job.state, reason=job.reason, job=job_id, links=_links(job))
    return part.model_copy(update=_found(job)) if job.state is JobState.SUCCEEDED else part


def _found(job: JobRecord) -> dict[str, Any]:
    """What the summary takes from the document of a succeeded job, whichever version has written it."""
    try:
        document = json.loads(job.document)
    except ValueError:
        return {}
    final, trust = document["metrics"].get("final") or {}, document.get("trust") or {}
    series = document.get("series") or {}
    alignment = series.get("alignment")
    return {
        **{name: final.get(name) for name in ("chi2", "r_factor", "support_voxels", "free_llk")},
        "noise_chi2": document["metrics"].get("noise_chi2"),
        "trust": trust.get("level"),
        "probability": trust.get("probability"),
        "trust_reasons": trust.get("reasons", []),
        "start": (document.get("start") or {}).get("kind"),
        "frame": bool(series.get("frame")),
        "alignment": msgspec.convert(alignment, Alignment) if alignment else None,
        "alignment_why": series.get("why", ""),
    }


def _links(job: JobRecord) -> dict[str, str]:
    address = f"/v1/jobs/{job.job_id}"
    links = {"self": address, "preview": f"{address}/preview"}
    return links | ({"result": f"{address}/result"} if job.state is JobState.SUCCEEDED else {})
