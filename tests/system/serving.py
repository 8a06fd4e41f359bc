"""`inphase serve` as a process of its own, for the tests that need the whole house."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from inphase.client import Client
from tests.service.conftest import KEY

START_S = 60.0  # loading torch in the worker takes most of it on a busy machine
INPHASE = (sys.executable, "-m", "service.cli")


def until(condition: Callable[[], Any], seconds: float = START_S) -> Any:
    """What the condition gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def free_port() -> int:
    """A port that nobody uses now, of a range that no other process of a parallel run takes,
    nor the system by itself.
    """
    first = 20_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return next(port for port in random.sample(range(first, first + 1_000), 1_000) if is_free(port))


def plain(url: str, **settings: Any) -> httpx.Client:
    """A client for many questions: `httpx.get` takes 40 ms for each, for certificates that plain HTTP does not need.

    Each has a connection of its own, as those of `httpx.get` have.
    """
    return httpx.Client(base_url=url, verify=False, limits=httpx.Limits(max_keepalive_connections=0), **settings)


def is_free(port: int) -> bool:
    """Whether this machine's address for itself has nobody at the port."""
    with socket.socket() as found:
        try:
            found.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class Service:
    """A running `inphase serve`."""

    process: subprocess.Popen[str]
    url: str
    state: Path
    log: Path
    family: list[psutil.Process]  # children seen so far, dead or alive
    http: httpx.Client  # authorised

    def client(self) -> Client:
        """An authorised client."""
        return Client(self.url, KEY)

    def children(self) -> list[psutil.Process]:
        """Everything that it has started and that lives."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self) -> psutil.Process:
        """The process that refines."""
        return next(p for p in self.children() if "service.jobs.worker" in p.cmdline())

    def until_workers(self) -> None:
        """Returns when a worker is ready."""
        until(lambda: self.http.get("/v1/status").json()["queue"]["workers"])
        self.family = self.children()

    def nobody_left(self, seconds: float) -> None:
        """Returns when the service and all that it started are gone."""
        self.process.wait(seconds)
        _, alive = psutil.wait_procs(self.family, seconds)
        assert alive == []


@contextmanager
def running(state: Path, models: Path, *options: str, **environment: str | None) -> Iterator[Service]:
    """A service that answers; killed with all that it started if the test has not ended it."""
    port = free_port()
    log = state.parent / f"service-{port}.log"
    settings: dict[str, str | None] = {
        "INPHASE_API_KEY": KEY, "INPHASE_STATE_DIR": str(state), "INPHASE_MODELS_DIR": str(models),
        "INPHASE_DRAIN_S": "2", "INPHASE_THREADS": "1", **environment,
    }  # fmt: skip
    clean = {
        name: value for name, value in os.environ.items() if name != "REDIS_URL" and not name.startswith("INPHASE_")
    }
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*INPHASE, "serve", "--port", str(port), *options],
            env=clean | {name: value for name, value in settings.items() if value is not None},
            stdout=subprocess.PIPE, stderr=stream, text=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    http = plain(url, headers={"Authorization": f"Apikey {KEY}"})
    service = Service(process, url, state, log, [], http)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers)
        service.family = service.children()
        yield service
    finally:
        if process.poll() is None:
            service.family = service.children()
            process.send_signal(signal.SIGTERM)
        try:
            service.nobody_left(60)
        finally:
            for left in [process, *service.family]:
                if left.poll() is None if isinstance(left, subprocess.Popen) else left.is_running():
                    left.kill()
            assert process.stdout is not None
            process.stdout.close()
            http.close()
