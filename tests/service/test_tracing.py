"""Traces, as a collector of OpenTelemetry receives them: real OTLP over HTTP, from the API and from a worker."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from inphase.imaging.clock import Lap
from service.jobs import perform
from service.jobs.compute import Assignment, Attempt, Ended
from service.jobs.settings import WorkerSettings
from service.jobs.state import JobState
from service.jobs.worker import Leave, Refiner
from service.tracing import Tracing, asked_for
from tests.service.api.queued import client, records, services, submit

otlp = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra `tracing`")
__all__ = ["client"]  # a fixture
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Collector:
    """What has come, by service: OTLP's own spans."""

    url: str
    spans: dict[str, list[Any]] = field(default_factory=dict)

    def of(self, service: str, name: str) -> Any:
        """The only span of this name."""
        (found,) = [span for span in self.spans[service] if span.name == name]
        return found

    def below(self, service: str, span: Any) -> list[str]:
        """Names of the spans below one, as they began."""
        children = [child for child in self.spans[service] if child.parent_span_id == span.span_id]
        return [child.name for child in sorted(children, key=lambda child: int(child.start_time_unix_nano))]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for group in otlp.ExportTraceServiceRequest.FromString(body).resource_spans:
                name = next(a.value.string_value for a in group.resource.attributes if a.key == "service.name")
                for scope in group.scope_spans:
                    found.spans.setdefault(name, []).extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


class Beside:
    """Stands in for a compute process, whose part it does in this one."""

    alive = True

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings.compute

    def assign(self, assignment: Assignment) -> None:
        """Do it."""
        made = Attempt(assignment, self._settings, lambda _: None, lambda _: None, threading.Event())
        self._end: Ended = made.run(perform)

    def receive(self, _: float) -> Ended:
        """How it ended."""
        return self._end

    def close(self) -> None:
        """Nothing to end."""


def attributes(span: Any) -> dict[str, Any]:
    """Of a span, by name."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


async def test_a_scan_is_one_trace_from_the_client_to_the_result(
    collector: Collector, client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """The request below the caller's span, reading and refinement below the request, the stages below these."""
    caller = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    answer = await submit(client, pattern, refine="3*ER", grid="model", headers=caller)
    job_id = answer.json()["id"]
    settings = services(client).settings
    url = services(client).records._url  # type: ignore[union-attr]
    refiner = Refiner(WorkerSettings(url, settings.store_dir, threads=1), Leave())
    refiner.seats[0].compute = Beside(refiner._settings)  # type: ignore[assignment]
    await anyio.to_thread.run_sync(lambda: refiner.refine(job_id, job_id))
    assert records(client).get(job_id).state is JobState.SUCCEEDED
    refiner.depart()
    await asyncio.to_thread(services(client).tracing.close)

    request = collector.of("inphase-api", "POST /v1/reconstructions")
    reading, refining = collector.of("inphase-api", "read job"), collector.of("inphase-worker", "refine job")
    assert request.parent_span_id.hex() == CALLER
    assert {span.trace_id.hex() for span in (request, reading, refining)} == {TRACE}
    assert reading.parent_span_id == refining.parent_span_id == request.span_id
    assert collector.below("inphase-api", request) == ["receive", "read job"]
    assert collector.below("inphase-api", reading)[:2] == ["decode", "decode"]  # the upload, and its check
    assert {"preprocess", "infer", "score"} <= set(collector.below("inphase-api", reading))
    stages = collector.below("inphase-worker", refining)
    assert stages[0] == "decode"
    assert stages[-1] == "store"
    assert {"refine", "encode"} <= set(stages)
    for spans, whole in ((collector.spans["inphase-worker"], refining), (collector.spans["inphase-api"], reading)):
        for span in (span for span in spans if span.parent_span_id == whole.span_id):
            slack = 5_000_000  # two clocks: the wall's for when it began, a steady one for how long it took
            assert whole.start_time_unix_nano - slack <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= whole.end_time_unix_nano + slack
    told = attributes(request)
    assert (told["http.route"], told["http.response.status_code"]) == ("/v1/reconstructions", 202)
    assert told["inphase.request_id"] == answer.headers["x-request-id"]
    about = attributes(refining)
    assert (about["inphase.job"], about["inphase.attempt"], about["inphase.outcome"]) == (job_id, 1, "succeeded")


async def test_probes_are_no_spans_and_faults_are_marked(collector: Collector, client: httpx.AsyncClient) -> None:
    """What the client does wrong is no fault of the service; what is not served is one."""
    await client.get("/readyz")
    await client.get("/v1/models/nonesuch")
    services(client).draining.set()
    await client.post("/v1/reconstructions", content=b"")
    await asyncio.to_thread(services(client).tracing.close)
    assert {span.name: span.status.code for span in collector.spans["inphase-api"]} == {
        "GET /v1/models/{name}": 0, "POST /v1/reconstructions": 2,
    }  # fmt: skip


def test_a_caller_without_a_trace_begins_one(collector: Collector) -> None:
    """So does one whose header is damaged; whoever goes on elsewhere is told below what."""
    tracing = Tracing.configured("worker")
    for parent in ("", "00-zz-1-01"):
        with tracing.span("refine job", "consumer", parent) as span:
            span.stages([Lap("refine", 1e9, 0.5)])
        begun = collector.spans
        assert span.traceparent.startswith("00-")
    tracing.close()
    whole = [found for found in begun["inphase-worker"] if found.name == "refine job"]
    assert len({found.trace_id for found in whole}) == 2
    assert all(not found.parent_span_id for found in whole)
    stage = next(found for found in begun["inphase-worker"] if found.name == "refine")
    assert (stage.start_time_unix_nano, stage.end_time_unix_nano) == (10**18, 10**18 + 5 * 10**8)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_SERVICE_NAME": "inphase"}, False),
    ],
)
def test_the_variables_of_opentelemetry_decide(environment: Mapping[str, str], expected: bool) -> None:
    """And nothing of ours beside them."""
    assert asked_for(environment) is expected


def test_another_protocol_is_told_and_not_spoken(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are worth less than a service that starts."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with capture_logs() as lines, Tracing.configured("api").span("GET", "server") as span:
        assert span.traceparent == ""
    assert [line["log_level"] for line in lines] == ["warning"]


def test_without_the_variables_nothing_is_imported(tmp_path: Path) -> None:
    """A service that traces nothing pays nothing."""
    code = "import sys; from service.tracing import Tracing\n"
    code += "with Tracing.configured('api').span('GET', 'server'): pass\n"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
