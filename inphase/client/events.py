"""What happens to a job, as the service tells it."""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

from inphase.client.errors import ServiceError

FINAL: Final = ("succeeded", "failed", "cancelled")
"""States after which nothing comes; before: accepted, reading, queued, running."""

SCAN_FINAL: Final = ("finished", "aborted")
"""The same of a live scan; before: open, finishing."""

Document = dict[str, Any]

POLL_S: Final = 0.5
_AWAY_S: Final = 60.0  # how long a service that is gone is waited for
_PASSING: Final = (0, 502, 503, 504)  # statuses that a restart of the service explains


@dataclass(frozen=True)
class Event:
    """Something that happened to a job or a live scan.

    kind: of a job "state" (data: state, reason), "revision" (data: number, kind, final, and where the result is),
    "progress" (data: iteration, total, chi2, support_voxels, stage, and where a preview is); of a live scan "state",
    "frames" (data: what has come, and words of advice) or "look" (data: the line of one that has ended); or "waiting"
    (no data): nothing has happened for up to two seconds.
    """

    event_id: str
    kind: str
    data: Document

    def __str__(self) -> str:
        told = self.data
        if self.kind == "state":
            return f"{told['state']}: {told['reason']}" if told.get("reason") else str(told["state"])
        if self.kind == "revision":
            return f"revision {told['number']}: {told['kind']}{', the last one' if told['final'] else ''}"
        if self.kind == "progress":
            chi2 = "" if told["chi2"] is None else f", chi2 {told['chi2']:.3g}"
            return f"{told['stage']} {told['iteration'] + 1} of {told['total']}{chi2}"
        return self.kind

    @property
    def ends(self) -> bool:
        """Whether no event follows."""
        return self.kind == "state" and self.data["state"] in (*FINAL, *SCAN_FINAL)


WAITING: Final = Event("", "waiting", {})


class Lines:
    """Turns the lines of an event stream into events."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def event(self, line: str) -> Event | None:
        """The event that a line completes."""
        name, _, value = line.partition(":")
        if line:
            self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "id" in fields:
            return Event(fields["id"], fields["event"], json.loads(fields["data"]))
        return WAITING if fields.get("") == "waiting" else None


class Following:
    """How far a job's events were heard, over streams that break off. last: id of the last event."""

    def __init__(self) -> None:
        self.last = ""
        self._lost_at: float | None = None

    def heard(self, event: Event) -> None:
        """The stream goes on."""
        self.last, self._lost_at = event.event_id or self.last, None

    def lost(self, error: ServiceError) -> None:
        """The stream broke off. Raises the error where the service does not come back."""
        if error.status not in _PASSING:
            raise error
        self._lost_at = self._lost_at or time.monotonic()
        if time.monotonic() - self._lost_at > _AWAY_S:
            raise error


class Deadline:
    """The end of a caller's patience. seconds: None: there is none."""

    def __init__(self, job_id: str, seconds: float | None) -> None:
        self._job_id, self._seconds, self._begun = job_id, seconds, time.monotonic()

    def check(self) -> None:
        """Raises TimeoutError when it is over."""
        if self._seconds is not None and time.monotonic() - self._begun > self._seconds:
            raise TimeoutError(f"job {self._job_id} has not ended within {self._seconds:g} s; it goes on")
