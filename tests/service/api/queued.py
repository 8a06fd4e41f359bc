"""A service with a queue: its clients, and the worker's part, done by hand."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from service.jobs.state import JobState
from service.jobs.task import Outcome, Task, revision_name
from service.lifecycle import Services
from service.security import Key, Scope
from service.settings import Settings
from tests.service.api.calls import URL
from tests.service.api.conftest import NPY, npy
from tests.service.conftest import AppContext


@pytest.fixture
async def client(serving: AppContext, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with its own Redis and no worker."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    queued = settings.model_copy(update={"queue": True, "workers": 0, "redis_url": None})
    async with serving(queued) as client:
        yield client


def services(client: httpx.AsyncClient) -> Services:
    """What the application of this client runs on."""
    found: Services = client.app.state.services  # type: ignore[attr-defined]
    return found


def records(client: httpx.AsyncClient) -> Records:
    """Its records."""
    found = services(client).records
    assert found is not None
    return found


async def submit(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], *, headers: dict[str, str] | None = None, **query: Any
) -> httpx.Response:
    """A reconstruction that nobody works on, when its data have been read;
    one that has ended is as if the call had waited.
    """
    wait = 10 if query.get("refine") == "none" else 0
    answer = await client.post(URL, params={"wait": wait, **query}, content=npy(pattern), headers=NPY | (headers or {}))
    if answer.status_code == 202 and not services(client).draining.is_set():
        await read(client, answer.json()["id"])
        now = await client.get(answer.headers["location"])
        return now if JobState(now.json()["state"]).final else answer
    return answer


async def read(client: httpx.AsyncClient, job_id: str) -> None:
    """Returns when the data of a job have been read."""
    async with asyncio.timeout(20):
        while records(client).get(job_id).state in (JobState.ACCEPTED, JobState.READING):  # noqa: ASYNC110  # a thread, it sets no event
            await asyncio.sleep(0.02)


async def accepted(client: httpx.AsyncClient) -> None:
    """Returns when a job waits for a worker."""
    async with asyncio.timeout(10):
        while not records(client).unfinished():  # noqa: ASYNC110  # the other side is a process, it sets no event
            await asyncio.sleep(0.02)


async def predicted(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> str:
    """The id of a job that was answered at once."""
    answer = await submit(client, pattern, refine="none")
    assert answer.status_code == 200, answer.text
    assert answer.json()["recorded"] is True
    return str(answer.json()["id"])


async def work(client: httpx.AsyncClient, job_id: str) -> None:
    """Do what a worker does with a job, through the same function."""
    from service.jobs.perform import perform  # loads torch

    kept, store = records(client), services(client).store
    attempt = kept.claim(job_id, kept.message_of(job_id), "test")
    assert attempt is not None
    document = kept.get(job_id).document

    def revise(number: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        store.write(job_id, revision_name(number), arrays)
        assert kept.revise(job_id, attempt, revision_name(number))

    task = Task(job_id, attempt, document, store, "cpu", lambda *_: None, lambda: False, revise=revise)
    outcome: Outcome = await asyncio.to_thread(perform, task)
    store.write(job_id, f"result-{attempt}", outcome.arrays)
    assert kept.finish(job_id, attempt, JobState.SUCCEEDED, document=outcome.document, result=f"result-{attempt}")


@pytest.fixture
async def keyed(serving: AppContext, settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that knows the keys of ada (submit), of her wall display (read) and of bob (submit)."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    keys = [Key.of("ada" * 8, "ada", Scope.SUBMIT), Key.of("wall" * 8, "ada", Scope.READ)]
    keys += [Key.of("bob" * 8, "bob", Scope.SUBMIT)]
    path = tmp_path / "keys.yaml"
    path.write_text(yaml.safe_dump([key.model_dump(mode="json") for key in keys]))
    changes = {"queue": True, "workers": 0, "redis_url": None, "keys_file": path}
    async with serving(settings.model_copy(update=changes)) as client:
        yield client


def by(name: str) -> dict[str, str]:
    """The header of somebody's key."""
    return {"Authorization": f"Apikey {name * 8}"}
