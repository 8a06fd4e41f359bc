"""How a job is accepted: arrays on disk, then the record, then the message. Nothing is accepted by halves.

What was computed before is not computed again: a refinement whose fingerprint is that of a succeeded job of the same
owner takes that job's result (docs/decisions/0013).
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

import msgspec
import numpy as np

from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Report
from service.document import JobDocument
from service.errors import ApiError
from service.jobs.broker import Queue
from service.jobs.errors import DocumentError, QueueUnavailableError, StoreError
from service.jobs.housekeeping import make_room
from service.jobs.record import JobRecord, Place, Records, Request
from service.jobs.series import SeriesRecords
from service.jobs.state import JobState
from service.jobs.store import Arrays, Store
from service.options import JobOptions
from service.settings import Bounds

RESULT: Final = "result-0"  # of a job that no worker has attempted

# of the report: what differs from call to call without a difference in the result, or follows from what is counted already
_INCIDENTAL: Final[dict[str, tuple[str, ...]]] = {
    "model": ("provider",), "input": ("source", "chosen"), "start": ("kind", "why"),
    **dict.fromkeys(("series", "metrics", "trust", "canonical", "ensemble", "timings_ms", "created"), ()),
}  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What is asked beside the data. request: where the sender may repeat it. place: where it is a scan of a series."""

    owner: str
    options: JobOptions
    request: Request | None = None
    place: Place | None = None

    def document(self, report: Report) -> JobDocument:
        """A new job."""
        return JobDocument(
            uuid4().hex,
            JobState.QUEUED,
            report.created,
            owner=self.owner,
            priority=self.options.priority,
            report=report,
        )


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


class Intake:
    """Accepts jobs. records, series, queue: None where the service runs without a queue."""

    def __init__(
        self, records: Records | None, series: SeriesRecords | None, queue: Queue | None, store: Store, bounds: Bounds
    ) -> None:
        self._records, self._series, self._queue = records, series, queue
        self._store, self._bounds = store, bounds

    def accept(self, prepared: PreparedPattern, document: JobDocument, order: Order) -> JobRecord:
        """Accept a refinement; the record of the job that stands for it now.

        That is another job than the document's where the request came before. It has succeeded already where an earlier
        result was taken. Raises QueueUnavailableError, StoreFullError, ApiError 503, KeyReusedError, CancelledError:
        nothing was accepted.
        """
        records, queue = self._kept()
        identity = "" if order.place else fingerprint(prepared, document.reported, order.owner)
        if identity and order.options.reuse and (found := self._reused(identity, document, order)):
            return found
        waiting = records.count(JobState.QUEUED)
        if waiting >= self._bounds.queued_jobs:
            raise ApiError(
                503, f"{waiting} jobs wait for a worker already: try again in a moment, or start more workers"
            )
        self._write(document.id, "input", prepared.to_arrays())
        record = self._recorded(
            document.id,
            lambda: records.create(
                document.id, document.to_json(), priority=order.options.priority, owner=order.owner,
                fingerprint=identity, request=order.request, place=order.place,
            ),
        )  # fmt: skip
        if record.job_id == document.id:
            try:
                queue.enqueue(document.id, order.options.priority)
            except QueueUnavailableError:
                return record  # recorded, so housekeeping hands it out when Redis is back
        return record

    def keep(self, result: Reconstruction, document: JobDocument, order: Order) -> JobRecord:
        """Keep what was computed at once. The record is another job's where the request came before. Raises as `accept`."""
        records, _ = self._kept()
        self._write(document.id, RESULT, result.with_document(document.to_json().decode()))
        return self._recorded(
            document.id,
            lambda: records.add_ended(
                document.id, document.to_json(), result=RESULT, priority=order.options.priority, owner=order.owner,
                request=order.request, place=order.place,
            ),
        )  # fmt: skip

    def _kept(self) -> tuple[Records, Queue]:
        if self._records is None or self._queue is None:
            raise QueueUnavailableError("this service runs without a queue")
        return self._records, self._queue

    def _write(self, job_id: str, name: str, arrays: Arrays) -> None:
        make_room(self._records, self._series, self._store, sum(array.nbytes for array in arrays.values()))
        self._store.write(job_id, name, arrays)

    def _recorded(self, job_id: str, record: Callable[[], JobRecord]) -> JobRecord:
        """Record what lies in the store; where that is refused, or another job stands for it, the store forgets it."""
        try:
            found = record()
        except BaseException:
            self._store.delete(job_id)
            raise
        if found.job_id != job_id:
            self._store.delete(job_id)
        return found

    def _reused(self, identity: str, document: JobDocument, order: Order) -> JobRecord | None:
        """A job that takes the result of an earlier one: a second name for its file, which either may lose."""
        records, _ = self._kept()
        earlier = records.earlier(identity)
        if earlier is None or earlier.owner != order.owner:
            return None
        try:
            result = JobDocument.from_json(earlier.document)
            report = replace(result.reported, input=document.reported.input, timings_ms=document.reported.timings_ms)
            self._store.link(earlier.job_id, earlier.result, document.id, RESULT)
        except (DocumentError, StoreError):
            return None  # it has expired while we looked, or is of an older version
        taken = replace(
            result,
            id=document.id,
            attempt=0,
            reused_from=result.reused_from or result.id,
            created=document.created,
            report=report,
        )
        return self._recorded(
            document.id,
            lambda: records.add_ended(
                document.id, taken.to_json(), result=RESULT, priority=order.options.priority, owner=order.owner,
                fingerprint=identity, request=order.request,
            ),
        )  # fmt: skip
