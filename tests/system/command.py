"""A command of ours that runs on, for the tests of what it says."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.service.conftest import KEY
from tests.system.serving import INPHASE, START_S


class Command:
    """The process, and its lines as they come."""

    def __init__(self, *arguments: str | Path, url: str) -> None:
        environment = os.environ | {"INPHASE_URL": url, "INPHASE_API_KEY": KEY, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*INPHASE, *map(str, arguments)], env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def says(self, part: str) -> str:
        """The line with these words, once it has come."""
        end = time.monotonic() + START_S
        while not (line := next((line for line in self.lines if part in line), "")):
            assert self._reader.is_alive(), self.lines
            assert time.monotonic() < end, self.lines
            time.sleep(0.02)
        return line

    def end(self) -> int:
        """Ctrl-C; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self._reader.join()
            assert self.process.stdout is not None
            self.process.stdout.close()


@contextmanager
def runs_on(*arguments: str | Path, url: str) -> Iterator[Command]:
    """A command that talks to the service at a URL, ended by Ctrl-C."""
    command = Command(*arguments, url=url)
    try:
        yield command
    finally:
        code = command.end()
    assert code == 130, command.lines[-20:]
