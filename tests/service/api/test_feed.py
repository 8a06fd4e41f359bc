"""Watching all jobs, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.identity.keys import Key, Keyring, Scope
from service.jobs import events as events_of_jobs
from service.jobs.scripts import EVENTS
from service.jobs.state import JobState, RecordedProgress
from tests.service.api.served import House, house, named
from tests.service.conftest import KEY

__all__ = ["house"]  # a fixture


async def until(events: AsyncIterator[dict[str, Any]], kind: str, **data: object) -> list[dict[str, Any]]:
    """The events up to the one of this kind with these data."""
    found = []
    async with asyncio.timeout(10):
        async for event in events:
            found.append(event)
            if event.get("event") == kind and data.items() <= event["data"].items():
                break
    return named(found)


async def test_a_list_stays_as_the_jobs_are(house: House, pattern: NDArray[np.uint32]) -> None:
    """From `listening` on every change of a job comes as its line of the list, progress as figures, and its removal."""
    async with house.watching() as events:
        (listening,) = await until(events, "listening")
        job_id = await house.submit(pattern)
        changes = await until(events, "job", id=job_id, state="queued")
        house.start(job_id)
        house.records.progress(job_id, 1, RecordedProgress(10, 60, 0.25, 4000, "HIO", preview=True))
        running = await until(events, "progress", id=job_id)
        house.records.finish(job_id, 1, JobState.FAILED, reason="diverged")
        (failed,) = await until(events, "job", state="failed")
        house.records.remove(job_id)
        (removed,) = await until(events, "removed")
    assert listening["data"] == {"missed": False}
    assert changes[0]["data"]["state"] in ("accepted", "reading")  # as it is by the time that the line is written
    assert running[-1]["data"]["iteration"] == 10
    assert running[-1]["data"]["preview"] == f"/v1/jobs/{job_id}/preview"
    assert failed["data"]["reason"] == "diverged"
    line = {key: value for key, value in failed["data"].items() if key not in ("id", "link")}
    assert removed["data"] == {"id": job_id}
    assert line.keys() >= {"state", "source", "trust", "progress", "revisions", "created"}


async def test_a_reader_goes_on_after_its_last_event(house: House, pattern: NDArray[np.uint32]) -> None:
    """Last-Event-ID: what happened meanwhile comes, and nothing twice."""
    async with house.watching() as events:
        (listening,) = await until(events, "listening")
    job_id = await house.submit(pattern)
    async with house.watching(after=listening["id"]) as events:
        found = await until(events, "job", state="queued")
    assert {event["data"]["id"] for event in found} == {job_id}
    async with house.watching(after=found[-1]["id"]) as events, asyncio.timeout(8):
        async for event in events:
            if event.get("comment") == "waiting":
                break
            assert event.get("id") not in [earlier["id"] for earlier in found]


async def test_a_reader_that_was_away_too_long_is_told_to_list_again(
    house: House, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`listening` says that events were missed."""
    monkeypatch.setattr(events_of_jobs, "ALL_EVENTS_KEPT", 1)
    await house.submit(pattern)
    house.records._client.xtrim(EVENTS, maxlen=1, approximate=False)
    async with house.watching(after="1-1") as events:
        (again,) = await until(events, "listening")
    assert again["data"] == {"missed": True}


@pytest.mark.parametrize(("scope", "sees"), [(Scope.READ, False), (Scope.ADMIN, True)])
async def test_nobody_hears_of_the_jobs_of_others(
    house: House, pattern: NDArray[np.uint32], scope: Scope, sees: bool
) -> None:
    """Only an admin's key does."""
    house.services.keyring = Keyring([Key.of(KEY, "ada", Scope.ADMIN), Key.of("b" * 20, "bob", scope)])
    job_id = await house.submit(pattern)  # ada's
    mine = {"Authorization": f"Apikey {'b' * 20}", "Last-Event-ID": "0-0"}
    async with house.client.stream("GET", "/v1/events", headers=mine) as answer:
        text = ""
        async with asyncio.timeout(10):
            async for part in answer.aiter_text():
                text += part
                if "waiting" in text or job_id in text:
                    break
    assert (job_id in text) == sees
