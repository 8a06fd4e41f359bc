"""Kills workers in mid-computation and Redis once, while jobs are worked on,
and keeps account of what became of the jobs.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from service.jobs.broker import Queue
from service.jobs.embedded import EmbeddedRedis
from service.jobs.entry import JobRecord
from service.jobs.errors import QueueUnavailableError
from service.jobs.record import MAX_DELIVERIES, Records
from service.jobs.state import JobState

WORKER, COMPUTE = "worker", "compute process"
_LOOK_S = 0.01
_RECOVER_S = 5.0  # the service does it every minute


@dataclass(frozen=True)
class Kill:
    """One kill. redelivered_s: until the next attempt began; None where the job had ended by then."""

    what: str
    job_id: str
    iteration: int
    redelivered_s: float | None


@dataclass
class Account:
    """What happened. recovered: jobs that had to be handed out again because no message stood for them."""

    kills: list[Kill] = field(default_factory=list)
    redis_kills: int = 0
    recovered: int = 0
    seconds: float = 0.0


def unleash(
    records: Records,
    queue: Queue,
    server: EmbeddedRedis,
    job_ids: Sequence[str],
    *,
    kills: int,
    spacing_s: float,
    seed: int = 0,
    progress: Callable[[int], None] = lambda ended: None,
    within_s: float = 3600.0,
) -> Account:
    """Kill until `kills` workers in mid-computation are dead and all jobs have ended; Redis itself halfway.

    Worker processes and compute processes take turns. A job is not killed a third time: after MAX_DELIVERIES the
    service would rightly take it for poison. Raises TimeoutError where jobs are left.
    """
    account, choice = Account(), random.Random(seed)
    begun = time.monotonic()
    due, recover_due = begun + spacing_s, begun + _RECOVER_S
    while (ended := len(job_ids) - len(set(job_ids).intersection(records.unfinished()))) < len(job_ids):
        progress(ended)
        now = time.monotonic()
        if now - begun > within_s:
            raise TimeoutError(f"{len(job_ids) - ended} jobs have not ended within {within_s:g} s")
        if now >= recover_due:
            with suppress(QueueUnavailableError):
                account.recovered += len(queue.recover())
            recover_due = now + _RECOVER_S
        if now >= due and len(account.kills) < kills:
            if account.redis_kills == 0 and len(account.kills) >= kills // 2:
                kill_redis(server)
                account.redis_kills += 1
                due = time.monotonic() + spacing_s
            elif victim := _victim(records, choice):
                what = (WORKER, COMPUTE)[len(account.kills) % 2]
                account.kills.append(_kill(records, victim, what))
                due = time.monotonic() + spacing_s
        time.sleep(_LOOK_S)
    account.seconds = time.monotonic() - begun
    progress(len(job_ids))
    return account


def kill_redis(server: EmbeddedRedis) -> None:
    """End the server as the kernel would; returns when another one answers."""
    before = server.guard_pid
    assert before is not None
    for process in psutil.Process(before).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # the guard's own helper goes with the server
            if "redis" in process.name() or "valkey" in process.name():
                process.kill()
    while server.guard_pid in (None, before) or not server.alive():
        time.sleep(_LOOK_S)


def compute_pid(worker: str) -> int | None:
    """The compute process behind a worker's name (host:pid:index), where it lives."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(int(worker.split(":")[1])).children():
            if "service.jobs.compute" in child.cmdline():
                return child.pid
    return None


def _running(records: Records) -> Iterator[JobRecord]:
    for job_id in records.unfinished():
        record = records.get(job_id)
        if record.state is JobState.RUNNING:
            yield record


def _victim(records: Records, choice: random.Random) -> JobRecord | None:
    """A job in mid-computation: it has reported progress."""
    able = [record for record in _running(records) if record.progress and record.attempt < MAX_DELIVERIES]
    return choice.choice(able) if able else None


def _kill(records: Records, victim: JobRecord, what: str) -> Kill:
    assert victim.progress is not None
    pid = int(victim.worker.split(":")[1]) if what == WORKER else compute_pid(victim.worker)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    while True:
        record = records.get(victim.job_id)
        if record.attempt > victim.attempt:
            return Kill(what, victim.job_id, victim.progress.iteration, time.monotonic() - begun)
        if record.state.final:
            return Kill(what, victim.job_id, victim.progress.iteration, None)
        time.sleep(_LOOK_S)
