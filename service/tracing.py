"""Traces for OpenTelemetry, sent where its own variables OTEL_* say; without them nothing of it is imported here.

A request is a span, and so is what becomes of its job later, in this process or in another: the span's traceparent (W3C
Trace Context) travels in the job's record. Below them stand the stages of the pipeline, as their clock has them.
"""

import importlib.metadata
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from inphase.imaging.clock import Lap
from service.logs import Process, log

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as Recorded
    from opentelemetry.trace import Tracer

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OURS: Final = "http/protobuf"
_FLUSH_MS: Final = 2000  # how long the last spans may keep a process that leaves
Kind = Literal["server", "consumer"]


def asked_for(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables say that spans are to be sent."""
    return (
        any(environment.get(name) for name in _ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    )


@dataclass(frozen=True)
class Span:
    """What is being traced, or nothing where nobody asked. traceparent: for whoever goes on with it elsewhere."""

    traceparent: str = ""
    recorded: "Recorded | None" = None
    tracer: "Tracer | None" = None

    def tell(self, **attributes: str | int) -> None:
        """Attributes; two underscores in a name stand for a dot."""
        if self.recorded is not None:
            self.recorded.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})

    def rename(self, name: str) -> None:
        """What it is about is known better now."""
        if self.recorded is not None:
            self.recorded.update_name(name)

    def fail(self, why: str) -> None:
        """It did not come to its end as it should."""
        if self.recorded is not None:
            from opentelemetry.trace import StatusCode

            self.recorded.set_status(StatusCode.ERROR, why)

    def stages(self, laps: Iterable[Lap]) -> None:
        """The stages that it consisted of, each a span below it."""
        if self.recorded is None or self.tracer is None:
            return
        from opentelemetry.trace import set_span_in_context

        below = set_span_in_context(self.recorded)
        for lap in laps:
            began = int(lap.began * 1e9)
            self.tracer.start_span(lap.stage, below, start_time=began).end(began + int(lap.seconds * 1e9))


class Tracing:
    """Sends the spans of one process, beside everything else: a collector that is away costs them and nothing more."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._provider = provider

    @classmethod
    def configured(cls, process: Process) -> "Tracing":
        """As the environment says: nothing is sent where it says nothing, or what it asks for is not installed."""
        if not asked_for(os.environ):
            return cls()
        protocol = next((found for name in _PROTOCOLS if (found := os.environ.get(name))), _OURS)
        if protocol != _OURS:
            log.warning("nothing is traced: OTEL_EXPORTER_OTLP_PROTOCOL is to be http/protobuf", protocol=protocol)
            return cls()
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            log.warning("nothing is traced: install the extra `tracing`", why=str(error))
            return cls()
        about = {"service.version": importlib.metadata.version("inphase")}
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        provider = TracerProvider(
            resource=Resource.create(about if named else about | {"service.name": f"inphase-{process}"}),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    @contextmanager
    def span(self, name: str, kind: Kind, parent: str = "", **attributes: str | int) -> Iterator[Span]:
        """A span that lasts as long as the block. parent: a traceparent, empty for the first of a trace; attributes as
        for `Span.tell`.
        """
        if self._provider is None:
            yield Span()
            return
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        propagator = TraceContextTextMapPropagator()
        tracer = self._provider.get_tracer("inphase")
        above = propagator.extract({"traceparent": parent})
        recorded = tracer.start_span(name, above, SpanKind[kind.upper()])
        span = Span(_traceparent(recorded), recorded, tracer)
        span.tell(**attributes)
        try:
            yield span
        except Exception as error:
            span.fail(f"{type(error).__name__}: {error}")
            raise
        finally:
            recorded.end()

    def close(self) -> None:
        """Send what is left, and end."""
        if self._provider is not None:
            self._provider.force_flush(_FLUSH_MS)
            self._provider.shutdown()


def _traceparent(span: "Recorded") -> str:
    """As W3C writes it."""
    found: Any = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
