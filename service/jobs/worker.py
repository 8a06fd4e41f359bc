"""The worker: takes jobs one at a time, refines them, writes the result and ends the record. Loads torch.

One process computes one job; more processes make more workers. While the job's thread computes, Dramatiq's consumer
thread beats the heart and `Watch` talks to Redis, so the computation never waits for the network.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import dramatiq
import dramatiq.worker

from inphase.errors import CancelledError, InphaseError
from service import png
from service.jobs.broker import ACTOR, QUEUE, JobBroker, Queue
from service.jobs.errors import QueueUnavailableError, UnknownJobError
from service.jobs.record import Records
from service.jobs.settings import WorkerSettings
from service.jobs.state import JobState, Priority, Progress
from service.jobs.store import Store
from service.jobs.task import Outcome, Perform, Planes, Task

logger = logging.getLogger(__name__)

_WATCH_S: Final = 0.1  # from a request to cancel to the flag that the next iteration sees
_PROGRESS_S: Final = 0.2  # at most 5 times a second
_ANNOUNCE_S: Final = 1.0
_UNWIND_S: Final = 10.0  # a computation told to stop answers within an iteration; after this it hangs
_ORPHAN_S: Final = 3.0  # how long a worker may outlive its service
_PATIENT: Final = 40  # retries of what must reach Redis: about half a minute


@dataclass(frozen=True)
class Leave:
    """How a worker is told to go: `asked` lets the job at hand finish within `drain_s`, `now` gives it back at once."""

    asked: threading.Event = field(default_factory=threading.Event)
    now: threading.Event = field(default_factory=threading.Event)


class Watch(threading.Thread):
    """Stands beside a computing job: tells Redis how far it is, and the job when to stop.

    stop_reason: "" while the job may go on; else "cancelled", "stale", "time limit" or "leaving".
    """

    def __init__(
        self,
        records: Records,
        store: Store,
        job_id: str,
        attempt: int,
        time_limit_s: float,
        leaving: threading.Event,
    ) -> None:
        super().__init__(name=f"watch-{job_id}", daemon=True)
        self.stop_reason = ""
        self._records, self._store = records, store
        self._job_id, self._attempt, self._leaving = job_id, attempt, leaving
        self._time_limit_s = time_limit_s
        self._deadline = time.monotonic() + time_limit_s
        self._news: Progress | None = None
        self._planes: Planes = ()
        self._preview_due = 0.0
        self._previewed = False
        self._done = threading.Event()

    def report(self, progress: Progress, preview: Callable[[], Planes] | None = None) -> None:
        """Note how far the job is, and a few times a second what it looks like. Called by the computation."""
        if preview is not None and (now := time.monotonic()) >= self._preview_due:
            self._planes, self._preview_due = preview(), now + _PROGRESS_S
        self._news = progress

    def cancelled(self) -> bool:
        """Whether the job should stop."""
        return bool(self.stop_reason)

    def close(self) -> None:
        """The computation is over."""
        self._done.set()
        self.join()

    def limit_text(self) -> str:
        """The reason of a job that took too long."""
        return f"time limit: the job ran longer than {self._time_limit_s:g} s; use a shorter recipe or raise the limit"

    def run(self) -> None:
        told_at, told = 0.0, None
        while not self._done.wait(_WATCH_S):
            now = time.monotonic()
            if now > self._deadline + _UNWIND_S:
                self._give_up()
            try:
                if not self.stop_reason:
                    self.stop_reason = self._look(now)
                if self._news is not told and now - told_at >= _PROGRESS_S:
                    told, told_at = self._news, now
                    if told is not None:
                        self._tell(told)
            except QueueUnavailableError:
                continue  # the computation goes on; its end is reported with more patience

    def _tell(self, news: Progress) -> None:
        planes, self._planes = self._planes, ()
        if planes:
            try:
                self._store.write_preview(self._job_id, self._attempt, png.preview(planes))
                self._previewed = True
            except OSError as error:  # a full disk ends the job when its result is written, not for a picture
                logger.warning("job %s: no preview: %s", self._job_id, error)
        self._records.progress(self._job_id, self._attempt, replace(news, preview=self._previewed))

    def _look(self, now: float) -> str:
        if now > self._deadline:
            return "time limit"
        if self._leaving.is_set():
            return "leaving"
        return self._records.should_stop(self._job_id, self._attempt)

    def _give_up(self) -> None:
        """The computation does not come back, and a thread cannot be killed: end the job, then the process."""
        logger.critical("job %s hangs: ending this worker", self._job_id)
        try:
            self._records.finish(self._job_id, self._attempt, JobState.FAILED, reason=self.limit_text())
        finally:
            os._exit(70)


class Refiner:
    """The actor: one delivery of a job, from claim to end."""

    def __init__(self, settings: WorkerSettings, perform: Perform, leaving: threading.Event) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._leaving = leaving
        self._settings = settings
        self._perform = perform
        self._store = Store(settings.store)
        self._records = Records(settings.redis_url, retries=_PATIENT)
        self._hasty = Records(settings.redis_url)
        self._queue = Queue(settings.redis_url, self._records)

    def refine(self, job_id: str, message_id: str) -> None:
        """Deal with a delivery; when this returns, the message is acknowledged."""
        attempt = self._records.claim(job_id, message_id, self.name)
        if attempt is None:
            return
        try:
            record = self._records.get(job_id)
        except UnknownJobError:
            return
        logger.info("job %s: attempt %d", job_id, attempt)
        watch = Watch(self._hasty, self._store, job_id, attempt, self._settings.time_limit_s, self._leaving)
        watch.start()
        try:
            task = Task(
                job_id, attempt, record.document, self._store, self._settings.device, watch.report, watch.cancelled
            )
            outcome = self._perform(task)
        except CancelledError:
            watch.close()
            self._stopped(job_id, attempt, record.priority, watch)
        except InphaseError as error:
            watch.close()
            self._fail(job_id, attempt, str(error))
        except MemoryError:
            watch.close()
            self._fail(job_id, attempt, "out of memory: the volume is too large for this worker")
        except Exception as error:
            watch.close()
            logger.exception("job %s failed", job_id)
            self._fail(job_id, attempt, f"internal error: {type(error).__name__}: {error}")
        else:
            watch.close()
            self._publish(job_id, attempt, outcome)

    def _publish(self, job_id: str, attempt: int, outcome: Outcome) -> None:
        """Write the result beside those of other attempts, then let the record say which one counts."""
        name = f"result-{attempt}"
        try:
            self._store.write(job_id, name, outcome.arrays)
        except InphaseError as error:
            self._fail(job_id, attempt, str(error))
            return
        if not self._records.finish(job_id, attempt, JobState.SUCCEEDED, document=outcome.document, result=name):
            self._store.delete(job_id, name)
            logger.warning("job %s: attempt %d came too late, dropped", job_id, attempt)

    def _stopped(self, job_id: str, attempt: int, priority: Priority, watch: Watch) -> None:
        match watch.stop_reason:
            case "cancelled":
                self._records.finish(job_id, attempt, JobState.CANCELLED, reason="cancelled on request")
            case "time limit":
                self._fail(job_id, attempt, watch.limit_text())
            case "leaving":
                if self._records.release(job_id, attempt):
                    self._queue.enqueue_again(job_id, priority)
            case _:
                logger.warning("job %s: another attempt has taken over from attempt %d", job_id, attempt)

    def _fail(self, job_id: str, attempt: int, reason: str) -> None:
        self._records.finish(job_id, attempt, JobState.FAILED, reason=reason)

    def announce(self) -> None:
        """Say that this worker lives, as long as the process does."""
        while True:
            try:
                self._hasty.announce(self.name)
            except QueueUnavailableError:
                logger.warning("Redis is away")
            time.sleep(_ANNOUNCE_S)

    def depart(self) -> None:
        """Say that this worker is gone."""
        try:
            self._hasty.depart(self.name)
        except QueueUnavailableError:
            return


def main(settings: WorkerSettings, perform: Perform | None = None, leave: Leave | None = None) -> None:
    """Work until SIGTERM or SIGINT (or `leave`): then finish the job at hand within `drain_s`, or give it back.

    perform: what refines; by default service.refine.perform.
    """
    leave = leave or Leave()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leave.asked.set())
    refiner = Refiner(settings, perform or _warm_refinement(settings), leave.now)
    broker = JobBroker(settings.redis_url, levels=settings.levels)
    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)(refiner.refine)
    # Dramatiq waits for seconds after a lost connection; both constants are read at every use.
    dramatiq.worker.CONSUMER_RESTART_DELAY_SECS = 0.5
    dramatiq.worker.POST_PROCESS_MESSAGE_RETRY_DELAY_SECS = 1
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=250)
    worker.start()
    threading.Thread(target=refiner.announce, name="announce", daemon=True).start()
    logger.info("worker %s is ready (%s)", refiner.name, settings.device)
    leave.asked.wait()
    logger.info("worker %s leaves", refiner.name)
    broker.draining.set()
    give_back = threading.Timer(settings.drain_s, leave.now.set)
    give_back.daemon = True
    give_back.start()
    worker.stop(timeout=int((settings.drain_s + _UNWIND_S) * 1000))
    give_back.cancel()
    refiner.depart()


def supervised(perform: Perform | None = None) -> None:
    """The worker process of a service: settings come as the first line of stdin, and its end is the service's end."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s %(levelname)s worker[{os.getpid()}] %(name)s: %(message)s"
    )
    settings = WorkerSettings.from_json(sys.stdin.readline())
    leave = Leave()
    threading.Thread(target=_follow_parent, args=(leave,), name="parent", daemon=True).start()
    main(settings, perform, leave)
    logging.shutdown()
    os._exit(0)  # without interpreter finalisation: daemon threads may sit in native code


def _follow_parent(leave: Leave) -> None:
    """Go when the service is gone: its end of the pipe closes whatever killed it."""
    sys.stdin.read()
    leave.now.set()
    leave.asked.set()
    time.sleep(_ORPHAN_S)
    os._exit(1)


def _warm_refinement(settings: WorkerSettings) -> Perform:
    """service.refine.perform, with torch loaded and everything compiled that the first job would wait for."""
    import torch

    from service import refine

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    refine.warm(settings.device)
    return refine.perform


if __name__ == "__main__":
    supervised()
