"""What a worker tells Prometheus of itself: how attempts ended, where their time went, and whether it can compute."""

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inphase.errors import InphaseError
from inphase.imaging.clock import Lap
from service.jobs.scripts import SECONDS

Outcome = Literal["succeeded", "failed", "cancelled", "given back", "died", "stale"]  # of an attempt
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)


class Figures:
    """The metrics of one worker, in a registry of their own.

    seats: asked at scrape time; compute processes by state, "idle", "busy" or "away".
    """

    def __init__(self, seats: Callable[[], dict[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self._attempts = Histogram(
            "inphase_worker_attempt_duration_seconds", "Attempts at jobs, by how they ended", ["outcome"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._stages = Histogram(
            "inphase_worker_stage_duration_seconds", "Time in a stage of an attempt", ["stage"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._restarts = Counter(
            "inphase_worker_restarts_total", "Compute processes that were replaced", registry=self.registry
        )
        self.registry.register(_Seats(seats))
        for outcome in OUTCOMES:
            self._attempts.labels(outcome)  # panels exist before the first job

    def ended(self, outcome: Outcome, seconds: float, laps: Iterable[Lap]) -> None:
        """An attempt came to an end."""
        self._attempts.labels(outcome).observe(seconds)
        for lap in laps:
            self._stages.labels(lap.stage).observe(lap.seconds)

    def restarted(self, times: int) -> None:
        """A compute process had died, and so often another one was started."""
        self._restarts.inc(times)

    def serve(self, port: int) -> None:
        """Answer /metrics on every address of this machine. Raises InphaseError where the port cannot be had."""
        try:
            start_http_server(port, registry=self.registry)
        except OSError as error:
            raise InphaseError(
                f"port {port} for the worker's metrics cannot be had ({error.strerror or error}): choose another one "
                "with --metrics-port, one for each worker of a machine"
            ) from error


class _Seats(Collector):
    def __init__(self, seats: Callable[[], dict[str, int]]) -> None:
        self._seats = seats

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("inphase_build_info", "What runs here", labels=["version", "python"])
        build.add_metric([importlib.metadata.version("inphase"), platform.python_version()], 1)
        seats = GaugeMetricFamily("inphase_worker_seats", "Compute processes by state", labels=["state"])
        for state, number in self._seats().items():
            seats.add_metric([state], number)
        yield from (build, seats)
