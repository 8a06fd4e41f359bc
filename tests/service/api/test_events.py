"""Watching a job, over a real socket: uvicorn on this loop, a real Redis, and the worker's part done by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import redis
from fastapi import FastAPI
from numpy.typing import NDArray

from service.app import create_app
from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from service.jobs.state import JobState, RecordedProgress
from service.lifecycle import Services
from service.server import Server
from service.settings import Bounds, Settings
from tests.service.api.calls import check
from tests.service.api.conftest import NPY, npy
from tests.service.conftest import KEY


class House:
    """A served application."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        self.services: Services = app.state.services
        self.client = client
        assert self.services.records is not None
        self.records: Records = self.services.records

    async def submit(self, pattern: NDArray[np.uint32]) -> str:
        """A queued job."""
        answer = await self.client.post("/v1/reconstructions", params={"wait": 0}, content=npy(pattern), headers=NPY)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def start(self, job_id: str) -> None:
        """A first attempt."""
        assert self.records.claim(job_id, job_id, "test") == 1

    @asynccontextmanager
    async def watching(self, job_id: str, after: str = "") -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The events of a job."""
        headers = {"Last-Event-ID": after} if after else {}
        async with self.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield parsed(answer)


async def parsed(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream: id, event, data; comments as {"comment": ...}."""
    event: dict[str, Any] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(":")
        if not line:
            if "data" in event or "comment" in event:
                yield event
            event = {}
        elif name:
            event[name] = json.loads(value) if name == "data" else value.strip()
        else:
            event["comment"] = value.strip()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the other side sets no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[House]:
    """The application behind uvicorn on a port of its own."""
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(settings)
    server = Server(app, settings, listening.set_result)
    running = asyncio.create_task(server.serve())
    try:
        url = await asyncio.wait_for(listening, 60)
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Apikey {KEY}"}, timeout=20) as client:
            yield House(app, client)
    finally:
        app.state.services.draining.set()
        server.should_exit = True
        await running


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    """A service with its own Redis, no worker, and room for three streams."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    changes = {"queue": True, "workers": 0, "redis_url": None, "port": 0, "bounds": Bounds(streams=3)}
    async with serve(settings.model_copy(update=changes)) as house:
        yield house


def named(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without comments."""
    return [event for event in events if "event" in event]


async def test_a_job_from_queue_to_end(house: House, pattern: NDArray[np.uint32]) -> None:
    """Every event as it happens, with its figures; the picture is where the event says;
    the stream ends with the job.
    """
    job_id = await house.submit(pattern)
    async with house.watching(job_id) as events:
        found = [event async for event in aiter_until(events, "queued")]
        house.start(job_id)
        house.services.store.write_preview(job_id, 1, b"a picture")
        house.records.progress(job_id, 1, RecordedProgress(10, 60, 0.25, 4000, "HIO", preview=True))
        house.records.finish(job_id, 1, JobState.FAILED, reason="diverged")
        async with asyncio.timeout(5):
            found += [event async for event in events]
    before = [event["data"]["state"] for event in named(found)[:2]]
    revision, queued, running, progress, failed = named(found)[2:]
    assert before == ["accepted", "reading"]
    assert (revision["event"], revision["data"]) == (
        "revision", {"number": 1, "kind": "network", "final": False, "result": f"/v1/jobs/{job_id}/result?revision=1"},
    )  # fmt: skip
    assert (queued["event"], queued["data"]["state"]) == ("state", "queued")
    assert running["data"]["state"] == "running"
    preview = f"/v1/jobs/{job_id}/preview"
    assert progress["event"] == "progress"
    assert progress["data"] == {
        "iteration": 10, "total": 60, "chi2": 0.25, "support_voxels": 4000, "stage": "HIO", "preview": preview,
    }  # fmt: skip
    assert failed["data"] == {"state": "failed", "reason": "diverged"}
    picture = await house.client.get(preview)
    assert (picture.content, picture.headers["content-type"]) == (b"a picture", "image/png")
    known = await house.client.get(preview, headers={"If-None-Match": picture.headers["etag"]})
    assert known.status_code == 304
    async with house.watching(job_id, after=running["id"]) as events:
        assert named([event async for event in events]) == [progress, failed]
    async with house.watching(job_id, after=failed["id"]) as events:
        assert named([event async for event in events]) == []
    await until(lambda: house.services.streams == 0)


async def aiter_until(events: AsyncIterator[dict[str, Any]], state: str) -> AsyncIterator[dict[str, Any]]:
    """Events up to the one that tells of this state."""
    async with asyncio.timeout(10):
        async for event in events:
            yield event
            if event.get("data", {}).get("state") == state:
                return


async def test_silence_is_filled(house: House, pattern: NDArray[np.uint32]) -> None:
    """A comment every two seconds keeps proxies awake and finds clients that are gone."""
    async with house.watching(await house.submit(pattern)) as events, asyncio.timeout(6):
        found = [event async for event in aiter_until(events, "queued")]
        found += [await anext(events) for _ in range(2)]
    assert [event["comment"] for event in found if "comment" in event][1:] == ["waiting", "waiting"]


async def test_a_service_that_leaves_lets_go_at_once(
    settings: Settings, house: House, pattern: NDArray[np.uint32]
) -> None:
    """Open streams end within a moment with `leaving`, and the server does not wait for them."""
    job_id = await house.submit(pattern)
    async with house.watching(job_id) as events, asyncio.timeout(3):
        _ = [event async for event in aiter_until(events, "queued")]
        house.services.draining.set()
        rest = [event async for event in events]
    assert [event["event"] for event in named(rest)] == ["leaving"]
    check(await house.client.get(f"/v1/jobs/{job_id}/events"), 503, "shutting down")
    assert house.records.get(job_id).state is JobState.QUEUED


async def test_streams_are_bounded_and_clients_that_go_leave_nothing(house: House, pattern: NDArray[np.uint32]) -> None:
    """More clients than allowed are told to poll; those that hang up give back their place and their Redis
    connection.
    """
    job_id = await house.submit(pattern)
    with redis.Redis.from_url(house.records._url) as inspector:

        def readers() -> int:
            return [client["cmd"] for client in inspector.client_list()].count("xread")  # type: ignore[union-attr]

        async def hang_up(ready: Callable[[], Awaitable[None]]) -> None:
            async with house.watching(job_id) as events:
                _ = [event async for event in aiter_until(events, "queued")]
                await ready()

        for _ in range(2):
            barrier = asyncio.Barrier(4)

            async def meet(barrier: asyncio.Barrier = barrier) -> None:
                await barrier.wait()
                await barrier.wait()

            tasks = [asyncio.create_task(hang_up(meet)) for _ in range(3)]
            await barrier.wait()
            assert house.services.streams == 3
            await until(lambda: readers() == 3)
            check(await house.client.get(f"/v1/jobs/{job_id}/events"), 503, "3 clients")
            await barrier.wait()
            await asyncio.gather(*tasks)
            await until(lambda: house.services.streams == 0)
            await until(lambda: readers() == 0)


async def test_what_cannot_be_watched(house: House, pattern: NDArray[np.uint32]) -> None:
    """Unknown ids, strange event ids, a job without a picture: refused before a stream begins."""
    check(await house.client.get(f"/v1/jobs/{'0' * 32}/events"), 404, "no job")
    job_id = await house.submit(pattern)
    check(
        await house.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "yesterday"}),
        422,
        "last-event-id",
    )
    check(await house.client.get(f"/v1/jobs/{job_id}/preview"), 404, "no picture yet")
    assert house.services.streams == 0
