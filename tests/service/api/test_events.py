"""Watching a job, over a real socket: uvicorn on this loop, a real Redis, and the worker's part done by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from service.jobs.state import JobState, RecordedProgress
from service.settings import Settings
from tests.service.api.calls import check
from tests.service.api.served import House, house, named, until

__all__ = ["house"]  # a fixture


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
