"""The worker: takes jobs, has them refined in compute processes, and ends their records. It never loads torch itself.

Each compute process (service.jobs.compute) serves one of Dramatiq's worker threads. While it computes, the thread looks
after the job: progress to Redis, cancellation and limits to the process. The computation never waits for the network,
and the heart beats whatever the computation does. How an attempt ends:

* the process answers: succeeded, failed with its reason, or stopped as it was told;
* the process crashes or ends itself: that is the job's doing, it fails with the signal or the exit code;
* the process is killed: perhaps the job's doing (memory), perhaps not. The job goes back to the head of the queue, and
  after MAX_DELIVERIES such ends it fails as poisoned;
* the worker itself is killed: its compute processes go with it, and another worker gets the job after the heartbeat's
  timeout, counted in the same way.
"""

import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import dramatiq
import dramatiq.worker
from structlog.contextvars import bound_contextvars

from service.jobs.broker import ACTOR, QUEUE, JobBroker, Queue
from service.jobs.compute import Assignment, Ended, Failed, Halted, Revised, Succeeded, Told, Unstored
from service.jobs.entry import JobRecord
from service.jobs.errors import (
    QueueUnavailableError,
    StoreError,
    StoreTooSmallError,
    UnknownJobError,
    WorkerError,
)
from service.jobs.figures import Figures, Outcome
from service.jobs.housekeeping import make_room
from service.jobs.process import ComputeProcess, ProcessDiedError
from service.jobs.record import Records
from service.jobs.series import SeriesRecords
from service.jobs.settings import WorkerSettings
from service.jobs.state import JobState, RecordedProgress
from service.jobs.store import Store
from service.jobs.task import Planes, checkpoint_name, result_name
from service.logs import configure_logging
from service.pictures import png
from service.tracing import Tracing

logger = logging.getLogger(__name__)

T = TypeVar("T")

PERFORM: Final = "service.jobs.perform"  # the module that refines
_WATCH_S: Final = 0.05  # from a request to cancel to the flag that the next iteration sees
_ANNOUNCE_S: Final = 1.0
_UNWIND_S: Final = 10.0  # a computation told to stop answers within an iteration; after this it hangs
_ORPHAN_S: Final = 3.0  # how long a worker may outlive its service
_REPEAT_S: Final = 0.5  # between two tries of what must reach Redis
_STORE_LOOK_S: Final = 5.0  # between two looks at a store that failed
_RESTART_S: Final = (0.0, 1.0, 5.0, 30.0)  # before the next try to start a compute process


@dataclass(frozen=True)
class Leave:
    """How a worker is told to go: `asked` lets the job at hand finish within `drain_s`, `now` gives it back at once."""

    asked: threading.Event = field(default_factory=threading.Event)
    now: threading.Event = field(default_factory=threading.Event)


class Watch:
    """Looks after one attempt while it is computed: tells Redis how far it is, and the compute process when to stop.

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
        self.stop_reason = ""
        self._records, self._store = records, store
        self._job_id, self._attempt, self._leaving = job_id, attempt, leaving
        self._time_limit_s = time_limit_s
        self._deadline = time.monotonic() + time_limit_s

    def over(self, compute: ComputeProcess) -> Ended:
        """Wait for the end of the computation. Raises ProcessDiedError."""
        halted_at: float | None = None
        while True:
            match compute.receive(_WATCH_S):
                case Told(progress, planes):
                    self._tell(progress, planes)
                case Revised(result):
                    self._revise(result)
                case Succeeded() | Failed() | Unstored() | Halted() as end:
                    return end
            if halted_at is not None:
                if time.monotonic() - halted_at > _UNWIND_S:
                    logger.critical("job %s hangs: ending its compute process", self._job_id)
                    compute.close()
                    return Halted()
            elif self._look():
                compute.halt()
                halted_at = time.monotonic()

    @property
    def limit_text(self) -> str:
        """The reason of a job that took too long."""
        return f"time limit: the job ran longer than {self._time_limit_s:g} s; use a shorter recipe or raise the limit"

    def _tell(self, progress: RecordedProgress, planes: Planes) -> None:
        previewed = False
        if planes:
            try:
                self._store.write_preview(self._job_id, self._attempt, png.preview(planes))
                previewed = True
            except OSError as error:  # a full disk ends the job when its result is written, not for a picture
                logger.warning("job %s: no preview: %s", self._job_id, error)
        try:
            self._records.progress(self._job_id, self._attempt, replace(progress, preview=previewed))
        except QueueUnavailableError:
            return  # the computation goes on; its end is told until Redis takes it

    def _revise(self, result: str) -> None:
        try:
            self._records.revise(self._job_id, self._attempt, result)
        except QueueUnavailableError as error:  # the one that follows makes up for it
            logger.warning("job %s: %s is not told: %s", self._job_id, result, error)

    def _look(self) -> str:
        if time.monotonic() > self._deadline:
            self.stop_reason = "time limit"
        elif self._leaving.is_set():
            self.stop_reason = "leaving"
        else:
            try:
                self.stop_reason = self._records.should_stop(self._job_id, self._attempt)
            except QueueUnavailableError:
                return ""
        return self.stop_reason


class Seat:
    """A compute process and the name under which its worker announces it."""

    def __init__(self, name: str, settings: WorkerSettings, perform: str) -> None:
        self.name = name
        self.compute = ComputeProcess(settings.compute, perform)
        self.busy = False

    @property
    def state(self) -> str:
        """Whether it can compute, and does."""
        return "away" if not self.compute.alive else "busy" if self.busy else "idle"

    def keep(self, leaving: threading.Event) -> int:
        """Have a warm compute process: replace one that died. How many were started for that."""
        tries = 0
        while not self.compute.alive and not leaving.is_set():
            leaving.wait(_RESTART_S[min(tries, len(_RESTART_S) - 1)])
            tries += 1
            try:
                self.compute.close()
                self.compute.start()
                self.compute.await_ready(leaving)
            except (WorkerError, OSError) as error:
                logger.error("%s: %s", self.name, error)
        return tries


class Refiner:
    """The actor: one delivery of a job, from claim to end."""

    def __init__(self, settings: WorkerSettings, leave: Leave, perform: str = PERFORM) -> None:
        self._leave = leave
        self._settings = settings
        self._store = Store(settings.store)
        self._records = Records(settings.redis_url)
        self._hasty = Records(settings.redis_url, retries=0)
        self._series = SeriesRecords(settings.redis_url)
        self._queue = Queue(settings.redis_url, self._records)
        name = f"{socket.gethostname()}:{os.getpid()}"
        self.seats = tuple(Seat(f"{name}:{index}", settings, perform) for index in range(settings.concurrency))
        self._free: queue.SimpleQueue[Seat] = queue.SimpleQueue()
        for seat in self.seats:
            self._free.put(seat)
        self.figures = Figures(self._states)
        self._tracing = Tracing.configured("worker")

    def _states(self) -> dict[str, int]:
        states = Counter(seat.state for seat in self.seats)
        return {state: states[state] for state in ("idle", "busy", "away")}

    def warm(self) -> None:
        """Start the compute processes, all at a time. Raises WorkerError where one does not come up."""
        for seat in self.seats:
            seat.compute.start()
        for seat in self.seats:
            seat.compute.await_ready(self._leave.asked)

    def refine(self, job_id: str, message_id: str) -> None:
        """Deal with a delivery; when this returns, the message is acknowledged."""
        with self._seated() as seat, bound_contextvars(job=job_id):
            attempt = self._insist(lambda: self._records.claim(job_id, message_id, seat.name))
            if attempt is None:
                return
            try:
                record = self._insist(lambda: self._records.get(job_id))
            except UnknownJobError:
                return
            except (KeyError, ValueError, TypeError) as error:
                self._fail(
                    job_id, attempt, f"its record cannot be read, another version of inphase wrote it: {error!r}"
                )
                return
            with bound_contextvars(owner=record.owner, request_id=record.request_id):
                logger.info("job %s: attempt %d", job_id, attempt)
                self._attempt(record, attempt, seat)

    def _insist(self, call: Callable[[], T]) -> T:
        """Repeat what must reach Redis until it does: a Redis that is away or refuses costs no job its result.

        Raises QueueUnavailableError when this worker has to leave at last: another one will get the job.
        """
        last = float("inf")
        while True:
            try:
                return call()
            except QueueUnavailableError as error:
                now = time.monotonic()
                if now > last:
                    raise
                if self._leave.now.is_set():
                    last = min(last, now + _UNWIND_S)
                logger.warning("%s", error)
                time.sleep(_REPEAT_S)

    def _end(
        self, job_id: str, attempt: int, state: JobState, reason: str = "", document: bytes = b"", result: str = ""
    ) -> bool:
        """End the record. False where the attempt is stale."""
        return self._insist(
            lambda: self._records.finish(job_id, attempt, state, reason=reason, document=document, result=result)
        )

    def _give_back(self, record: JobRecord, attempt: int, blame: str = "") -> Outcome:
        """Put the job at the head of the queue again, unless another attempt runs."""
        if self._insist(lambda: self._records.release(record.job_id, attempt, blame=blame)):
            self._insist(lambda: self._queue.enqueue_again(record.job_id, record.priority))
        return "given back"

    @contextmanager
    def _seated(self) -> Iterator[Seat]:
        """A seat whose compute process is warm, and is again afterwards."""
        seat = self._free.get()
        seat.busy = True
        try:
            self.figures.restarted(seat.keep(self._leave.now))
            yield seat
            self.figures.restarted(seat.keep(self._leave.asked))
        finally:
            seat.busy = False
            self._free.put(seat)

    def _attempt(self, record: JobRecord, attempt: int, seat: Seat) -> None:
        watch = Watch(self._hasty, self._store, record.job_id, attempt, self._settings.time_limit_s, self._leave.now)
        about: dict[str, str | int] = {"inphase__job": record.job_id, "inphase__attempt": attempt}
        with self._tracing.span("refine job", "consumer", record.traceparent, **about) as span:
            begun, end = time.monotonic(), None
            try:
                seat.compute.assign(
                    Assignment(
                        record.job_id, attempt, record.document, record.owner, record.request_id, record.waited_s
                    )
                )
                end = watch.over(seat.compute)
            except ProcessDiedError as died:
                outcome = self._died(record, attempt, died)
            else:
                outcome = self._ended(record, attempt, end, watch)
            laps = () if end is None else end.laps
            span.stages(laps)
            span.tell(inphase__outcome=outcome)
            if outcome in ("failed", "died"):
                span.fail(outcome)
            self.figures.ended(outcome, time.monotonic() - begun, laps)
        if isinstance(end, Unstored):
            self._rest(end.nbytes)

    def _ended(self, record: JobRecord, attempt: int, end: Ended, watch: Watch) -> Outcome:
        """Tell the record how an attempt ended."""
        match end:
            case Succeeded(document):
                return self._publish(record.job_id, attempt, document)
            case Failed(reason):
                return self._fail(record.job_id, attempt, reason)
            case Unstored(reason):
                logger.error("job %s: given back: %s", record.job_id, reason)
                return self._give_back(record, attempt)
            case Halted():
                return self._stopped(record, attempt, watch)

    def _publish(self, job_id: str, attempt: int, document: bytes) -> Outcome:
        """The result lies beside those of other attempts: let the record say which one counts."""
        name = result_name(attempt)
        if not self._end(job_id, attempt, JobState.SUCCEEDED, document=document, result=name):
            return self._drop(job_id, attempt)
        self._tidy(job_id, name)
        return "succeeded"

    def _stopped(self, record: JobRecord, attempt: int, watch: Watch) -> Outcome:
        job_id = record.job_id
        match watch.stop_reason:
            case "cancelled":
                if self._end(job_id, attempt, JobState.CANCELLED, "cancelled on request"):
                    self._tidy(job_id, "")
                return "cancelled"
            case "time limit":
                return self._fail(job_id, attempt, watch.limit_text)
            case "leaving":
                return self._give_back(record, attempt)
            case _:
                return self._drop(job_id, attempt)

    def _died(self, record: JobRecord, attempt: int, died: ProcessDiedError) -> Outcome:
        logger.error("job %s: attempt %d: %s", record.job_id, attempt, died.account)
        if not died.killed:
            self._fail(record.job_id, attempt, f"crash: {died.account} while it worked on this job")
        else:
            self._give_back(record, attempt, died.account)
        return "died"

    def _rest(self, nbytes: int) -> None:
        """The store was no fault of the job, which was given back: this seat takes none until the store works again."""
        while not self._leave.asked.wait(_STORE_LOOK_S):
            try:
                make_room(self._hasty, self._series, self._store, nbytes)
                self._store.probe()
                return
            except StoreTooSmallError:
                return  # it has shrunk: the next attempt says so
            except (StoreError, QueueUnavailableError) as error:
                logger.warning("no job is taken: %s", error)

    def _fail(self, job_id: str, attempt: int, reason: str) -> Outcome:
        if self._end(job_id, attempt, JobState.FAILED, reason):
            self._tidy(job_id, "")
        return "failed"

    def _tidy(self, job_id: str, result: str) -> None:
        """The job has ended: forget the checkpoints, and what other attempts have left."""
        with suppress(StoreError):  # where the store fails, it goes with the job
            for name in self._store.names(job_id):
                if name.startswith(("checkpoint-", "result-")) and name != result:
                    self._store.delete(job_id, name)

    def _drop(self, job_id: str, attempt: int) -> Outcome:
        logger.warning("job %s: attempt %d came too late, dropped", job_id, attempt)
        with suppress(StoreError):
            self._store.delete(job_id, result_name(attempt))
            self._store.delete(job_id, checkpoint_name(attempt))
        return "stale"

    def announce(self) -> None:
        """Say which seats can compute, as long as the process lives."""
        while True:
            try:
                for seat in self.seats:
                    if seat.compute.alive:
                        self._hasty.announce(seat.name)
            except QueueUnavailableError as error:
                logger.warning("%s", error)
            except Exception:  # without this thread the worker counts as dead
                logger.exception("the worker could not say that it lives")
            time.sleep(_ANNOUNCE_S)

    def depart(self) -> None:
        """Say that this worker is gone, send what was traced, and end its compute processes."""
        for seat in self.seats:
            seat.compute.close()
        self._tracing.close()
        try:
            for seat in self.seats:
                self._hasty.depart(seat.name)
        except QueueUnavailableError:
            return


def main(settings: WorkerSettings, leave: Leave | None = None, perform: str = PERFORM) -> None:
    """Work until SIGTERM or SIGINT (or `leave`): then finish the jobs at hand within `drain_s`, or give them back.

    perform: the module that refines. Raises WorkerError where its compute processes do not come up.
    """
    leave = leave or Leave()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leave.asked.set())
    refiner = Refiner(settings, leave, perform)
    if settings.metrics_port is not None:
        refiner.figures.serve(settings.metrics_port)
    try:
        refiner.warm()
        if not leave.asked.is_set():
            _serve(settings, refiner, leave)
    finally:
        refiner.depart()


def _serve(settings: WorkerSettings, refiner: Refiner, leave: Leave) -> None:
    broker = JobBroker(settings.redis_url, levels=settings.levels, slots=settings.concurrency)
    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)(refiner.refine)
    # Dramatiq waits for seconds after a lost connection; both constants are read at every use.
    dramatiq.worker.CONSUMER_RESTART_DELAY_SECS = 0.5
    dramatiq.worker.POST_PROCESS_MESSAGE_RETRY_DELAY_SECS = 1
    worker = dramatiq.Worker(broker, worker_threads=settings.concurrency, worker_timeout=250)
    worker.start()
    threading.Thread(target=refiner.announce, name="announce", daemon=True).start()
    levels = ", ".join(broker.levels)
    logger.info("ready: %d at a time on %s, queues %s", settings.concurrency, settings.device, levels)
    leave.asked.wait()
    logger.info("leaving: jobs at hand may go on for %g s", settings.drain_s)
    broker.draining.set()
    give_back = threading.Timer(settings.drain_s, leave.now.set)
    give_back.daemon = True
    give_back.start()
    worker.stop(timeout=int((settings.drain_s + 2 * _UNWIND_S) * 1000))
    give_back.cancel()


def supervised(perform: str = PERFORM) -> None:
    """The worker process of a service: settings come as the first line of stdin, and its end is the service's end."""
    configure_logging("worker")
    settings = WorkerSettings.from_json(sys.stdin.readline())
    leave = Leave()
    threading.Thread(target=_follow_parent, args=(leave,), name="parent", daemon=True).start()
    main(settings, leave, perform)
    logging.shutdown()
    os._exit(0)  # without interpreter finalisation: daemon threads may sit in native code


def _follow_parent(leave: Leave) -> None:
    """Go when the service is gone: its end of the pipe closes whatever killed it."""
    sys.stdin.read()
    leave.now.set()
    leave.asked.set()
    time.sleep(_ORPHAN_S)
    os._exit(1)


if __name__ == "__main__":
    supervised()
