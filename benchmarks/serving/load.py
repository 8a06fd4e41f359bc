"""Requests in closed loops: each caller asks again as soon as it has its answer."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection

import numpy as np

from benchmarks.serving.doors import Door


@dataclass
class Measured:
    """Milliseconds of every request, seconds of all of them, and what the server says of its stages.

    processor_ms: of the server, for each lone request.
    """

    ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stages: dict[str, list[float]] = field(default_factory=dict)
    processor_ms: list[float] = field(default_factory=list)

    def add(self, other: "Measured") -> None:
        """More of the same."""
        self.ms += other.ms
        self.processor_ms += other.processor_ms
        self.seconds += other.seconds
        for stage, found in other.stages.items():
            self.stages.setdefault(stage, []).extend(found)

    @property
    def throughput(self) -> float:
        """Patterns per second."""
        return len(self.ms) / self.seconds

    def percentiles(self) -> list[float]:
        """p50, p95, p99 in milliseconds."""
        return [float(np.percentile(self.ms, share)) for share in (50, 95, 99)]


Ask = Callable[[], str]


def asking(door: Door) -> Callable[[], Ask]:
    """Callers of a server, each with a connection of its own."""

    def caller() -> Ask:
        connection = HTTPConnection("127.0.0.1", door.port, timeout=600)
        return lambda: door.ask(connection)

    return caller


def load(caller: Callable[[], Ask], callers: int, seconds: float) -> Measured:
    """So many callers for so long; a request that has begun is ended, and counts."""
    found = Measured()
    lock = threading.Lock()
    begun = time.perf_counter()

    def run() -> None:
        ask = caller()
        while time.perf_counter() < begun + seconds:
            one = timed(ask)
            with lock:
                found.add(one)

    threads = [threading.Thread(target=run) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.seconds = time.perf_counter() - begun
    return found


def timed(ask: Ask) -> Measured:
    """One request."""
    begun = time.perf_counter()
    said = ask()
    seconds = time.perf_counter() - begun
    stages = {name: [float(ms)] for name, ms in re.findall(r"(\w+);dur=([\d.]+)", said)}
    return Measured([seconds * 1e3], seconds, stages)
