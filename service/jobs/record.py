"""A job's state in Redis: what was asked, how far it is, how it ended. Every change is one script, so it happens whole.

Keys, all below `inphase:`; times are the Redis server's, so hosts need not agree on a clock:
    job:<id>             hash: state, reason, attempt, deliveries, ..., document (the JSON of service.document.JobDocument)
    job:<id>:events      stream of state changes and progress, the last few hundred: server-sent events replay from it
    jobs, jobs:<state>   sorted sets of ids by `sequence`, the order in which jobs came
    waiting:<priority>   queued jobs of this priority by sequence: the position in the queue
    finished             ended jobs by the time they ended: what expires
    workers              names of living workers by the time they last spoke
"""

import json
import math
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from service.jobs.errors import QueueUnavailableError, UnknownJobError

MAX_DELIVERIES: Final = 3  # a job that ended its worker process so often is poison
_PREFIX: Final = "inphase:"
_EVENTS_KEPT: Final = 256
_PRESENT_S: Final = 5.0  # a worker says every second that it lives
_SILENT_S: Final = 5.0  # a socket silent for so long is taken for dead
_BLOCK_MS: Final = 2000  # well below


class JobState(StrEnum):
    """queued -> running -> succeeded, failed or cancelled. A running job whose worker dies runs again, as a new attempt."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing comes after this state."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Priority(StrEnum):
    """Whom a worker serves first: a live scan before a request, a request before a batch."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True)
class Progress:
    """How far a refinement is; chi2 and support_voxels are None until the first evaluation."""

    iteration: int
    total: int
    chi2: float | None = None
    support_voxels: int | None = None
    stage: str = ""


@dataclass(frozen=True)
class JobRecord:
    """One job as Redis knows it. Times are seconds since the epoch.

    document: the JSON as it was last written, at acceptance or at the end; state, reason, attempt and progress here are
        newer than those inside it.
    result: name of the group of arrays in the store, empty until the job has succeeded.
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
    progress: Progress | None
    result: str
    document: bytes


@dataclass(frozen=True)
class Page:
    """Some jobs, newest first; `cursor` continues the list and is None on its last page."""

    records: tuple[JobRecord, ...]
    cursor: str | None


@dataclass(frozen=True)
class Event:
    """Something that happened to a job. `event_id` is what Last-Event-ID sends back."""

    event_id: str
    kind: str  # "state" or "progress"
    data: dict[str, Any]

    @property
    def ends(self) -> bool:
        """Whether no event follows."""
        return self.kind == "state" and JobState(self.data["state"]).final


def connect(url: str, *, retries: int = 2) -> redis.Redis:
    """A client for `redis://`, `rediss://` or `unix://`. It connects on first use.

    retries: decides how long a call lasts when Redis is away: 2 give up
        within a tenth of a second when the connection is refused, 40 ride over a restart of half a minute.
    """
    return redis.Redis.from_url(url, retry=Retry(_backoff(), retries), socket_timeout=_SILENT_S)


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.02, cap=1.0)


class Records:
    """The records of all jobs.

    The methods block for about 0.1 ms (a few ms where Redis syncs its file); asyncio code calls them in a thread.
    `wait` and `follow` are coroutines. Raises QueueUnavailableError where Redis does not answer, UnknownJobError for
    an id that does not exist.
    """

    def __init__(self, url: str, *, retries: int = 2) -> None:
        self._url = url
        self._retries = retries
        self._client = connect(url, retries=retries)
        self._scripts = {name: self._client.register_script(_COMMON + body) for name, body in _SCRIPTS.items()}

    def create(
        self, job_id: str, document: bytes, *, priority: Priority = Priority.NORMAL, owner: str = ""
    ) -> JobRecord:
        """Accept a job as queued; on disk when this returns (appendfsync always). `broker.enqueue` then hands it out."""
        if not self._run("create", job_id, document, priority.value, owner, JobState.QUEUED.value, "", ""):
            raise ValueError(f"job {job_id} exists already")
        return self.get(job_id)

    def add_ended(
        self,
        job_id: str,
        document: bytes,
        *,
        result: str = "",
        state: JobState = JobState.SUCCEEDED,
        reason: str = "",
        owner: str = "",
    ) -> JobRecord:
        """Record a job that never waited: it was answered at once."""
        if not self._run("create", job_id, document, Priority.NORMAL.value, owner, state.value, reason, result):
            raise ValueError(f"job {job_id} exists already")
        return self.get(job_id)

    def get(self, job_id: str) -> JobRecord:
        """The record of a job."""
        with _translated():
            fields = cast(dict[bytes, bytes], self._client.hgetall(_job(job_id)))
        if not fields:
            raise _unknown(job_id)
        return _record(job_id, fields)

    def page(
        self, *, state: JobState | None = None, owner: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page:
        """Jobs, newest first, of one state and one owner where given. Raises ValueError for a cursor that is none."""
        index = f"{_PREFIX}jobs:{state}" if state else f"{_PREFIX}jobs"
        below = f"({int(cursor)}" if cursor else "+inf"
        found: list[JobRecord] = []
        while True:
            with _translated():
                listed = cast(
                    Sequence[tuple[bytes, float]],
                    self._client.zrevrangebyscore(index, below, "-inf", start=0, num=limit, withscores=True),
                )
            for record in self._existing(name for name, _ in listed):
                if owner is not None and record.owner != owner:
                    continue
                found.append(record)
                if len(found) == limit:
                    return Page(tuple(found), str(record.sequence))
            if len(listed) < limit:
                return Page(tuple(found), None)
            below = f"({int(listed[-1][1])}"

    def position(self, job_id: str) -> int | None:
        """How many queued jobs go before this one; None where it is not queued."""
        with _translated():
            pipe = self._client.pipeline(transaction=False)
            for priority in Priority:
                pipe.zrank(f"{_PREFIX}waiting:{priority}", job_id)
                pipe.zcard(f"{_PREFIX}waiting:{priority}")
            answers = pipe.execute()
        before = 0
        for rank, waiting in zip(answers[::2], answers[1::2], strict=True):
            if rank is not None:
                return before + int(rank)
            before += int(waiting)
        return None

    def count(self, state: JobState) -> int:
        """How many jobs are in this state."""
        with _translated():
            return self._client.zcard(f"{_PREFIX}jobs:{state}")

    def request_cancel(self, job_id: str) -> JobState:
        """Cancel. A queued job is cancelled when this returns; a running one when its worker has seen it (still RUNNING here).

        A job that has ended stays as it is: its state is returned. Asking twice changes nothing.
        """
        state = self._run("cancel", job_id)
        if not state:
            raise _unknown(job_id)
        return JobState(state.decode())

    def claim(self, job_id: str, message_id: str, worker: str) -> int | None:
        """Start an attempt and return its number, or None where there is nothing to do.

        Nothing is to do where the job has ended or expired, where another message stands for it by now, where its
        cancellation was requested, and where it has ended its worker process MAX_DELIVERIES times: it fails as poisoned.
        """
        return cast(int | None, self._run("claim", job_id, message_id, worker, MAX_DELIVERIES))

    def progress(self, job_id: str, attempt: int, progress: Progress) -> bool:
        """Say how far an attempt is. False where the attempt is no longer the current one: it should stop."""
        return bool(self._run("progress", job_id, attempt, json.dumps(asdict(progress))))

    def finish(
        self,
        job_id: str,
        attempt: int,
        state: JobState,
        *,
        reason: str = "",
        document: bytes | None = None,
        result: str = "",
    ) -> bool:
        """End a running job. False where the attempt is stale: nothing was written, its result must be dropped."""
        if not state.final:
            raise ValueError(f"a job does not end as {state}")
        return bool(self._run("finish", job_id, attempt, state.value, reason, document or b"", result))

    def release(self, job_id: str, attempt: int) -> bool:
        """Put a running job back into the queue because its worker leaves; not held against the job as a delivery."""
        return bool(self._run("release", job_id, attempt))

    def should_stop(self, job_id: str, attempt: int) -> str:
        """Why an attempt should stop: "cancelled", "stale" (another attempt runs, or the job is gone), or "" to go on."""
        with _translated():
            state, current, cancel = cast(
                list[bytes | None], self._client.hmget(_job(job_id), "state", "attempt", "cancel")
            )
        if state != JobState.RUNNING.value.encode() or current != str(attempt).encode():
            return "stale"
        return "cancelled" if cancel else ""

    def assign(self, job_id: str, message_id: str) -> None:
        """Note which message stands for the job: deliveries of any other are dropped, so a job has one message at a time."""
        self._run("assign", job_id, message_id)

    def message_of(self, job_id: str) -> str:
        """The message that stands for the job; the first one bears the job's id."""
        with _translated():
            return (cast(bytes | None, self._client.hget(_job(job_id), "message")) or b"").decode()

    def unfinished(self) -> list[str]:
        """Ids of all queued and running jobs."""
        with _translated():
            queued = cast(Sequence[bytes], self._client.zrange(f"{_PREFIX}jobs:queued", 0, -1))
            running = cast(Sequence[bytes], self._client.zrange(f"{_PREFIX}jobs:running", 0, -1))
        return [job_id.decode() for job_id in (*queued, *running)]

    def finished_before(self, moment: float) -> list[str]:
        """Ids of jobs that ended before this time (seconds since the epoch), the earliest first."""
        with _translated():
            ids = cast(Sequence[bytes], self._client.zrangebyscore(f"{_PREFIX}finished", "-inf", f"({moment}"))
        return [job_id.decode() for job_id in ids]

    def remove(self, job_id: str) -> bool:
        """Forget a job that has ended. False where it has not: it stays."""
        return bool(self._run("remove", job_id))

    def announce(self, worker: str) -> None:
        """Say that a worker lives."""
        self._run("announce", worker)

    def depart(self, worker: str) -> None:
        """Say that a worker has left."""
        with _translated():
            self._client.zrem(f"{_PREFIX}workers", worker)

    def workers(self) -> list[str]:
        """Names of the workers that spoke within the last seconds."""
        return [name.decode() for name in self._run("present", _PRESENT_S)]

    def ping(self) -> None:
        """Raise QueueUnavailableError unless Redis answers and accepts writes."""
        with _translated():
            self._client.ping()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def wait(self, job_id: str, timeout_s: float) -> JobRecord:
        """The record as soon as the job has ended, or as it stands after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        async with self._connection() as client:
            async for event in _stream(client, job_id, "0-0", deadline):
                if event is not None and event.ends:
                    break
            with _translated():
                fields = cast(dict[bytes, bytes], await client.hgetall(_job(job_id)))
        if not fields:
            raise _unknown(job_id)
        return _record(job_id, fields)

    async def follow(self, job_id: str, after: str = "0-0") -> AsyncIterator[Event | None]:
        """What happens to a job, from the event after `after` to its end; None about every two silent seconds.

        The None lets a caller see that its client is gone, or keep a proxy awake.
        """
        async with self._connection() as client:
            async for event in _stream(client, job_id, after, float("inf")):
                yield event

    def _connection(self) -> redis.asyncio.Redis:
        """For asyncio, one a call: a blocking read occupies its connection, and a loop may not use another's."""
        retry = AsyncRetry(_backoff(), self._retries)
        return redis.asyncio.Redis.from_url(self._url, retry=retry, socket_timeout=_SILENT_S)

    def _run(self, name: str, *args: str | bytes | float) -> Any:
        with _translated():
            return self._scripts[name](args=args)

    def _existing(self, ids: Iterable[bytes]) -> Iterator[JobRecord]:
        """The records of these ids; one may have expired since it was listed."""
        names = [name.decode() for name in ids]
        with _translated():
            pipe = self._client.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(_job(name))
            answers = pipe.execute()
        return (_record(name, fields) for name, fields in zip(names, answers, strict=True) if fields)


async def _stream(client: redis.asyncio.Redis, job_id: str, after: str, deadline: float) -> AsyncIterator[Event | None]:
    """Events until the one that ends the job, or the deadline; None when a blocking read brought nothing."""
    key = f"{_job(job_id)}:events"
    block_ms: int | None = None  # at first only look; to block for 0 ms would mean for ever
    while True:
        with _translated():
            answer: Any = await client.xread({key: after}, count=64, block=block_ms)
        events = [_event(*item) for item in answer[0][1]] if answer else []
        for event in events:
            yield event
            if event.ends:
                return
        if events:
            after = events[-1].event_id
            continue
        with _translated():
            state = await client.hget(_job(job_id), "state")
        if state is None:
            raise _unknown(job_id)
        left_ms = min(_BLOCK_MS, (deadline - time.monotonic()) * 1000)
        if state in _FINAL_BYTES or left_ms <= 0:
            return
        if block_ms is not None:
            yield None
        block_ms = math.ceil(left_ms)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what redis-py raises when Redis is away, starting or out of disk into one error of ours."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError) as error:
        raise QueueUnavailableError(
            f"Redis does not answer ({error}): nothing was accepted, try again later"
        ) from error
    except redis.ResponseError as error:
        if str(error).startswith("MISCONF"):  # its disk is full or failing: it refuses writes
            raise QueueUnavailableError(f"Redis cannot write to its disk ({error}): nothing was accepted") from error
        raise


def _unknown(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"there is no job {job_id}: the id is wrong, or the job has expired")


def _job(job_id: str) -> str:
    return f"{_PREFIX}job:{job_id}"


def _record(job_id: str, fields: dict[bytes, bytes]) -> JobRecord:
    text = {key.decode(): value.decode() for key, value in fields.items() if key != b"document"}
    started, finished, progress = text.get("started"), text.get("finished"), text.get("progress")
    return JobRecord(
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
        progress=Progress(**json.loads(progress)) if progress else None,
        result=text.get("result", ""),
        document=fields[b"document"],
    )


def _event(event_id: bytes, fields: dict[bytes, bytes]) -> Event:
    kind = fields[b"kind"].decode()
    if kind == "progress":
        return Event(event_id.decode(), kind, json.loads(fields[b"data"]))
    return Event(event_id.decode(), kind, {"state": fields[b"data"].decode(), "reason": fields[b"reason"].decode()})


_FINAL_BYTES: Final = tuple(state.value.encode() for state in JobState if state.final)

_COMMON: Final = f"""
local function now()
    local t = redis.call('TIME')
    return string.format('%d.%06d', t[1], t[2])
end
local function job(id) return '{_PREFIX}job:' .. id end
local function event(id, kind, data, reason)
    redis.call('XADD', job(id) .. ':events', 'MAXLEN', '~', {_EVENTS_KEPT}, '*', 'kind', kind, 'data', data, 'reason', reason)
end
local function move(id, to, reason)
    local old = redis.call('HMGET', job(id), 'state', 'sequence', 'priority')
    if old[1] then redis.call('ZREM', '{_PREFIX}jobs:' .. old[1], id) end
    redis.call('ZREM', '{_PREFIX}waiting:' .. old[3], id)
    redis.call('ZADD', '{_PREFIX}jobs:' .. to, old[2], id)
    redis.call('HSET', job(id), 'state', to, 'reason', reason)
    if to == 'queued' then
        redis.call('ZADD', '{_PREFIX}waiting:' .. old[3], old[2], id)
    elseif to ~= 'running' then
        local t = now()
        redis.call('HSET', job(id), 'finished', t)
        redis.call('ZADD', '{_PREFIX}finished', t, id)
    end
    event(id, 'state', to, reason)
end
local function is_current(id, attempt)
    local held = redis.call('HMGET', job(id), 'state', 'attempt')
    return held[1] == 'running' and held[2] == attempt
end
"""

# create and finish answer as before when they are sent again: redis-py repeats a call whose answer was lost.
_SCRIPTS: Final = {
    "create": f"""
local id, document, priority, owner, state, reason, result = unpack(ARGV)
local held = redis.call('HMGET', job(id), 'document', 'attempt')
if held[1] then
    if held[1] == document and held[2] == '0' then return 1 else return 0 end
end
local sequence = redis.call('INCR', '{_PREFIX}sequence')
redis.call('HSET', job(id), 'document', document, 'priority', priority, 'owner', owner, 'sequence', sequence,
    'attempt', 0, 'deliveries', 0, 'created', now(), 'message', id, 'result', result)
redis.call('ZADD', '{_PREFIX}jobs', sequence, id)
move(id, state, reason)
return 1
""",
    "assign": """
if redis.call('EXISTS', job(ARGV[1])) == 1 then redis.call('HSET', job(ARGV[1]), 'message', ARGV[2]) end
""",
    "claim": """
local id, message, worker, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local held = redis.call('HMGET', job(id), 'state', 'message', 'cancel', 'deliveries')
if held[2] ~= message or (held[1] ~= 'queued' and held[1] ~= 'running') then return false end
if held[3] then
    move(id, 'cancelled', 'cancelled on request')
    return false
end
if tonumber(held[4]) >= most then
    move(id, 'failed', 'poisoned: the job ended its worker process ' .. held[4] .. ' times; it is not tried again')
    return false
end
redis.call('HINCRBY', job(id), 'deliveries', 1)
redis.call('HSET', job(id), 'worker', worker, 'started', now())
redis.call('HDEL', job(id), 'progress')
local attempt = redis.call('HINCRBY', job(id), 'attempt', 1)
move(id, 'running', '')
return attempt
""",
    "progress": """
local id, attempt, progress = ARGV[1], ARGV[2], ARGV[3]
if not is_current(id, attempt) then return 0 end
redis.call('HSET', job(id), 'progress', progress)
event(id, 'progress', progress, '')
return 1
""",
    "finish": """
local id, attempt, to, reason, document, result = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not is_current(id, attempt) then
    local held = redis.call('HMGET', job(id), 'state', 'attempt', 'result')
    if held[1] == to and held[2] == attempt and held[3] == result then return 1 else return 0 end
end
redis.call('HSET', job(id), 'result', result)
if document ~= '' then redis.call('HSET', job(id), 'document', document) end
move(id, to, reason)
return 1
""",
    "release": """
local id, attempt = ARGV[1], ARGV[2]
if not is_current(id, attempt) then return 0 end
redis.call('HINCRBY', job(id), 'deliveries', -1)
move(id, 'queued', '')
return 1
""",
    "cancel": """
local id = ARGV[1]
local state = redis.call('HGET', job(id), 'state')
if state == 'queued' then
    move(id, 'cancelled', 'cancelled on request')
    return 'cancelled'
elseif state == 'running' then
    redis.call('HSETNX', job(id), 'cancel', now())
end
return state
""",
    "remove": f"""
local id = ARGV[1]
local held = redis.call('HMGET', job(id), 'state', 'priority')
if not held[1] or held[1] == 'queued' or held[1] == 'running' then return 0 end
redis.call('DEL', job(id), job(id) .. ':events')
redis.call('ZREM', '{_PREFIX}jobs', id)
redis.call('ZREM', '{_PREFIX}jobs:' .. held[1], id)
redis.call('ZREM', '{_PREFIX}finished', id)
return 1
""",
    "announce": f"""
redis.call('ZADD', '{_PREFIX}workers', now(), ARGV[1])
""",
    "present": f"""
local oldest = string.format('%.6f', now() - ARGV[1])
redis.call('ZREMRANGEBYSCORE', '{_PREFIX}workers', '-inf', '(' .. oldest)
return redis.call('ZRANGE', '{_PREFIX}workers', 0, -1)
""",
}
