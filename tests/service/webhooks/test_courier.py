"""Webhooks from a service to a receiver."""

import asyncio
import base64
import math
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
import receive_webhook
from numpy.typing import NDArray

from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.settings import Settings
from service.telemetry import Metrics
from service.webhooks.allowed import Allowed
from service.webhooks.courier import Courier
from service.webhooks.outbox import Due, Outbox
from tests.service.api.calls import URL, check
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import records, services
from tests.service.conftest import AppContext

SECRET = base64.b64encode(bytes(range(32))).decode()


@contextmanager
def listening(server: HTTPServer) -> Iterator[int]:
    """The port of a server that runs within the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def told() -> list[dict[str, Any]]:
    """What the receiver of examples/ was told."""
    return []


@pytest.fixture
def port(told: list[dict[str, Any]]) -> Iterator[int]:
    """Where it listens."""
    with listening(receive_webhook.server(SECRET, 0, told.append)) as port:
        yield port


@pytest.fixture
async def client(serving: AppContext, settings: Settings, port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that may call it by its address, and a name that leads inside."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    hosts = (f"127.0.0.1:{port}", "localhost:9")
    changes = {"queue": True, "workers": 0, "redis_url": None, "webhook_hosts": hosts, "webhook_secret": SECRET}
    async with serving(Settings.model_validate(dict(settings) | changes)) as client:
        yield client


async def counted(client: httpx.AsyncClient, outcome: str, number: int) -> None:
    """Returns when so many attempts have ended so."""
    line = f'inphase_webhooks_total{{outcome="{outcome}"}} {number}.0'
    async with asyncio.timeout(30):
        while line not in (await client.get("/metrics")).text:  # noqa: ASYNC110  # the other side sets no event
            await asyncio.sleep(0.05)


async def test_a_receiver_is_told_of_every_end(
    client: httpx.AsyncClient, port: int, told: list[dict[str, Any]], pattern: NDArray[np.uint32], data_root: Path
) -> None:
    """Of a prediction, of a cancelled job and of the scan of a series; the receiver believes the signatures."""
    webhook, body = f"http://127.0.0.1:{port}/inphase", npy(pattern)
    done = (
        await client.post(URL, params={"refine": "none", "webhook": webhook, "wait": 60}, content=body, headers=NPY)
    ).json()
    reader = services(client).reader
    assert reader is not None
    reader._rest_until = math.inf
    waiting = (await client.post(URL, params={"wait": 0, "webhook": webhook}, content=body, headers=NPY)).json()
    await client.delete(f"/v1/jobs/{waiting['id']}?reason=ice")
    np.save(data_root / "scan.npy", pattern)
    order = {"scans": ["scan.npy"], "refine": "none", "webhook": webhook}
    series = (await client.post("/v1/series", json=order)).json()
    await client.delete(series["link"])
    await counted(client, "received", 3)
    assert {message["data"]["id"]: message["type"] for message in told} == {
        done["id"]: "job.succeeded", waiting["id"]: "job.cancelled", series["scans"][0]["job"]: "job.cancelled",
    }  # fmt: skip
    reasons = {message["data"]["id"]: message["data"]["reason"] for message in told}
    assert reasons[waiting["id"]] == "cancelled on request: ice"


async def test_what_may_not_be_called_is_refused_at_once(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """And leaves no job."""
    for webhook in ("http://127.0.0.1:1/", "http://169.254.169.254/latest"):
        answer = await client.post(URL, params={"webhook": webhook}, content=npy(pattern), headers=NPY)
        check(answer, 422, "INPHASE_WEBHOOK_HOSTS")
    assert records(client).page().records == ()


async def test_a_name_that_leads_inside_costs_the_job_nothing(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], capsys: pytest.CaptureFixture[str]
) -> None:
    """The job succeeds at once; its webhook fails beside it, with the reason in the log."""
    query = {"refine": "none", "webhook": "http://localhost:9/", "wait": 60}
    answer = await client.post(URL, params=query, content=npy(pattern), headers=NPY)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")
    await counted(client, "failed", 1)
    assert "not public" in "".join(capsys.readouterr())


async def test_without_a_queue_nobody_is_told(
    serving: AppContext, settings: Settings, pattern: NDArray[np.uint32]
) -> None:
    """What is not recorded does not end: 503."""
    changes = {"webhook_hosts": ("hooks.example",), "webhook_secret": SECRET}
    async with serving(Settings.model_validate(dict(settings) | changes)) as client:
        query = {"refine": "none", "webhook": "https://hooks.example/"}
        check(await client.post(URL, params=query, content=npy(pattern), headers=NPY), 503, "without a queue")


# ---- a receiver that fails


class Shelf:
    """An outbox without Redis: one webhook, due again as soon as it has failed."""

    def __init__(self, url: str) -> None:
        self.url, self.delays = url, list[float]()
        self._due = [Due("a", url, 1)]
        self.over = threading.Event()

    def take(self, most: int) -> list[Due]:
        """What is due now."""
        due, self._due = self._due, []
        return due

    def later(self, job_id: str, delay_s: float) -> None:
        """Note the delay, and do not wait for it."""
        self.delays.append(delay_s)
        self._due = [Due(job_id, self.url, len(self.delays) + 1)]

    def done(self, job_id: str) -> None:
        """It is over."""
        self.over.set()


class Moody(BaseHTTPRequestHandler):
    """A receiver that answers with the statuses that stand in `statuses`, one after the other."""

    statuses: list[int]
    asked: list[dict[str, str]]

    def do_POST(self) -> None:
        """Note what came, and answer."""
        self.rfile.read(int(self.headers["content-length"]))
        self.asked.append(dict(self.headers))
        self.send_response(self.statuses.pop(0))
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("statuses", "attempts", "outcome"),
    [([500, 404, 302, 204], 4, "received"), ([410], 1, "given up"), ([500] * 4, 4, "given up")],
)
async def test_a_receiver_that_fails_is_tried_again_later_each_time(
    monkeypatch: pytest.MonkeyPatch, statuses: list[int], attempts: int, outcome: str
) -> None:
    """Any answer but 2xx fails, no redirect is followed, 410 ends it, and so does the last attempt."""
    monkeypatch.setattr("service.webhooks.courier._LOOK_S", 0.01)
    receiver = type("Receiver", (Moody,), {"statuses": list(statuses), "asked": []})
    metrics = Metrics()
    with listening(ThreadingHTTPServer(("127.0.0.1", 0), receiver)) as port:
        shelf, here = Shelf(f"http://127.0.0.1:{port}/"), Allowed.of([f"127.0.0.1:{port}"])
        outbox = cast(Outbox, shelf)
        courier = Courier(outbox, here, bytes(32), lambda _: b"{}", metrics.webhooks, (1.0, 10.0, 100.0))
        running = asyncio.create_task(courier.run())
        assert await asyncio.to_thread(shelf.over.wait, 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert len(receiver.asked) == attempts
    assert {asked["webhook-id"] for asked in receiver.asked} == {"a"}
    assert {asked["Host"] for asked in receiver.asked} == {f"127.0.0.1:{port}"}
    bounds = zip(shelf.delays, (1.0, 10.0, 100.0), strict=False)
    assert all(0.8 * expected <= delay <= 1.2 * expected for delay, expected in bounds)
    assert metrics.registry.get_sample_value("inphase_webhooks_total", {"outcome": outcome}) == 1


async def test_a_receiver_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts the connection and says nothing: a failure like any other, after the time that it has."""
    monkeypatch.setattr("service.webhooks.courier._LOOK_S", 0.01)
    monkeypatch.setattr("service.webhooks.courier._ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        shelf, metrics = Shelf(f"http://127.0.0.1:{port}/"), Metrics()
        here = Allowed.of([f"127.0.0.1:{port}"])
        courier = Courier(cast(Outbox, shelf), here, bytes(32), lambda _: b"{}", metrics.webhooks, ())
        running = asyncio.create_task(courier.run())
        assert await asyncio.to_thread(shelf.over.wait, 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert metrics.registry.get_sample_value("inphase_webhooks_total", {"outcome": "given up"}) == 1
