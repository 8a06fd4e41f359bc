"""Keeps worker processes alive beside a service: starts them, starts them again when they die, stops them."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from service.jobs.settings import WorkerSettings, for_worker

logger = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "service.jobs.worker")
_LOOK_S: Final = 0.1
_SOON_S: Final = 10.0  # a worker that dies sooner than this was not well from the start
_PATIENCE_S: Final = (0.0, 0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # before the next start, by how often it died soon in a row


class Supervisor:
    """`count` worker processes. They end when `stop` is called, and by themselves when this process dies.

    Their log goes where this process's standard error goes.
    """

    def __init__(self, settings: WorkerSettings, count: int = 1, command: Sequence[str] = COMMAND) -> None:
        self.settings = settings
        self._seats = [_Seat(settings, command) for _ in range(count)]
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the workers; they are ready some seconds later (Records.workers tells)."""
        for seat in self._seats:
            seat.start()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the workers finish what they have at hand (within `drain_s`) and wait until they are gone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for seat in self._seats:
            seat.ask_to_leave()
        for seat in self._seats:
            seat.wait(self.settings.drain_s + 15.0)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [seat.process.pid for seat in self._seats if seat.process is not None and seat.process.poll() is None]

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            for seat in self._seats:
                seat.keep()


class _Seat:
    """One worker's place: at most one process at a time."""

    def __init__(self, settings: WorkerSettings, command: Sequence[str]) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = settings
        self._command = command
        self._started = 0.0
        self._failures = 0
        self._due: float | None = None

    def start(self) -> None:
        self._started, self._due = time.monotonic(), None
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            env=for_worker(os.environ),
            start_new_session=True,  # Ctrl-C in the terminal is for the service, which then stops us in order
        )
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(self._settings.to_json().encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return  # it died at once: `keep` sees that

    def keep(self) -> None:
        """Start it again where it has died."""
        if self.process is None or (code := self.process.poll()) is None:
            return
        now = time.monotonic()
        if self._due is None:
            self._failures = self._failures + 1 if now - self._started < _SOON_S else 0
            delay = _PATIENCE_S[min(self._failures, len(_PATIENCE_S) - 1)]
            self._due = now + delay
            logger.error("worker %d ended with code %d, the next one starts in %g s", self.process.pid, code, delay)
            self._close()
        if now >= self._due:
            self.start()

    def ask_to_leave(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, timeout_s: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            logger.error("worker %d does not leave: killed, its job will be delivered again", self.process.pid)
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                return
