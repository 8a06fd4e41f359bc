"""The compute process: refines one job at a time, in a process of its own, so that no job can end its worker.

Run as `python -m service.jobs.compute <module with perform and warm> <file descriptor>`; service.jobs.process has the
other end of the pipe. It is spawned, not forked: a forked copy of a process with threads or CUDA hangs.
"""

import faulthandler
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, Final, cast

from numpy.typing import NDArray
from structlog.contextvars import bind_contextvars

from inphase.errors import CancelledError, InphaseError
from inphase.imaging.clock import Clock, Lap
from service.jobs.errors import StoreError, StoreFullError, StoreUnavailableError
from service.jobs.limits import confine, give_way
from service.jobs.settings import ComputeSettings
from service.jobs.state import RecordedProgress
from service.jobs.store import Arrays, Store
from service.jobs.task import Planes, Refiner, Task, checkpoint_name, result_name, revision_name
from service.logs import configure_logging

logger = logging.getLogger(__name__)

_PROGRESS_S: Final = 0.2  # at most 5 times a second
_CHECKPOINT_COST: Final = 0.05  # of the time at most: a large volume is kept less often


@dataclass(frozen=True)
class Assignment:
    """To the process: refine this. owner, request_id: for the log. waited_s: how long it waited for a worker."""

    job_id: str
    attempt: int
    document: bytes
    owner: str = ""
    request_id: str = ""
    waited_s: float = 0.0


@dataclass(frozen=True)
class Halt:
    """To the process: stop what you do within one iteration."""


@dataclass(frozen=True)
class Ready:
    """From the process: warm."""


@dataclass(frozen=True)
class Told:
    """From the process: how far it is, with the central planes where they were given."""

    progress: RecordedProgress
    planes: Planes


@dataclass(frozen=True)
class Revised:
    """From the process: a result is in the store under this name, and a better one will follow."""

    result: str


@dataclass(frozen=True)
class End:
    """From the process: what it ends an attempt with. laps: where its time went."""

    laps: tuple[Lap, ...] = field(default=(), compare=False, kw_only=True)


@dataclass(frozen=True)
class Succeeded(End):
    """From the process: the result is in the store; this is the job document."""

    document: bytes


@dataclass(frozen=True)
class Failed(End):
    """From the process: no result, and why."""

    reason: str


@dataclass(frozen=True)
class Unstored(End):
    """From the process: the store does not work, and why; the job is innocent. nbytes: of what was to be written."""

    reason: str
    nbytes: int = 0


@dataclass(frozen=True)
class Halted(End):
    """From the process: stopped because it was told to."""


Ended = Succeeded | Failed | Unstored | Halted
Message = Ready | Told | Revised | Ended


class Every:
    """Says when something that is done every so often is due, and spends no more than a part of the time on it."""

    def __init__(self, seconds: float, cost: float = 1.0) -> None:
        self._seconds, self._cost = seconds, cost
        self._due = 0.0

    def rest(self, begun: float | None = None) -> None:
        """It was just done, since `begun` (time.monotonic())."""
        now = time.monotonic()
        self._due = now + max(self._seconds, (now - begun) / self._cost if begun is not None else 0.0)

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._due


class Attempt:
    """One assignment, from the arrays to the result in the store."""

    def __init__(
        self,
        assignment: Assignment,
        settings: ComputeSettings,
        tell: Callable[[Told], None],
        revise: Callable[[Revised], None],
        halted: threading.Event,
    ) -> None:
        self._assignment, self._settings, self._halted = assignment, settings, halted
        self._clock = Clock()
        self._told, self._revised = tell, revise
        self._store = Store(settings.store)
        self._telling = Every(_PROGRESS_S)
        self._keeping = Every(settings.checkpoint_s, _CHECKPOINT_COST)
        self._keeping.rest()

    def run(self, refiner: Refiner) -> Ended:
        """Refine and write the result; what goes wrong becomes a reason that a person can act on."""
        return replace(self._ended(refiner), laps=tuple(self._clock.laps))

    def _ended(self, refiner: Refiner) -> Ended:
        assignment = self._assignment
        try:
            outcome = refiner.perform(self._task())
            if self._halted.is_set():
                return Halted()
            with self._clock("store"):
                self._store.write(assignment.job_id, result_name(assignment.attempt), outcome.arrays)
            return Succeeded(outcome.document)
        except CancelledError:
            return Halted()
        except StoreFullError as error:
            return Unstored(str(error), error.needed)
        except StoreUnavailableError as error:
            return Unstored(str(error))
        except InphaseError as error:
            return Failed(str(error))
        except MemoryError as error:
            return Failed(
                f"out of memory: the volume is too large for this worker ({_bounds(self._settings)}){_detail(error)}"
            )
        except Exception as error:
            logger.exception("job %s failed", assignment.job_id)
            return Failed(f"internal error: {type(error).__name__}: {error}")

    def _task(self) -> Task:
        assignment = self._assignment
        return Task(
            assignment.job_id, assignment.attempt, assignment.document, self._store, self._settings.device,
            progress=self._tell, cancelled=self._halted.is_set, checkpoint=self._keep,
            resume=newest_checkpoint(self._store, assignment.job_id, assignment.attempt),
            revise=self._revise, time_limit_s=self._settings.time_limit_s, clock=self._clock,
            waited_s=assignment.waited_s,
        )  # fmt: skip

    def _tell(self, progress: RecordedProgress, preview: Callable[[], Planes] | None = None) -> None:
        if self._telling.due:
            self._told(Told(progress, preview() if preview is not None else ()))
            self._telling.rest()

    def _revise(self, number: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        job_id, name = self._assignment.job_id, revision_name(number)
        try:
            if not self._store.has(job_id, name):  # else an earlier attempt came as far, and a revision never changes
                self._store.write(job_id, name, arrays, durable=False)
        except StoreError as error:  # the one that follows makes up for it
            logger.warning("job %s: %s is not kept: %s", job_id, name, error)
            return
        self._revised(Revised(name))

    def _keep(self, make: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
        if not self._keeping.due or self._halted.is_set():
            return
        begun = time.monotonic()
        try:
            self._store.write(self._assignment.job_id, checkpoint_name(self._assignment.attempt), make(), durable=False)
        except StoreError as error:  # the job can do without
            logger.warning("job %s: no checkpoint: %s", self._assignment.job_id, error)
        self._keeping.rest(begun)


def newest_checkpoint(store: Store, job_id: str, attempt: int) -> Arrays | None:
    """What the latest of the earlier attempts has left to continue from; a damaged one is passed over."""
    for earlier in range(attempt - 1, 0, -1):
        if store.has(job_id, checkpoint_name(earlier)):
            try:
                return store.read(job_id, checkpoint_name(earlier))
            except StoreError as error:
                logger.warning("job %s: not continued from attempt %d: %s", job_id, earlier, error)
    return None


def _bounds(settings: ComputeSettings) -> str:
    return "no bound" if settings.memory_bytes is None else f"bound: {settings.memory_bytes / 2**30:.1f} GiB"


def _detail(error: MemoryError) -> str:
    return f": {error}" if str(error) else ""


class Voice:
    """Speaks to the worker. Progress is left for a thread: a worker that waits for the network holds up no computation.

    Of progress only the last is told where the worker listens too slowly.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._news: Told | None = None
        self._fresh = threading.Event()
        threading.Thread(target=self._speak, name="voice", daemon=True).start()

    def tell(self, news: Told) -> None:
        """Returns at once."""
        self._news = news
        self._fresh.set()

    def send(self, message: Ready | Revised | Ended) -> None:
        """Returns when the message is on its way; progress that was not told yet is not told after it."""
        self._news = None
        with self._sending:
            self._pipe.send(message)

    def _speak(self) -> None:
        while self._fresh.wait():
            self._fresh.clear()
            with self._sending:
                news, self._news = self._news, None
                if news is not None:
                    try:
                        self._pipe.send(news)
                    except OSError:
                        return  # the worker is gone: so will be this process, see Desk


class Desk(threading.Thread):
    """Listens to the worker while the main thread computes. When the worker is gone, so is this process."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(name="desk", daemon=True)
        self.assignments: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
        self.halted = threading.Event()
        self._pipe = pipe

    def run(self) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)
            if isinstance(message, Assignment):
                self.halted.clear()
                self.assignments.put(message)
            else:
                self.halted.set()


def main(module: str, descriptor: int) -> None:
    """Serve assignments until the worker closes the pipe."""
    faulthandler.enable()  # a crash leaves its stack in the log
    configure_logging("compute")
    for number in (signal.SIGTERM, signal.SIGINT):  # sent to the whole group; the worker decides when we go
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    settings: ComputeSettings = pipe.recv()
    if settings.memory_bytes is not None:
        confine(settings.memory_bytes)
    desk = Desk(pipe)
    desk.start()
    refiner = cast(Refiner, importlib.import_module(module))
    refiner.warm(settings.device, settings.threads)
    give_way()
    voice = Voice(pipe)
    voice.send(Ready())
    try:
        while True:
            assignment = desk.assignments.get()
            bind_contextvars(job=assignment.job_id, owner=assignment.owner, request_id=assignment.request_id)
            voice.send(Attempt(assignment, settings, voice.tell, voice.send, desk.halted).run(refiner))
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    # the module as others import it: what travels through the pipe must not be of __main__
    importlib.import_module("service.jobs.compute").main(sys.argv[1], int(sys.argv[2]))
