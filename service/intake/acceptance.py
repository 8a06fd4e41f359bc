"""How a job is accepted, and how it gets on when its data are read. Nothing is accepted by halves.

What was computed before is not computed again: a refinement whose fingerprint is that of a succeeded job of the same
owner takes that job's result (docs/decisions/0013).
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import msgspec
import numpy as np

from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Report
from inphase.pattern import digest
from inphase.ptycho.parts import TOLD
from service import audit
from service.document import JobDocument, Ptychography
from service.errors import ApiError
from service.intake.submission import UPLOAD, Sender, Sent, Submission, Upload, upload_arrays
from service.jobs.broker import Queue
from service.jobs.entry import JobRecord, NewScan, Origin, SeriesScan
from service.jobs.errors import DocumentError, QueueUnavailableError, StoreError, UnknownJobError
from service.jobs.housekeeping import make_room
from service.jobs.record import Records, quota_of_jobs
from service.jobs.series import SeriesRecords
from service.jobs.state import JobState, Priority
from service.jobs.store import Arrays, Store
from service.settings import Bounds

INPUT: Final = "input"  # what a worker reads, and the document as it was then
RESULT: Final = "result-0"  # of a job that no worker has attempted
FIRST: Final = "revision-1"  # the network's image of a job that a worker refines; made when somebody asks for it

# of the report: what differs from call to call without a difference in the result,
# or follows from what is counted already
_INCIDENTAL: Final[dict[str, tuple[str, ...]]] = {
    "model": ("provider",), "input": ("source", "chosen"), "start": ("kind", "why"),
    **dict.fromkeys(("series", "look", "metrics", "trust", "canonical", "ensemble", "timings_ms", "created"), ()),
}  # fmt: skip


def fingerprint(prepared: PreparedPattern, report: Report, owner: str) -> str:
    """Digest of everything that a refinement depends on: its arrays but the network's, and what was resolved."""
    asked: dict[str, Any] = msgspec.to_builtins(report)
    for name, parts in _INCIDENTAL.items():
        if not parts:
            del asked[name]
        elif asked[name] is not None:
            asked[name] = {key: value for key, value in asked[name].items() if key not in parts}
    sha = hashlib.sha256(json.dumps([owner, asked], sort_keys=True).encode())
    for array in (prepared.problem.modulus, prepared.problem.mask, prepared.problem.free):
        if array is not None:
            sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def fingerprint_of_scan(arrays: Arrays, told: Ptychography, owner: str) -> str:
    """The same of a ptychographic job: what its worker reads but the words about it, and how it is asked."""
    sha = hashlib.sha256(json.dumps([owner, msgspec.to_builtins(told.options)], sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        if name != TOLD:
            sha.update(f"{name}{digest(array)}".encode())
    return sha.hexdigest()


def new_document(submission: Submission, origin: Origin, job_id: str | None = None) -> JobDocument:
    """The document of a job whose data nobody has looked at."""
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    priority = submission.options.priority
    asked = None if submission.ptychography is None else Ptychography(submission.ptychography.ptycho())
    return JobDocument(
        job_id or uuid4().hex, JobState.ACCEPTED, created, name=submission.options.name, owner=origin.owner,
        proposal=origin.proposal, priority=priority, ptychography=asked,
    )  # fmt: skip


class Intake:
    """Accepts jobs. records, series, queue: None where the service runs without a queue."""

    def __init__(
        self, records: Records | None, series: SeriesRecords | None, queue: Queue | None, store: Store, bounds: Bounds
    ) -> None:
        self._records, self._series, self._queue = records, series, queue
        self._store, self._bounds = store, bounds

    def accept(self, submission: Submission, sender: Sender, scan: Sent | None = None, reader: str = "") -> JobRecord:
        """Record a job whose data are still to be read; the record of the job that stands for it now.

        scan: what was sent, where the submission says so; in the store before the job is recorded, but not forced to
        the disk (`promise`). reader: who reads it at once, while its sender waits. The job is another one's where the
        request came before.
        Raises QueueUnavailableError, StoreFullError, StoreTooSmallError, ApiError 503, KeyReusedError, CancelledError,
        QuotaError: nothing was accepted.
        """
        records, _ = self._kept()
        if submission.refined or not reader:  # else it waits for nobody
            self.check_room(submission.options.priority)
        document = new_document(submission, sender.origin)
        if isinstance(submission.source, Upload):
            assert scan is not None
            self._write(document.id, UPLOAD, upload_arrays(scan), durable=False)
        try:
            found = records.create(
                document.id, document.to_json(), asked=submission.model_dump_json(by_alias=True), reader=reader,
                priority=submission.options.priority, origin=sender.origin, repeatable=sender.repeatable,
                most=sender.waiting_jobs, webhook=submission.options.webhook or "",
            )  # fmt: skip
        except BaseException:
            self._clear(document.id)
            raise
        if found.job_id != document.id:
            self._clear(document.id)
        else:
            audit.note("submit", job=found.job_id)
        return found

    def check_room(self, priority: Priority, scans: int = 0) -> None:
        """Raises ApiError 503 where too many jobs wait already. scans: of a series; without it this is about one job.

        What is of low priority, or of a series, delays nobody else, and may wait in larger numbers.
        """
        records, _ = self._kept()
        unread = {level: records.count_unread(level) for level in Priority}
        if scans or priority is Priority.LOW:
            waiting, most = sum(unread.values()), self._bounds.unread_jobs
        else:
            waiting = records.count(JobState.QUEUED) + unread[Priority.HIGH] + unread[Priority.NORMAL]
            most = self._bounds.queued_jobs
        if waiting + max(1, scans) > most:
            raise ApiError(503, f"{waiting} jobs wait already: try again in a moment, or start more workers")

    def check_quota(self, sender: Sender, scans: int) -> None:
        """Raises QuotaError where the key would have too many jobs waiting with the scans of a series."""
        records, _ = self._kept()
        if sender.waiting_jobs is not None:
            waiting = records.count_pending(sender.origin.key)
            if waiting + scans > sender.waiting_jobs:
                raise quota_of_jobs(waiting, scans)

    def accept_scans(self, series_id: str, submissions: Sequence[Submission], origin: Origin) -> None:
        """Make jobs of the scans of a series that are none yet. Raises QueueUnavailableError; may be repeated."""
        records, _ = self._kept()
        assert self._series is not None
        jobs = []
        for number in self._series.get(series_id).waiting():
            submission = submissions[number]
            document = new_document(submission, origin)
            asked = submission.model_dump_json(by_alias=True)
            place, webhook = SeriesScan(series_id, number), submission.options.webhook or ""
            jobs.append(NewScan(document.id, document.to_json(), asked, place, webhook))
        records.create_all(jobs, priority=submissions[0].options.priority, origin=origin)
        self._series.close_series(series_id)

    def make_room(self, nbytes: int) -> None:
        """Let so many bytes more into the store: where they do not fit, the oldest ended jobs go. Raises
        StoreFullError.
        """
        make_room(self._records, self._series, self._store, nbytes)

    def promise(self, job_id: str) -> None:
        """A sender is told that the job is accepted before it has been read: what was sent is forced to the disk.

        Raises UnknownJobError where the job was discarded meanwhile, QueueUnavailableError.
        """
        records, _ = self._kept()
        self._store.sync(job_id, UPLOAD)
        records.promise(job_id)

    def hand_out(
        self, record: JobRecord, reader: str, prepared: PreparedPattern, report: Report, *, reuse: bool
    ) -> JobRecord:
        """Queue a job whose data are read, or give it the result of an earlier one. Raises as `accept`."""
        document = self._document(record, report)
        alone = not record.series and report.look is None
        identity = "" if not alone else fingerprint(prepared, report, record.owner)
        if identity and reuse and self._reused(identity, document, reader):
            return self._left(record.job_id)
        first = FIRST if prepared.prediction is not None else ""
        return self._queue_up(record, reader, document, prepared.to_arrays(), fingerprint=identity, first=first)

    def hand_out_scan(
        self, record: JobRecord, reader: str, arrays: Arrays, told: Ptychography, *, reuse: bool
    ) -> JobRecord:
        """Queue a ptychographic job, or give it the result of an earlier one. arrays: what its worker reads. Raises as
        `accept`.
        """
        document = replace(JobDocument.from_json(record.document), state=JobState.QUEUED, ptychography=told)
        identity = "" if told.look is not None else fingerprint_of_scan(arrays, told, record.owner)
        if identity and reuse and self._reused(identity, document, reader):
            return self._left(record.job_id)
        return self._queue_up(record, reader, document, arrays, fingerprint=identity)

    def _queue_up(
        self,
        record: JobRecord,
        reader: str,
        document: JobDocument,
        arrays: Arrays,
        *,
        fingerprint: str = "",
        first: str = "",
    ) -> JobRecord:
        records, queue = self._kept()
        stored = document.to_json()
        self._write(record.job_id, INPUT, arrays | {"document": np.array(stored.decode())})
        message = queue.message(record.job_id, record.priority)
        records.queue(record.job_id, reader, stored, message, fingerprint=fingerprint, first=first)
        return self._left(record.job_id)

    def keep(self, record: JobRecord, reader: str, result: Reconstruction) -> JobRecord:
        """Keep what was computed at once. Raises as `accept`."""
        records, _ = self._kept()
        document = self._document(record, result.report).succeeded(result.report)
        stored = document.to_json()
        self._write(record.job_id, RESULT, result.with_document(stored.decode()))
        records.conclude(record.job_id, reader, JobState.SUCCEEDED, document=stored, result=RESULT)
        return self._left(record.job_id)

    def fail(self, job_id: str, reader: str, reason: str) -> None:
        """The data cannot be used, and nobody waits to be told."""
        records, _ = self._kept()
        records.conclude(job_id, reader, JobState.FAILED, reason=reason)
        self._left(job_id)

    def discard(self, job_id: str, reader: str, reason: str) -> None:
        """The data cannot be used, and the sender is told so at once:
        nothing stays, unless the job was promised to another.
        """
        records, _ = self._kept()
        if records.discard(job_id, reader, reason):
            self._clear(job_id)
        else:
            with suppress(UnknownJobError):
                self._left(job_id)

    def _left(self, job_id: str) -> JobRecord:
        """The record after a reader's last word; what was sent goes, unless it is read once more."""
        records, _ = self._kept()
        record = records.get(job_id)
        if record.state not in (JobState.ACCEPTED, JobState.READING):
            self._clear(job_id, UPLOAD)
        return record

    def _clear(self, job_id: str, name: str | None = None) -> None:
        """What nobody needs any more; where the store fails, housekeeping finds it."""
        with suppress(StoreError):
            self._store.delete(job_id, name)

    def _document(self, record: JobRecord, report: Report) -> JobDocument:
        """The accepted job with its report."""
        return replace(JobDocument.from_json(record.document), state=JobState.QUEUED, report=report)

    def _kept(self) -> tuple[Records, Queue]:
        if self._records is None or self._queue is None:
            raise QueueUnavailableError("this service runs without a queue")
        return self._records, self._queue

    def _write(self, job_id: str, name: str, arrays: Arrays, *, durable: bool = True) -> None:
        make_room(self._records, self._series, self._store, sum(array.nbytes for array in arrays.values()), job_id)
        self._store.write(job_id, name, arrays, durable=durable)

    def _reused(self, identity: str, document: JobDocument, reader: str) -> bool:
        """Give a job the result of an earlier one, if there is one:
        a second name for its file, which either may lose.
        """
        records, _ = self._kept()
        earlier = records.earlier(identity)
        if earlier is None or earlier.owner != document.owner:
            return False
        try:
            result = _asked_as(document, JobDocument.from_json(earlier.document))
            self._store.link(earlier.job_id, earlier.result, document.id, RESULT)
        except (DocumentError, StoreError):
            return False  # it has expired while we looked, or is of an older version
        taken = replace(
            result,
            id=document.id,
            attempt=0,
            reused_from=result.reused_from or result.id,
            created=document.created,
        )
        records.conclude(
            document.id, reader, JobState.SUCCEEDED, document=taken.to_json(), fingerprint=identity, kind="refined",
            result=RESULT,
        )  # fmt: skip
        return True


def _asked_as(document: JobDocument, earlier: JobDocument) -> JobDocument:
    """An earlier job's document with the words of the new one on what it is and where its data are from."""
    earlier = replace(earlier, name=document.name)
    if document.ptychography is not None:
        assert earlier.ptychography is not None  # else it would have another fingerprint
        found = replace(earlier.ptychography, source=document.ptychography.source)
        return replace(earlier, ptychography=found)
    asked = document.reported
    return replace(earlier, report=replace(earlier.reported, input=asked.input, timings_ms=asked.timings_ms))
