"""A served application: uvicorn on this loop, a real Redis, and the worker's part done by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray

from service.app import create_app
from service.door.server import Server
from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from service.lifecycle import Services
from service.settings import Bounds, Settings
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
    async def watching(self, job_id: str = "", after: str = "") -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The events of a job, of all where none is named."""
        headers = {"Last-Event-ID": after} if after else {}
        path = f"/v1/jobs/{job_id}/events" if job_id else "/v1/events"
        async with self.client.stream("GET", path, headers=headers) as answer:
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
        async with httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Apikey {KEY}"}, timeout=20, verify=False
        ) as client:
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
