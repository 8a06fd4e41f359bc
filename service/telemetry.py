"""What the service says about itself: Server-Timing, request ids, access log, Prometheus metrics."""

import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inphase.imaging.clock import STAGES, Clock
from service import audit
from service.api.presence import CLIENT_LEFT, attended
from service.door.budget import Budget
from service.jobs.errors import QueueUnavailableError
from service.jobs.pulse import Beat, Pulse
from service.jobs.record import Records
from service.jobs.state import JobState
from service.logs import log
from service.tracing import Span, Tracing

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_PROBES: Final = ("/healthz", "/readyz", "/metrics")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics:
    """The service's Prometheus metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "inphase_http_request_duration_seconds", "Time to answer", ["route", "method", "code"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.stages = Histogram(
            "inphase_stage_duration_seconds",
            "Time in a stage of the pipeline",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "inphase_refused_requests_total", "Requests not served", ["code", "reason"], registry=self.registry
        )
        self.webhooks = Counter(
            "inphase_webhooks_total", "Attempts to send a webhook, by outcome", ["outcome"], registry=self.registry
        )
        for stage in STAGES:
            self.stages.labels(stage)  # panels exist before the first request

    def refusals(self) -> dict[str, int]:
        """How many requests were not served since the start, by status."""
        found: dict[str, int] = {}
        for metric in self.refused.collect():
            for sample in (sample for sample in metric.samples if sample.name.endswith("_total")):
                code = sample.labels["code"]
                found[code] = found.get(code, 0) + int(sample.value)
        return found

    def watch(self, bytes_in_flight: Budget, records: Records | None, pulse: Pulse | None) -> None:
        """Add the gauges that are read at scrape time."""
        self.registry.register(_Gauges(bytes_in_flight, records, pulse))


class _Gauges(Collector):
    def __init__(self, budget: Budget, records: Records | None, pulse: Pulse | None) -> None:
        self._budget, self._records, self._pulse = budget, records, pulse

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("inphase_bytes_in_flight", "Bytes of requests at work", self._budget.used)
        up = GaugeMetricFamily("inphase_queue_up", "1 while Redis takes jobs")
        jobs = GaugeMetricFamily("inphase_jobs", "Jobs by state", labels=["state"])
        workers = GaugeMetricFamily("inphase_workers", "Workers that live")
        beat = Beat(up=False) if self._pulse is None else self._pulse.last
        alive = beat.up
        if self._records is not None and not beat.silent:
            try:
                for state in JobState:
                    jobs.add_metric([state], self._records.count(state))
                workers.add_metric([], len(self._records.workers()))
            except QueueUnavailableError:
                alive = False
        up.add_metric([], int(alive))
        yield from (up, jobs, workers)


class TelemetryMiddleware:
    """Gives every request an id and a clock, and every answer X-Request-ID and Server-Timing."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: Tracing) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = Headers(scope=scope)
        asked = received.get("x-request-id", "")
        # two lengths of one body (RFC 9112, 6.3): where the next request begins, a proxy may see differently
        ambiguous = "content-length" in received and "transfer-encoding" in received
        identity = asked if _REQUEST_ID.fullmatch(asked) else uuid4().hex
        clock = Clock()
        state = scope.setdefault("state", {})
        state["request_id"], state["clock"] = identity, clock
        audit.asked(identity, scope["client"][0] if scope.get("client") else "")
        started = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                headers["Server-Timing"] = self._server_timing(clock, started)
                headers["X-Content-Type-Options"] = "nosniff"
                if ambiguous:
                    headers["Connection"] = "close"
            await send(message)

        with self._span(scope, received) as span:
            state["traceparent"] = span.traceparent
            try:
                if await attended(self._app, scope, receive, send_with_headers):
                    status = CLIENT_LEFT
            finally:
                self._note(scope, status, time.perf_counter() - started, clock)
                self._trace(span, scope, identity, status, clock)

    def _server_timing(self, clock: Clock, started: float) -> str:
        stages = clock.rounded() | {"total": (time.perf_counter() - started) * 1e3}
        return ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages.items())

    def _span(self, scope: Scope, received: Headers) -> AbstractContextManager[Span]:
        """Of a request; what asks for health and figures again and again is none."""
        if scope["path"] in _PROBES:
            return nullcontext(Span())
        about = {"http__request__method": scope["method"], "url__path": scope["path"]}
        return self._tracing.span(scope["method"], "server", received.get("traceparent", ""), **about)

    def _trace(self, span: Span, scope: Scope, identity: str, status: int, clock: Clock) -> None:
        route = getattr(scope.get("route"), "path", None)
        if route is not None:
            span.rename(f"{scope['method']} {route}")
            span.tell(http__route=route)
        span.tell(http__response__status_code=status, inphase__request_id=identity)
        if status >= 500:  # what clients do wrong is no fault of the service
            span.fail(f"{status}")
        span.stages(clock.laps)

    def _note(self, scope: Scope, status: int, seconds: float, clock: Clock) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"  # clients may invent methods, not labels
        self._metrics.requests.labels(route, method, str(status)).observe(seconds)
        if status >= 400 and status != CLIENT_LEFT:
            reason = scope["state"].get("problem") or HTTPStatus(status).phrase.lower().replace(" ", "-")
            self._metrics.refused.labels(str(status), reason).inc()
        for stage, ms in clock.ms.items():
            self._metrics.stages.labels(stage).observe(ms / 1e3)
        if route not in _PROBES:
            log.info(
                "request", method=scope["method"], path=scope["path"], route=route, status=status,
                duration_ms=round(seconds * 1e3, 1), **{f"{stage}_ms": ms for stage, ms in clock.rounded().items()},
            )  # fmt: skip
