"""What is known of a job: its record, where it comes from, and what is told when it is made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

from service.jobs.scripts import PREFIX
from service.jobs.state import JobState, Priority, RecordedProgress

REMEMBERED_S: Final = 86_400  # how long an Idempotency-Key stands for its job


@dataclass(frozen=True)
class Revision:
    """One of the results that a job has had, from first to last; it never changes.

    kind: "network" is its image, not refined. result: name of the group of arrays in the store. final: none follows.
    made: seconds since the epoch.
    """

    number: int
    kind: Literal["network", "refined"]
    result: str
    final: bool
    made: float


@dataclass(frozen=True)
class JobRecord:
    """One job as Redis knows it. Times are seconds since the epoch.

    document: the JSON as it was last written, at acceptance or at the end; state, reason, attempt and progress here are
        newer than those inside it.
    asked: JSON of what the sender asked for, empty where there was nothing to be read.
    queued: when it began to wait for a worker, for the last time; None where it never has.
    reader: who has read it last, empty where nobody has; see `record.Records.take`.
    result: name of the group of arrays in the store, empty until the job has succeeded.
    fingerprint: digest of everything that decides the result; a later job with the same one need not be computed.
    key, request_id, traceparent: see `Origin`. cancelled_by: the owner of the key that asked for it first.
    """

    job_id: str
    sequence: int
    state: JobState
    reason: str
    attempt: int
    priority: Priority
    owner: str
    created: float
    started: float | None
    finished: float | None
    worker: str
    cancel_requested: bool
    progress: RecordedProgress | None
    result: str
    document: bytes
    series: str = ""
    fingerprint: str = ""
    asked: str = ""
    reader: str = ""
    revisions: tuple[Revision, ...] = ()
    proposal: str = ""
    key: str = ""
    request_id: str = ""
    traceparent: str = ""
    cancelled_by: str = ""
    queued: float | None = None

    @property
    def waited_s(self) -> float:
        """How long its newest attempt waited for a worker."""
        return 0.0 if self.queued is None or self.started is None else max(0.0, self.started - self.queued)

    @classmethod
    def of(cls, job_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """From its hash in Redis."""
        text = {key.decode(): value.decode() for key, value in fields.items() if key != b"document"}
        started, finished, progress = text.get("started"), text.get("finished"), text.get("progress")
        queued = text.get("queued")
        return cls(
            job_id=job_id,
            sequence=int(text["sequence"]),
            state=JobState(text["state"]),
            reason=text.get("reason", ""),
            attempt=int(text["attempt"]),
            priority=Priority(text["priority"]),
            owner=text["owner"],
            created=float(text["created"]),
            started=float(started) if started else None,
            finished=float(finished) if finished else None,
            worker=text.get("worker", ""),
            cancel_requested="cancel" in text,
            progress=RecordedProgress(**json.loads(progress)) if progress else None,
            result=text.get("result", ""),
            document=fields[b"document"],
            series=text.get("series", ""),
            fingerprint=text.get("fingerprint", ""),
            asked=text.get("asked", ""),
            reader=text.get("reader", ""),
            revisions=_revisions(text),
            proposal=text.get("proposal", ""),
            key=text.get("key", ""),
            request_id=text.get("request_id", ""),
            traceparent=text.get("traceparent", ""),
            cancelled_by=text.get("cancelled_by", ""),
            queued=float(queued) if queued else None,
        )


@dataclass(frozen=True)
class Origin:
    """Where a job or a series comes from. proposal: its people share it; empty where the key names none.

    key: id of the API key (`service.identity.keys`). request_id: of the HTTP request, as the log has it.
    traceparent: of that request's span (W3C Trace Context), empty where nothing is traced.
    """

    owner: str = ""
    proposal: str = ""
    key: str = ""
    request_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True)
class Party:
    """Whose jobs somebody may know of: those of an owner, and those of a proposal where one is named."""

    owner: str
    proposal: str = ""

    def has(self, owner: str, proposal: str) -> bool:
        """Whether a job of this owner and proposal is among them."""
        return owner == self.owner or (self.proposal != "" and proposal == self.proposal)


@dataclass(frozen=True)
class Repeatable:
    """A submission that its sender may repeat. key: of the header Idempotency-Key.
    digest: of everything that was asked.
    """

    key: str
    digest: str

    def slot(self, owner: str) -> str:
        """Where Redis remembers it: every owner has keys of his own."""
        return f"{PREFIX}idempotency:{hashlib.sha256(f'{owner}:{self.key}'.encode()).hexdigest()}"


@dataclass(frozen=True)
class SeriesScan:
    """Which scan of which series a job is."""

    series: str
    scan: int


@dataclass(frozen=True)
class NewScan:
    """A scan of a series that becomes a job."""

    job_id: str
    document: bytes
    asked: str
    scan: SeriesScan
    webhook: str = ""


@dataclass(frozen=True)
class QueuedMessage:
    """The first message of a job, as it lies in the queue. queue: its list in Redis. channel: where idle workers listen
    for a word.
    """

    queue: str
    body: bytes
    channel: str
    word: str


def _revisions(text: Mapping[str, str]) -> tuple[Revision, ...]:
    """Of a record; one of an older version knows its result only."""
    if stored := text.get("revisions"):
        return tuple(Revision(**revision) for revision in json.loads(stored))
    if result := text.get("result"):
        return (Revision(1, "refined", result, True, float(text.get("finished", 0))),)
    return ()


def creation(
    job_id: str,
    document: bytes,
    asked: str,
    priority: Priority,
    origin: Origin,
    repeatable: Repeatable | None,
    scan: SeriesScan | None,
    reader: str = "",
    most: int | None = None,
    webhook: str = "",
) -> tuple[str | bytes | int, ...]:
    """The arguments of the script that creates a job."""
    slot, digest = (repeatable.slot(origin.owner), repeatable.digest) if repeatable else ("", "")
    series, number = (scan.series, scan.scan) if scan else ("", 0)
    return (
        job_id, document, priority.value, asked, slot, digest, REMEMBERED_S, series, number, reader,
        "" if most is None else most, webhook, origin.owner, origin.proposal, origin.key, origin.request_id,
        origin.traceparent,
    )  # fmt: skip
