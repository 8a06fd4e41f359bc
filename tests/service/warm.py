"""Templates of the readers (service.sandbox.template) that begin warm: what they load is loaded once for all tests.

Loading takes most of a second of a processor, for each of the hundreds of applications that read a file. Here one
process loads, and forks what would have been started. Each application still has a template of its own, with its own
folders and its own confinement, from the same `main`.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from service.sandbox import template

_TEMPLATE: Final = "service.sandbox.template"
_ROOT: Final = Path(__file__).resolve().parents[2]  # from where this module is found


class Forked:
    """A template that this process has not started itself: what is asked of subprocess.Popen."""

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd

    def kill(self) -> None:
        """End it, at once."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self) -> None:
        """Returns when it has ended."""
        select.select([self._pidfd], [], [])
        os.close(self._pidfd)


class Nursery:
    """The process that forks them. It starts with the first one."""

    DEVNULL = subprocess.DEVNULL

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def Popen(  # noqa: N802  # in the place of the module subprocess
        self, command: Sequence[str], *, pass_fds: Sequence[int], **settings: Any
    ) -> Forked:
        """What `python -m service.sandbox.template <descriptor>` would be."""
        *_, module, descriptor = command
        assert (module, (int(descriptor),)) == (_TEMPLATE, tuple(pass_fds))
        if self._process is None:
            with self._theirs as theirs:
                own = [sys.executable, "-m", __name__, str(theirs.fileno())]
                self._process = subprocess.Popen(own, pass_fds=(theirs.fileno(),), cwd=_ROOT, **settings)
        socket.send_fds(self._control, [b"."], list(pass_fds))
        _, (pidfd,), _, _ = socket.recv_fds(self._control, 1, 1)
        return Forked(pidfd)

    def close(self) -> None:
        """End it."""
        self._control.close()
        self._theirs.close()
        if self._process is not None:
            self._process.wait(10)


def main(descriptor: int) -> None:
    """Fork a template for each descriptor that comes, until the socket closes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    with socket.socket(fileno=descriptor) as control:
        while True:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                return
            (given,) = descriptors
            child = os.fork()
            if child == 0:
                break
            pidfd = os.pidfd_open(child)
            socket.send_fds(control, [b"."], [pidfd])
            os.close(pidfd)
            os.close(given)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    template.main(given)


if __name__ == "__main__":
    main(int(sys.argv[1]))
