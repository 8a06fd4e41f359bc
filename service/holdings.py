"""What Prometheus is told of jobs, store and networks, looked up when it asks.

How jobs ended is counted in Redis by the script that ends them, so it holds for the workers of all hosts and outlives a
restart; every API process tells the same.
"""

import importlib.metadata
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from inphase.models.session import Sessions
from service.inference.batcher import Batcher
from service.jobs.errors import QueueUnavailableError, StoreError
from service.jobs.pulse import Pulse
from service.jobs.record import Records
from service.jobs.store import Store

_PATTERNS: Final = (1, 2, 4, 8, 16, 32)
_STORE_S: Final = 30.0  # the files of all jobs are looked at no more often


class Holdings(Collector):
    """The gauges and counts beside those of single requests. records, pulse: None without a queue."""

    def __init__(
        self, store: Store, sessions: Sessions, batcher: Batcher, records: Records | None, pulse: Pulse | None
    ) -> None:
        self._store, self._sessions, self._batcher = store, sessions, batcher
        self._records, self._pulse = records, pulse
        self._bytes: tuple[float, int] | None = None

    def collect(self) -> Iterator[Metric]:
        """Everything that can be found out now; a Redis or a store that fails leaves its part out."""
        yield _info(
            "inphase_build",
            "What runs here",
            [{"version": importlib.metadata.version("inphase"), "python": platform.python_version()}],
        )
        yield _info("inphase_model", "Versions of networks that requests can have", self._models())
        yield self._fallbacks()
        yield from self._inferences()
        yield from self._stored()
        yield from self._jobs()

    def _models(self) -> Iterator[dict[str, str]]:
        repository = self._sessions.repository
        for name in repository.names():
            for version in repository.versions(name):
                yield {
                    "name": name,
                    "version": str(version.card.version),
                    "active": str(repository.is_active(version)).lower(),
                    "provider": self._sessions.provider(version) or "",
                }

    def _fallbacks(self) -> Metric:
        metric = GaugeMetricFamily(
            "inphase_model_fallback",
            "1 where a loaded network does not run on what is to run it",
            labels=["name", "version", "wanted", "provider"],
        )
        repository, wanted = self._sessions.repository, self._sessions.first.value
        for version in (version for name in repository.names() for version in repository.versions(name)):
            if (provider := self._sessions.provider(version)) is not None:
                labels = [version.card.name, str(version.card.version), wanted, provider]
                metric.add_metric(labels, provider != wanted)
        return metric

    def _inferences(self) -> Iterator[Metric]:
        """What the networks have computed, and how long it took."""
        yield GaugeMetricFamily(
            "inphase_waiting_inferences", "Patterns that wait for their turn at a network", self._batcher.waiting
        )
        labels = ["name", "version"]
        ended = CounterMetricFamily(
            "inphase_inferences", "Patterns that went through a network", labels=[*labels, "outcome"]
        )
        seconds = CounterMetricFamily(
            "inphase_inference_seconds", "Time of patterns in the line and in a network", labels=[*labels, "part"]
        )
        runs = HistogramMetricFamily("inphase_batch_patterns", "Patterns that one run computed", labels=labels)
        for label, usage in self._batcher.statistics.models().items():
            model = label.split("@")
            for outcome, spent in (("success", usage.success), ("failure", usage.fail)):
                ended.add_metric([*model, outcome], spent.count)
            for part, spent in (("waiting", usage.queue), ("running", usage.infer)):
                seconds.add_metric([*model, part], spent.seconds)
            buckets = [(str(most), sum(n for size, n in usage.runs.items() if size <= most)) for most in _PATTERNS]
            total = sum(size * n for size, n in usage.runs.items())
            runs.add_metric(model, [*buckets, ("+Inf", usage.runs.total())], total)
        yield from (ended, seconds, runs)

    def _jobs(self) -> Iterator[Metric]:
        """What Redis knows of all jobs, without samples where it does not answer."""
        ended = HistogramMetricFamily(
            "inphase_job_duration_seconds", "From the acceptance of a job to its end, by how it ended", labels=["state"]
        )
        oldest = GaugeMetricFamily(
            "inphase_oldest_waiting_job_seconds", "For how long the job has waited that has waited longest"
        )
        if self._records is not None and self._pulse is not None and not self._pulse.last.silent:
            with suppress(QueueUnavailableError):
                for state, (buckets, seconds) in self._records.durations().items():
                    ended.add_metric([state], buckets, seconds)
                oldest.add_metric([], self._records.oldest_waiting_s())
        yield from (ended, oldest)

    def _stored(self) -> Iterator[Metric]:
        if self._bytes is None or time.monotonic() - self._bytes[0] > _STORE_S:
            try:
                self._bytes = time.monotonic(), self._store.total_bytes()
            except StoreError:
                return
        yield GaugeMetricFamily("inphase_store_bytes", "Bytes of the arrays of all jobs", self._bytes[1])
        limit = self._store.max_bytes or 0
        yield GaugeMetricFamily("inphase_store_limit_bytes", "How many there may be; 0 for any number", limit)


def _info(name: str, text: str, lines: Iterator[dict[str, str]] | list[dict[str, str]]) -> Metric:
    found = list(lines)
    metric = GaugeMetricFamily(f"{name}_info", text, labels=list(found[0]) if found else [])
    for labels in found:
        metric.add_metric(list(labels.values()), 1)
    return metric
