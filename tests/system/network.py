"""Hosts of their own for tests: network namespaces with an address each, on one switch, whose cables can be pulled.

Nothing of the machine's own network is touched: the switch is a bridge in a namespace too, and no host has a way out.
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar
from uuid import uuid4

T = TypeVar("T")
_SUBNET = "10.77.0"
_CLONE_NEWNET = 0x40000000  # <sched.h>
_NAMED = Path("/run/netns")


class NoNetworkError(Exception):
    """This machine, or this user, cannot make network namespaces."""


class Network:
    """Hosts by name, each with its own address, hostname and routing; made by `network`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"inphase-{uuid4().hex[:8]}-"
        self._switch = f"{self._prefix}switch"
        self.addresses = {name: f"{_SUBNET}.{number}" for number, name in enumerate(names, 1)}

    def make(self) -> None:
        """Make the namespaces and lay the cables. Raises NoNetworkError."""
        if not shutil.which("ip"):
            raise NoNetworkError("network namespaces need `ip`: install iproute2")
        if os.geteuid():
            raise NoNetworkError("network namespaces need root")
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for name, address in self.addresses.items():
            host = self._namespace(name)
            _ip("netns", "add", host)
            _ip("link", "add", "eth0", "netns", host, "type", "veth", "peer", "name", name, "netns", self._switch)
            _ip("-n", self._switch, "link", "set", name, "master", "switch", "up")
            _ip("-n", host, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", host, "link", "set", device, "up")

    def remove(self) -> None:
        """End what still runs on the hosts and remove them: only what this object has made."""
        for name in [self._namespace(name) for name in self.addresses] + [self._switch]:
            if not (_NAMED / name).exists():
                continue
            for pid in _ip("netns", "pids", name).split():
                os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "delete", name)

    def start(
        self, name: str, command: Sequence[str | Path], log: IO[str], environment: dict[str, str]
    ) -> subprocess.Popen[str]:
        """Run a command on a host; both of its outputs go to the log."""
        settled = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name, *map(str, command)]
        return subprocess.Popen(
            ["ip", "netns", "exec", self._namespace(name), *settled], stdout=log, stderr=log, text=True, env=environment
        )

    def cut(self, name: str) -> None:
        """Pull the host's cable: packets are lost, no connection is told."""
        _ip("-n", self._switch, "link", "set", name, "down")

    def join(self, name: str) -> None:
        """Plug it in again."""
        _ip("-n", self._switch, "link", "set", name, "up")

    @contextmanager
    def on(self, name: str) -> Iterator[Callable[[Callable[[], T]], T]]:
        """Something that calls functions of this process on a host: what they connect to, they reach from there."""

        def move() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with (_NAMED / self._namespace(name)).open() as namespace:
                if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")

        with ThreadPoolExecutor(1, initializer=move) as thread:  # a namespace is a thread's
            yield lambda function: thread.submit(function).result()

    def _namespace(self, name: str) -> str:
        return self._prefix + name


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Hosts of these names while the context lasts. Raises NoNetworkError where none can be made."""
    found = Network(names)
    try:
        found.make()
        yield found
    finally:
        found.remove()


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise NoNetworkError(f"`ip {' '.join(arguments)}`: {done.stderr.strip()}")
    return done.stdout
