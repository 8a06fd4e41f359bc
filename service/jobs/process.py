"""A worker's end of a compute process: starts it, hands it orders, sees how it ends."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Final, cast

from service.jobs.compute import Assignment, Halt, Message, Ready
from service.jobs.errors import WorkerError
from service.jobs.settings import ComputeSettings, for_compute

logger = logging.getLogger(__name__)

_WARM_S: Final = 300.0  # loading torch takes seconds, compiling for an unknown processor a minute
_LOOK_S: Final = 0.1
_REAP_S: Final = 5.0


class ProcessDiedError(Exception):
    """The compute process is gone. `code` as subprocess has it: minus a signal's number, or an exit code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(self.account)

    @property
    def killed(self) -> bool:
        """Whether another hand ended it, so that the job may be innocent:
        the kernel for want of memory, or an operator.
        """
        return self.code == -signal.SIGKILL

    @property
    def account(self) -> str:
        """What happened, for people."""
        if self.killed:
            return "the compute process was killed (SIGKILL: by the kernel for want of memory, or by hand)"
        if self.code < 0:
            return f"the compute process crashed with {signal.Signals(-self.code).name}"
        return f"the compute process ended itself with exit code {self.code}"


class ComputeProcess:
    """One compute process at a time; `ensure` replaces it where it has died."""

    def __init__(self, settings: ComputeSettings, perform: str) -> None:
        self._settings, self._perform = settings, perform
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self.ready = False

    def start(self) -> None:
        """Start it; `await_ready` says when it can take orders."""
        ours, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.jobs.compute", self._perform, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env=for_compute(os.environ),
                pass_fds=(theirs.fileno(),),
            )
        self._pipe = ours
        try:
            ours.send(self._settings)
        except OSError:
            return  # it died at once: `await_ready` says how

    def await_ready(self, leaving: threading.Event) -> None:
        """Wait until it is warm, or the worker leaves. Raises WorkerError where it does not come up."""
        deadline = time.monotonic() + _WARM_S
        try:
            while not leaving.is_set() and not self.ready:
                self.ready = isinstance(self.receive(_LOOK_S), Ready)
                if time.monotonic() > deadline:
                    self.close()
                    raise WorkerError(f"the compute process was not ready within {_WARM_S:g} s: ended")
        except ProcessDiedError as error:
            raise WorkerError(f"the compute process does not start: {error}; its log says why") from None

    @property
    def alive(self) -> bool:
        """Whether it can take an order."""
        return self.ready and self._process is not None and self._process.poll() is None

    def assign(self, assignment: Assignment) -> None:
        """Hand it a job. Raises ProcessDiedError."""
        self._send(assignment)

    def halt(self) -> None:
        """Tell it to stop. Raises ProcessDiedError."""
        self._send(Halt())

    def receive(self, timeout_s: float) -> Message | None:
        """The next thing it says, or None. Raises ProcessDiedError."""
        assert self._pipe is not None
        try:
            return cast(Message, self._pipe.recv()) if self._pipe.poll(timeout_s) else None
        except (EOFError, OSError):
            raise self._died() from None

    def close(self) -> None:
        """End it, at once."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def _send(self, message: Assignment | Halt) -> None:
        assert self._pipe is not None
        try:
            self._pipe.send(message)
        except OSError:
            raise self._died() from None

    def _died(self) -> ProcessDiedError:
        assert self._process is not None
        try:
            self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:  # it closed the pipe and lives on: of no use
            self._process.kill()
        code = self._reap()
        return ProcessDiedError(code)

    def _reap(self) -> int:
        assert self._process is not None
        assert self._pipe is not None
        self.ready = False
        code = self._process.wait()
        self._pipe.close()
        self._process = None
        return code
