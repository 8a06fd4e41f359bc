"""What a webhook says: that a job has ended, and where to ask for the rest."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from service.jobs.entry import JobRecord
from service.jobs.state import JobState


@dataclass(frozen=True)
class Ended:
    """A job that has ended. Times are UTC, ISO 8601. link: its document, which needs a key."""

    id: str
    state: JobState
    reason: str
    owner: str
    proposal: str
    series: str | None
    created: str
    finished: str
    link: str


@dataclass(frozen=True)
class Message:
    """The body of a webhook. timestamp: when the job ended."""

    type: str
    timestamp: str
    data: Ended


def message(record: JobRecord) -> bytes:
    """The JSON for a job that has ended; the same for every attempt."""
    created, finished = (_time(seconds) for seconds in (record.created, record.finished or record.created))
    ended = Ended(
        id=record.job_id,
        state=record.state,
        reason=record.reason,
        owner=record.owner,
        proposal=record.proposal,
        series=record.series or None,
        created=created,
        finished=finished,
        link=f"/v1/jobs/{record.job_id}",
    )
    return msgspec.json.encode(Message(f"job.{record.state}", finished, ended))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
