"""Clients that leave: over real connections, because only those break."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import structlog
import uvicorn
from numpy.typing import NDArray

from inphase.models.prediction import Tensors
from service.app import create_app
from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import URL
from tests.service.api.conftest import npy, npy_header
from tests.service.api.oip.calls import binary, features
from tests.service.conftest import KEY

HEADERS = {"Authorization": f"Apikey {KEY}"}


@dataclass(frozen=True)
class Site:
    """A listening service, what its log says of requests, and a client."""

    port: int
    services: Services
    lines: list[Any]
    http: httpx.AsyncClient

    async def begin(self, method: str, path: str, body: bytes = b"", **headers: str) -> asyncio.StreamWriter:
        """Send a request, or the beginning of one, and keep the line."""
        return (await self.open(method, path, body, **headers))[1]

    async def open(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same with the end that hears."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = {"Host": "inphase", **HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
        text = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode() + body)
        await writer.drain()
        return reader, writer

    def statuses(self, path: str) -> list[int]:
        """What the log says of the requests for a path."""
        return [line["status"] for line in self.lines if line["event"] == "request" and line["path"] == path]

    async def left(self, path: str, count: int = 1) -> None:
        """Wait for the lines of clients that left, and check that they are all there is, and no fault."""
        async with asyncio.timeout(10):
            while len(self.statuses(path)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # for a line too many
        assert self.statuses(path) == [499] * count
        metrics = (await self.http.get("/metrics")).text
        assert 'code="499"' in metrics
        assert 'code="5' not in metrics
        assert 'inphase_refused_requests_total{code="499"' not in metrics


class _Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[Site]:
    """A service on a port of this machine."""
    app = create_app(settings)
    server = _Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn sets no event
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with structlog.testing.capture_logs() as lines:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=60, verify=False
            ) as http:
                yield Site(port, app.state.services, lines, http)
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def site(settings: Settings, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Site]:
    """A service without a queue; nothing but what the service says of requests may be logged."""
    async with listening(settings) as site:
        caplog.set_level(logging.WARNING)
        yield site
    assert not caplog.records


@pytest.fixture
async def queued(settings: Settings, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Site]:
    """A service with its own Redis and no worker."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    async with listening(settings.model_copy(update={"queue": True, "workers": 0, "redis_url": None})) as site:
        caplog.set_level(logging.WARNING)
        yield site
    assert not caplog.records


def close(writer: asyncio.StreamWriter) -> None:
    """Hang up in order."""
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Hang up as a killed program does."""
    writer.transport.abort()


_BEGUN = npy_header((64, 64, 64), "<u4") + bytes(5000)


@pytest.mark.parametrize(("hang_up", "chunked"), [(close, True), (reset, False)])
@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        (URL, "application/x-npy", _BEGUN),
        (URL, "application/x-npy", b"\x93NUM"),
        (URL, "application/x-npz", b"PK\x03\x04" + bytes(5000)),
        (f"{URL}?dtype=uint32&shape=64,64,64", "application/octet-stream", bytes(5000)),
        (URL, "application/json", b'{"source": {"kind": "fi'),
    ],
)
async def test_an_upload_that_breaks_off(
    site: Site, hang_up: Callable[[asyncio.StreamWriter], None], chunked: bool, path: str, kind: str, body: bytes
) -> None:
    """One line that says 499, no traceback, no fault in the metrics, and no bytes held;
    for every body and every end.
    """
    size = str(64**3 * 4 + len(npy_header((64, 64, 64), "<u4")))
    if path != URL:
        size = str(64**3 * 4)
    length = {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": size}
    sent = f"{len(body):x}\r\n".encode() + body + b"\r\n" if chunked else body
    writer = await site.begin("POST", path, sent, Content_Type=kind, **length)
    await asyncio.sleep(0.1)
    hang_up(writer)
    await site.left(URL)
    assert site.services.budget.used == 0


async def test_a_series_that_breaks_off(queued: Site) -> None:
    """The other call that takes a body."""
    writer = await queued.begin("POST", "/v1/series", b'{"scans"', Content_Type="application/json", Content_Length="99")
    await asyncio.sleep(0.1)
    reset(writer)
    await queued.left("/v1/series")


@pytest.mark.parametrize("hang_up", [close, reset])
async def test_who_leaves_while_waiting_leaves_the_job(
    queued: Site, pattern: NDArray[np.uint32], hang_up: Callable[[asyncio.StreamWriter], None]
) -> None:
    """Nobody waits for a caller that has gone; the job was accepted and stays."""
    body = npy(pattern)
    path = f"{URL}?wait=60&refine=2*ER"
    writer = await queued.begin("POST", path, body, Content_Type="application/x-npy", Content_Length=str(len(body)))
    records = queued.services.records
    assert records is not None
    async with asyncio.timeout(20):
        while not records.unfinished():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    hang_up(writer)
    await queued.left(URL)
    (job_id,) = records.unfinished()
    assert queued.services.store.has(job_id, "input")


async def test_who_leaves_before_the_job_is_accepted_leaves_it_too(queued: Site, pattern: NDArray[np.uint32]) -> None:
    """A measurement that has come whole becomes a job, whoever is left to hear of it."""
    body = npy(pattern)
    path = f"{URL}?wait=60&refine=2*ER"
    writer = await queued.begin("POST", path, body, Content_Type="application/x-npy", Content_Length=str(len(body)))
    close(writer)
    await queued.left(URL)
    assert len((await queued.http.get("/v1/jobs")).json()["jobs"]) == 1


@pytest.mark.parametrize("door", ["/v1", "/v2"])
async def test_who_leaves_before_the_turn_of_its_network_is_not_computed(
    site: Site, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    """Where no job stays behind: its slot is free at once, and the network runs for those alone who are there."""
    services = site.services
    session = services.sessions.get(None)
    real, go_on, runs = session.infer, threading.Event(), []

    def slow(tensors: Tensors) -> Tensors:
        runs.append(float(tensors["modulus"].max()))
        assert go_on.wait(20)
        return real(tensors)

    monkeypatch.setattr(session, "infer", slow)
    tensors = features()
    others = [services.batcher.submit(session, tensors, "other") for _ in range(services.settings.compute_slots)]
    if door == "/v1":
        path, body, headers = URL, npy(pattern), {"Content_Type": "application/x-npy"}
    else:
        path = "/v2/models/inphase-bcdi.counts/infer"
        body, told = binary({"counts": pattern})
        headers = {name.replace("-", "_"): value for name, value in told.items()}
    writer = await site.begin(
        "POST", f"{path}?refine=none" if door == "/v1" else path, body, Content_Length=str(len(body)), **headers
    )
    try:
        async with asyncio.timeout(20):
            while not len(services.batcher._waiting):  # noqa: ASYNC110  # the line sets no event
                await asyncio.sleep(0.01)
        reset(writer)
        await site.left(path)
    finally:
        go_on.set()
    for other in others:
        other.result(20)
    assert runs == [1.0] * len(others)
    assert services.budget.used == 0


async def test_a_watcher_that_leaves(queued: Site, pattern: NDArray[np.uint32]) -> None:
    """The stream ends with its client: its seat is free at once."""
    answer = await queued.http.post(
        URL, params={"wait": 0, "refine": "2*ER"}, content=npy(pattern), headers={"Content-Type": "application/x-npy"}
    )
    path = f"{answer.headers['location']}/events"
    reader, writer = await queued.open("GET", path)
    assert b"200 OK" in await reader.readuntil(b"queued")
    assert queued.services.streams == 1
    reset(writer)
    await queued.left(path)
    assert queued.services.streams == 0


@pytest.mark.parametrize("query", ["", "?format=cxi", "?format=mat"])
async def test_a_download_that_breaks_off(queued: Site, pattern: NDArray[np.uint32], query: str) -> None:
    """Files of the store and files made for the answer."""
    answer = await queued.http.post(
        URL, params={"refine": "none"}, content=npy(pattern), headers={"Content-Type": "application/x-npy"}
    )
    path = f"{answer.headers['location']}/result"
    reader, writer = await queued.open("GET", path + query)
    assert b"200 OK" in await reader.readuntil(b"\r\n")
    reset(writer)
    await queued.left(path)


async def test_whole_answers_are_no_499(site: Site) -> None:
    """Who hangs up when the answer is there has not left."""
    for _ in range(3):
        reader, writer = await site.open("GET", "/v1/models", Connection="close")
        assert b"200 OK" in await reader.read()
        writer.close()
    await asyncio.sleep(0.1)
    assert [line["status"] for line in site.lines] == [200] * 3
