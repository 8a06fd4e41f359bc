"""What happens to a job, as it happens: a stream in Redis that any number of readers follow, from any event on."""

import json
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio

from inphase.errors import InphaseError
from service.jobs.connection import translated
from service.jobs.errors import UnknownJobError
from service.jobs.scripts import ALL_EVENTS_KEPT, EVENTS
from service.jobs.state import JobState, ScanState

_BLOCK_MS: Final = 2000  # well below the silence after which a socket is taken for dead
_FINAL: Final = tuple(state.value for kind in (JobState, ScanState) for state in kind if state.final)  # all differ
_FINAL_BYTES: Final = tuple(state.encode() for state in _FINAL)


@dataclass(frozen=True)
class Event:
    """Something that happened to a job or a live scan. `event_id` is what Last-Event-ID sends back."""

    event_id: str
    kind: str  # "state", "progress" or "revision"; of a scan "state", "frames" or "look"
    data: dict[str, Any]

    @property
    def ends(self) -> bool:
        """Whether no event follows."""
        return self.kind == "state" and self.data["state"] in _FINAL


@dataclass(frozen=True)
class JobEvent(Event):
    """Something that happened to one of all jobs. Its kind may also be "removed", or "listening", which is of no job
    and comes first: data says whether events were `missed` because they are not kept any more.
    """

    job_id: str = ""
    owner: str = ""
    proposal: str = ""


async def stream(
    client: redis.asyncio.Redis, key: str, after: str, deadline: float, *, lost: InphaseError
) -> AsyncIterator[Event | None]:
    """Events until the one that ends a job or a scan, or the deadline; None when a blocking read brought nothing.

    key: of its hash. lost: raised where it is gone.
    """
    block_ms: int | None = None  # at first only look; to block for 0 ms would mean for ever
    while True:
        with translated():
            # before the events: a job that ends in between has its last one still to be read
            state = await client.hget(key, "state")
            answer: Any = await client.xread({f"{key}:events": after}, count=64, block=block_ms)
        events = [_event(*item) for item in answer[0][1]] if answer else []
        for event in events:
            yield event
            if event.ends:
                return
        if events:
            after = events[-1].event_id
            if time.monotonic() >= deadline:
                return
            continue
        if state is None:
            raise lost
        left_ms = min(_BLOCK_MS, (deadline - time.monotonic()) * 1000)
        if state in _FINAL_BYTES or left_ms <= 0:
            return
        if block_ms is not None:
            yield None
        block_ms = math.ceil(left_ms)


async def stream_of_all(client: redis.asyncio.Redis, after: str | None) -> AsyncIterator[JobEvent | None]:
    """Where it begins, then the events of all jobs without end; None where a blocking read brought nothing."""
    with translated():
        newest: Any = await client.xrevrange(EVENTS, count=1)
        oldest: Any = await client.xrange(EVENTS, count=1)
        trimmed = await client.xlen(EVENTS) >= ALL_EVENTS_KEPT
    last = newest[0][0].decode() if newest else "0-0"
    missed = after is not None and trimmed and _order(after) < _order(oldest[0][0].decode())
    after = last if after is None or missed else after
    yield JobEvent(after, "listening", {"missed": missed})
    while True:
        with translated():
            answer: Any = await client.xread({EVENTS: after}, count=256, block=_BLOCK_MS)
        if not answer:
            yield None
            continue
        for event_id, fields in answer[0][1]:
            event = _event(event_id, fields)
            after = event.event_id
            named = (fields.get(name, b"").decode() for name in (b"job", b"owner", b"proposal"))
            yield JobEvent(after, event.kind, event.data, *named)


def _order(event_id: str) -> tuple[int, int]:
    milliseconds, _, number = event_id.partition("-")
    return int(milliseconds), int(number or 0)


def unknown(job_id: str) -> UnknownJobError:
    """The error for an id that does not exist."""
    return UnknownJobError(f"there is no job {job_id}: the id is wrong, or the job has expired")


def _event(event_id: bytes, fields: dict[bytes, bytes]) -> Event:
    kind = fields[b"kind"].decode()
    if kind != "state":
        return Event(event_id.decode(), kind, json.loads(fields[b"data"]))
    data = {"state": fields[b"data"].decode(), "reason": fields[b"reason"].decode()}
    by = fields.get(b"by", b"").decode()
    return Event(event_id.decode(), kind, data | ({"cancelled_by": by} if by else {}))
