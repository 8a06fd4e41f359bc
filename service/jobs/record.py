"""A job's state in Redis: what was asked, how far it is, how it ended. Every change is one script, so it happens whole.

Keys, all below `inphase:`; times are the Redis server's, so hosts need not agree on a clock:
    job:<id>             hash: state, reason, attempt, deliveries, ..., document (JSON of service.document.JobDocument),
                         asked (what its sender asked for, until its data are read), revisions (JSON)
    job:<id>:events      stream of state changes and progress, the last few hundred: server-sent events replay from it
    events               the same of all jobs together, the last few thousand: what lists of jobs follow
    jobs, jobs:<state>, jobs:owner:<owner>, jobs:proposal:<proposal>, jobs:series:<id>
                         sorted sets of ids by `sequence`, the order in which jobs came
    pending:<key>        set of the jobs of an API key that wait to be read or refined: what its quota counts
    fingerprints         hash: what was asked, as a digest -> the job that has the result, see `JobRecord.fingerprint`
    idempotency:<digest> hash: the request that came with an Idempotency-Key and its job, for a day
    unread:<priority>    accepted jobs of this priority by sequence: what is read next
    waiting:<priority>   queued jobs of this priority by sequence: the position in the queue
    finished             ended jobs by the time they ended: what expires
    ended                hash: how many jobs took how long, by how they ended, since this Redis began
    workers, readers     names of the living ones by the time they last spoke
"""

import json
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any, Final, cast

from inphase.errors import CancelledError
from service.jobs.connection import connect, connect_async, translated
from service.jobs.entry import (
    JobRecord,
    NewScan,
    Origin,
    QueuedMessage,
    Repeatable,
    SeriesScan,
    creation,
)
from service.jobs.errors import KeyReusedError, QuotaError, UnknownJobError
from service.jobs.events import Event, JobEvent, stream, stream_of_all, unknown
from service.jobs.listing import Filter, Page, newest
from service.jobs.scripts import COMMON, ENDED, PREFIX, SCRIPTS, SECONDS, job_key
from service.jobs.state import JobState, Priority, RecordedProgress

MAX_DELIVERIES: Final = 3  # a job that ended its worker process so often is poison
_LOOKED_AT: Final = 5000  # jobs looked at for one page
_PRESENT_S: Final = 5.0  # a worker says every second that it lives


class Records:
    """The records of all jobs.

    The methods block for about 0.1 ms (a few ms where Redis syncs its file); asyncio code calls them in a thread.
    `wait` and `follow` are coroutines. Raises QueueUnavailableError where Redis does not answer, QueueRefusedError
    where it refuses for now, UnknownJobError for an id that does not exist.
    """

    def __init__(self, url: str, *, retries: int = 2) -> None:
        self._url = url
        self._retries = retries
        self._client = connect(url, retries=retries)
        self._scripts = {name: self._client.register_script(COMMON + body) for name, body in SCRIPTS.items()}

    def create(
        self,
        job_id: str,
        document: bytes,
        *,
        asked: str = "",
        reader: str = "",
        priority: Priority = Priority.NORMAL,
        origin: Origin = Origin(),
        repeatable: Repeatable | None = None,
        scan: SeriesScan | None = None,
        most: int | None = None,
        webhook: str = "",
    ) -> JobRecord:
        """Record a job; on disk when this returns (appendfsync always).

        asked: what its data are, for `take`: it is ACCEPTED. Without it there is nothing to be read and it is QUEUED;
        `broker.Queue.enqueue_again` then hands it out. reader: who reads it at once, as by `take`: it is READING.
        most: so many jobs of this key may wait to be read or refined. webhook: the address that is told of the end.

        Where the request came before, or the scan has its job, that job is returned instead and nothing is changed:
        compare the id. Raises KeyReusedError where the key came with another request, CancelledError where the series
        was cancelled, QuotaError where `most` jobs of the key wait.
        """
        new = creation(job_id, document, asked, priority, origin, repeatable, scan, reader, most, webhook)
        return self.get(self._created(self._run("create", *new), job_id))

    def create_all(self, jobs: Sequence[NewScan], *, priority: Priority, origin: Origin) -> None:
        """Record the scans of a series as ACCEPTED, all in one go; those that have their job already are left alone."""
        script = self._scripts["create"]
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for job in jobs:
                new = creation(
                    job.job_id, job.document, job.asked, priority, origin, None, job.scan, webhook=job.webhook
                )  # fmt: skip
                script(args=new, client=pipe)
            pipe.execute()

    def _created(self, answer: tuple[bytes, bytes], job_id: str) -> str:
        what, found = answer
        match what:
            case b"exists":
                raise ValueError(f"job {job_id} exists already")
            case b"conflict":
                raise _reused(found.decode())
            case b"cancelled":
                raise CancelledError("the series was cancelled, or has expired")
            case b"quota":
                raise quota_of_jobs(int(found))
        return found.decode()

    def unread(self, priorities: Iterable[Priority] = Priority) -> str | None:
        """The accepted job that is to be read next, the most urgent first; None where there is none."""
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for priority in priorities:
                pipe.zrange(f"{PREFIX}unread:{priority}", 0, 0)
            answers = pipe.execute()
        return next((found[0].decode() for found in answers if found), None)

    def count_unread(self, priority: Priority) -> int:
        """How many accepted jobs of this priority wait to be read."""
        with translated(self._client):
            return self._client.zcard(f"{PREFIX}unread:{priority}")

    def count_pending(self, key: str) -> int:
        """How many jobs of an API key wait to be read or refined."""
        with translated(self._client):
            return self._client.scard(f"{PREFIX}pending:{key}")

    def durations(self) -> dict[JobState, tuple[list[tuple[str, float]], float]]:
        """How many jobs took at most so many seconds from their acceptance to their end, and the sum of all, by how
        they ended.
        """
        with translated(self._client):
            held = cast(dict[bytes, bytes], self._client.hgetall(ENDED))
        told = {name.decode(): float(value) for name, value in held.items()}
        bounds = (*map(str, SECONDS), "+Inf")
        found = {}
        for state in (state for state in JobState if state.final):
            counts = accumulate(told.get(f"{state}:{bound}", 0.0) for bound in bounds)
            found[state] = list(zip(bounds, counts, strict=True)), told.get(f"{state}:sum", 0.0)
        return found

    def oldest_waiting_s(self) -> float:
        """For how long the job has waited that has waited longest to be read or refined; 0 where none waits."""
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for state in (JobState.ACCEPTED, JobState.QUEUED):
                pipe.zrange(f"{PREFIX}jobs:{state}", 0, 0)
            first = [job_id for listed in pipe.execute() for job_id in listed]
        created = [record.created for record in self.existing(first)]
        return max(0.0, self.now() - min(created)) if created else 0.0

    def take(self, job_id: str, reader: str) -> bool:
        """Begin to read the data of an accepted job.
        False where it is not accepted any more, or has ended its readers too often.

        reader: new for every call, so that two threads never read the same job; whoever reads for long says so
        (`announce_readers`), else the job is taken for lost (`reclaim`).
        """
        return bool(self._run("take", job_id, reader, MAX_DELIVERIES))

    def give_back(self, job_id: str, reader: str) -> bool:
        """Read it later: the job is accepted again."""
        return bool(self._run("give_back", job_id, reader))

    def reclaim(self) -> int:
        """Let what dead readers were reading be read again; how many."""
        return int(self._run("reclaim", _PRESENT_S))

    def queue(
        self,
        job_id: str,
        reader: str,
        document: bytes,
        message: QueuedMessage,
        *,
        fingerprint: str = "",
        first: str = "",
    ) -> bool:
        """The data are read; the job is QUEUED and handed out by its message, in one write. False where it was
        cancelled or is not this reader's any more.

        message: of `broker.Queue.message`. first: name in the store of the network's image, its first revision.
        """
        handed_out = message.queue, message.body, message.channel, message.word
        return bool(self._run("queue", job_id, reader, document, fingerprint, first, *handed_out))

    def conclude(
        self,
        job_id: str,
        reader: str,
        state: JobState,
        *,
        reason: str = "",
        document: bytes | None = None,
        fingerprint: str = "",
        kind: str = "network",
        result: str = "",
    ) -> bool:
        """End a job that needs no worker, or cannot be read. kind: of its only revision.
        False where it is not this reader's.
        """
        args = (job_id, reader, state.value, reason, document or b"", fingerprint, kind, result)
        return bool(self._run("conclude", *args))

    def promise(self, job_id: str) -> None:
        """Somebody is told to ask for this job later: whatever its data are, it stays. Raises UnknownJobError."""
        if not self._run("promise", job_id):
            raise unknown(job_id)

    def discard(self, job_id: str, reader: str, reason: str) -> bool:
        """Forget a job whose sender is told at once that its data cannot be used; it has FAILED where it was promised.

        False where it was not forgotten.
        """
        return bool(self._run("discard", job_id, reader, reason))

    def replayed(self, owner: str, repeatable: Repeatable) -> JobRecord | None:
        """The job of the same request with the same key, where there is one.
        Raises KeyReusedError for another request.
        """
        with translated(self._client):
            digest, job_id = cast(list[bytes | None], self._client.hmget(repeatable.slot(owner), "request", "job"))
        if digest is None or job_id is None:
            return None
        try:
            record = self.get(job_id.decode())
        except UnknownJobError:
            return None
        if digest.decode() != repeatable.digest:
            raise _reused(record.job_id)
        return record

    def earlier(self, fingerprint: str) -> JobRecord | None:
        """The job that has the result of this fingerprint, where there is one."""
        with translated(self._client):
            job_id = cast(bytes | None, self._client.hget(f"{PREFIX}fingerprints", fingerprint))
        try:
            return self.get(job_id.decode()) if job_id else None
        except UnknownJobError:
            return None

    def get(self, job_id: str) -> JobRecord:
        """The record of a job."""
        with translated(self._client):
            fields = cast(dict[bytes, bytes], self._client.hgetall(job_key(job_id)))
        if not fields:
            raise unknown(job_id)
        return JobRecord.of(job_id, fields)

    def page(self, wanted: Filter | None = None, *, cursor: str | None = None, limit: int = 50) -> Page:
        """Jobs, newest first. Raises ValueError for a cursor that is none."""
        wanted = wanted or Filter()
        below = f"({int(cursor)}" if cursor else "+inf"
        found: list[JobRecord] = []
        for _ in range(_LOOKED_AT // limit + 1):
            listed = newest(self._client, wanted.indexes(), below, limit)
            for record in self.existing(name for name, _ in listed):
                if record.created < wanted.since:
                    return Page(tuple(found), None)
                if wanted.takes(record):
                    found.append(record)
                if len(found) == limit:
                    return Page(tuple(found), str(record.sequence))
            if len(listed) < limit:
                return Page(tuple(found), None)
            below = f"({int(listed[-1][1])}"
        return Page(tuple(found), below.removeprefix("("))

    def position(self, job_id: str) -> int | None:
        """How many queued jobs go before this one; None where it is not queued."""
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for priority in Priority:
                pipe.zrank(f"{PREFIX}waiting:{priority}", job_id)
                pipe.zcard(f"{PREFIX}waiting:{priority}")
            answers = pipe.execute()
        before = 0
        for rank, waiting in zip(answers[::2], answers[1::2], strict=True):
            if rank is not None:
                return before + int(rank)
            before += int(waiting)
        return None

    def count(self, state: JobState) -> int:
        """How many jobs are in this state."""
        with translated(self._client):
            return self._client.zcard(f"{PREFIX}jobs:{state}")

    def request_cancel(self, job_id: str, why: str = "", by: str = "") -> JobState:
        """Cancel. A queued job is cancelled when this returns;
        a running one when its worker has seen it (still RUNNING here).

        A job that has ended stays as it is: its state is returned. Asking twice changes nothing.
        why: becomes part of the job's reason. by: who asks; the first one is kept.
        """
        state = self._run("cancel", job_id, why, by)
        if not state:
            raise unknown(job_id)
        return JobState(state.decode())

    def cancelled(self, job_id: str) -> bool:
        """Whether the cancellation of a job was requested before its end. False for an unknown id."""
        with translated(self._client):
            return bool(self._client.hexists(job_key(job_id), "cancel"))

    def claim(self, job_id: str, message_id: str, worker: str) -> int | None:
        """Start an attempt and return its number, or None where there is nothing to do.

        Nothing is to do where the job has ended or expired, where another message stands for it by now, where its
        cancellation was requested, and where it has ended its worker process MAX_DELIVERIES times: it fails as
        poisoned.
        """
        return cast(int | None, self._run("claim", job_id, message_id, worker, MAX_DELIVERIES))

    def progress(self, job_id: str, attempt: int, progress: RecordedProgress) -> bool:
        """Say how far an attempt is. False where the attempt is no longer the current one: it should stop."""
        return bool(self._run("progress", job_id, attempt, json.dumps(asdict(progress))))

    def revise(self, job_id: str, attempt: int, result: str) -> bool:
        """A running job has a refined result that a better one will follow; once for each name. False where stale."""
        return bool(self._run("revise", job_id, attempt, result))

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

    def release(self, job_id: str, attempt: int, *, blame: str = "") -> bool:
        """Put a running job back into the queue: its worker leaves. False where the attempt is stale.

        blame: what happened, where it may be the job's doing: then the delivery counts (MAX_DELIVERIES).
        """
        return bool(self._run("release", job_id, attempt, blame))

    def should_stop(self, job_id: str, attempt: int) -> str:
        """Why an attempt should stop: "cancelled", "stale" (another attempt runs, or the job is gone),
        or "" to go on.
        """
        with translated(self._client):
            state, current, cancel = cast(
                list[bytes | None], self._client.hmget(job_key(job_id), "state", "attempt", "cancel")
            )
        if state != JobState.RUNNING.value.encode() or current != str(attempt).encode():
            return "stale"
        return "cancelled" if cancel else ""

    def assign(self, job_id: str, message_id: str) -> None:
        """Note which message stands for the job: deliveries of any other are dropped,
        so a job has one message at a time.
        """
        self._run("assign", job_id, message_id)

    def message_of(self, job_id: str) -> str:
        """The message that stands for the job; the first one bears the job's id."""
        with translated(self._client):
            return (cast(bytes | None, self._client.hget(job_key(job_id), "message")) or b"").decode()

    def unfinished(self) -> list[str]:
        """Ids of all queued and running jobs: those that a message stands for."""
        with translated(self._client):
            queued = cast(Sequence[bytes], self._client.zrange(f"{PREFIX}jobs:queued", 0, -1))
            running = cast(Sequence[bytes], self._client.zrange(f"{PREFIX}jobs:running", 0, -1))
        return [job_id.decode() for job_id in (*queued, *running)]

    def finished_before(self, moment: float) -> list[str]:
        """Ids of jobs that ended before this time (seconds since the epoch), the earliest first."""
        with translated(self._client):
            ids = cast(Sequence[bytes], self._client.zrangebyscore(f"{PREFIX}finished", "-inf", f"({moment}"))
        return [job_id.decode() for job_id in ids]

    def now(self) -> float:
        """Redis's time: seconds since the epoch."""
        with translated(self._client):
            seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6

    def without_record(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that neither a job nor a live scan has."""
        names = list(ids)
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for name in names:
                pipe.exists(job_key(name), f"{PREFIX}scan:{name}")
            answers = pipe.execute()
        return [name for name, found in zip(names, answers, strict=True) if not found]

    def remove(self, job_id: str) -> bool:
        """Forget a job that has ended. False where it has not: it stays."""
        return bool(self._run("remove", job_id))

    def announce(self, worker: str) -> None:
        """Say that a worker lives, and forget those that have not said so lately."""
        self._run("announce", worker, "workers", _PRESENT_S)

    def announce_readers(self, readers: Iterable[str]) -> None:
        """Say that these jobs are still being read."""
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for reader in readers:
                self._scripts["announce"](args=[reader, "readers"], client=pipe)
            pipe.execute()

    def depart(self, worker: str) -> None:
        """Say that a worker has left."""
        with translated(self._client):
            self._client.zrem(f"{PREFIX}workers", worker)

    def workers(self) -> list[str]:
        """Names of the workers that spoke within the last seconds."""
        return [name.decode() for name in self._run("present", _PRESENT_S)]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def wait(self, job_id: str, timeout_s: float) -> JobRecord:
        """The record as soon as the job has ended, or as it stands after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        async with connect_async(self._url, retries=self._retries) as client:
            async for event in stream(client, job_key(job_id), "0-0", deadline, lost=unknown(job_id)):
                if event is not None and event.ends:
                    break
            with translated():
                fields = cast(dict[bytes, bytes], await client.hgetall(job_key(job_id)))
        if not fields:
            raise unknown(job_id)
        return JobRecord.of(job_id, fields)

    async def follow(self, job_id: str, after: str = "0-0") -> AsyncGenerator[Event | None, None]:
        """What happens to a job, from the event after `after` to its end; None about every two silent seconds.

        The None lets a caller see that its client is gone, or keep a proxy awake.
        """
        async with connect_async(self._url, retries=self._retries) as client:
            async for event in stream(client, job_key(job_id), after, float("inf"), lost=unknown(job_id)):
                yield event

    async def follow_all(self, after: str | None = None) -> AsyncGenerator[JobEvent | None, None]:
        """What happens to all jobs, from the event after `after` or from now on; None about every two silent seconds.

        The first one, `listening`, says where following begins, and whether events after `after` have been forgotten.
        """
        async with connect_async(self._url, retries=self._retries) as client:
            async for event in stream_of_all(client, after):
                yield event

    def _run(self, name: str, *args: str | bytes | float) -> Any:
        with translated(self._client):
            return self._scripts[name](args=args)

    def existing(self, ids: Iterable[bytes]) -> Iterator[JobRecord]:
        """The records of these ids; one may have expired since it was listed."""
        names = [name.decode() for name in ids]
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for name in names:
                pipe.hgetall(job_key(name))
            answers = pipe.execute()
        return (JobRecord.of(name, fields) for name, fields in zip(names, answers, strict=True) if fields)


def quota_of_jobs(waiting: int, more: int = 1) -> QuotaError:
    """The error of a key that has as many jobs waiting as it may, or would have with `more` of them."""
    much = "as many as it may have" if more == 1 else f"too many for {more} more"
    return QuotaError(
        f"{waiting} jobs of this key wait to be read or refined, which is {much}: wait until some have ended, cancel "
        "some, or ask the operator for a larger quota"
    )


def _reused(job_id: str) -> KeyReusedError:
    return KeyReusedError(
        f"this Idempotency-Key came before with another request, which became job {job_id}: use a new key"
    )
