"""Jobs and their results over HTTP, on a real Redis; the worker's part is done by hand here."""

import asyncio
import os
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import StoreFullError
from service.jobs.state import JobState, RecordedProgress
from service.jobs.store import Store
from service.settings import Bounds, Settings
from tests.service.api.calls import URL, check, load
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import accepted, client, predicted, records, services, submit, work
from tests.service.conftest import AppContext

__all__ = ["client"]  # a fixture


async def test_a_prediction_leaves_a_job(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """refine=none: the same document is there again under Location, and in the list."""
    answer = await submit(client, pattern, refine="none")
    again = await client.get(answer.headers["location"])
    assert again.json() == answer.json()
    assert again.json()["links"]["result"].endswith("/result")
    (line,) = (await client.get("/v1/jobs", params={"state": "succeeded"})).json()["jobs"]
    assert line["id"] == answer.json()["id"]


async def test_the_whole_way_of_a_refined_job(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """202 and Location, queued in the first position, running with progress, then succeeded with a result file."""
    answer = await submit(client, pattern, refine="5*ER")
    assert answer.status_code == 202
    where = answer.headers["location"]
    assert answer.json()["state"] in ("accepted", "reading")
    assert answer.json()["links"] == {"self": where, "events": f"{where}/events", "preview": f"{where}/preview"}
    waiting = (await client.get(where)).json()
    assert (waiting["state"], waiting["queue_position"]) == ("queued", 0)
    assert waiting["metrics"]["network"]["chi2"] > 0
    first = await client.get(f"{where}/result")
    assert (first.headers["inphase-revision"], first.headers["inphase-final"]) == ("1", "false")

    await work(client, waiting["id"])
    done = (await client.get(where)).json()
    assert (done["state"], done["attempt"], done["start"]["kind"]) == ("succeeded", 1, "network")
    assert done["recipe"]["refine"] == "5*ER"
    assert {"receive", "preprocess", "infer", "queue", "refine", "encode"} <= done["timings_ms"].keys()
    assert done["trust"]["level"] == "high"
    last = await client.get(f"{where}/result")
    assert (last.headers["inphase-revision"], last.headers["inphase-final"]) == ("2", "true")
    arrays = load(last)
    assert arrays["object"].shape == (64, 64, 64)
    assert done["id"] in str(arrays["document"])
    assert [(r["number"], r["kind"], r["final"]) for r in done["revisions"]] == [
        (1, "network", False), (2, "refined", True),
    ]  # fmt: skip


async def test_the_call_waits_for_the_result(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """With `wait` the same call answers 200 when a worker has done it,
    with the stages of the worker in Server-Timing.
    """

    async def worker() -> None:
        await accepted(client)
        await work(client, records(client).unfinished()[0])

    working = asyncio.create_task(worker())
    answer = await submit(client, pattern, refine="5*ER", wait=60, format="npz")
    await working
    assert answer.status_code == 200, answer.text
    assert "refine;dur=" in answer.headers["server-timing"]
    assert "object" in load(answer)


async def test_prefer_respond_async(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The standard header does not wait."""
    headers = NPY | {"Prefer": "respond-async"}
    answer = await asyncio.wait_for(client.post(URL, content=npy(pattern), headers=headers), 9)
    assert answer.status_code == 202


async def test_progress_shows_while_running(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """What the worker last said is in the document."""
    job_id = (await submit(client, pattern)).json()["id"]
    kept = records(client)
    attempt = kept.claim(job_id, kept.message_of(job_id), "test")
    assert attempt is not None
    kept.progress(job_id, attempt, RecordedProgress(30, 60, 0.01, 4000, "HIO"))
    document = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert document["state"] == "running"
    assert document["progress"] == {
        "iteration": 30, "total": 60, "chi2": 0.01, "support_voxels": 4000, "stage": "HIO", "preview": None,
    }  # fmt: skip


async def test_cancel(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A queued job is cancelled at once, twice is the same; a running one is asked to stop; a done one stays."""
    job_id = (await submit(client, pattern)).json()["id"]
    for _ in range(2):
        answer = await client.delete(f"/v1/jobs/{job_id}")
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    check(await client.get(f"/v1/jobs/{job_id}/result"), 409, "cancelled")
    running = (await submit(client, pattern)).json()["id"]
    records(client).claim(running, records(client).message_of(running), "test")
    answer = await client.delete(f"/v1/jobs/{running}")
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    assert records(client).get(running).cancel_requested
    check(await client.delete(f"/v1/jobs/{await predicted(client, pattern)}"), 409, "succeeded")


async def test_a_failed_job_says_why(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The reason is in the document; asked for the result itself, the call is refused with it."""
    job_id = (await submit(client, pattern)).json()["id"]
    kept = records(client)
    attempt = kept.claim(job_id, kept.message_of(job_id), "test")
    assert attempt is not None
    kept.finish(job_id, attempt, JobState.FAILED, reason="phase retrieval diverged at iteration 7")
    document = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (document["state"], document["reason"]) == ("failed", "phase retrieval diverged at iteration 7")
    check(await client.get(f"/v1/jobs/{job_id}/result"), 409, "diverged")


async def test_the_list_goes_on(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Pages of two, newest first, each job once."""
    ids = [await predicted(client, pattern) for _ in range(5)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/jobs", params=query)).json()
        found += [job["id"] for job in page["jobs"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == ids[::-1]


@pytest.mark.parametrize("path", ["", "/result", "/result/phase"])
async def test_unknown_jobs(client: httpx.AsyncClient, path: str) -> None:
    """An id that does not exist is 404, one of another form 422."""
    check(await client.get(f"/v1/jobs/{'0' * 32}{path}"), 404, "no job")
    check(await client.get(f"/v1/jobs/..%2f..%2fetc{path}"), 404)
    check(await client.get(f"/v1/jobs/events{path}"), 422)


# ---- results


# ---- faults around


async def test_redis_gone(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Without Redis: predictions go on unrecorded and leave nothing in the store, jobs are 503 with Retry-After."""
    job_id = await predicted(client, pattern)
    redis = services(client)._redis
    assert redis is not None
    await asyncio.to_thread(redis.stop)
    for refine in ("none", "fast"):
        answer = await submit(client, pattern, refine=refine, wait=5)
        assert answer.status_code == 200, answer.text
        assert answer.json()["recorded"] is False
        assert "location" not in answer.headers
    assert "object" in load(await submit(client, pattern, refine="none", format="npz"))
    assert [job.job_id for job in services(client).store.jobs()] == [job_id]
    answer = await client.get(f"/v1/jobs/{job_id}")
    check(answer, 503, "Redis")
    assert answer.headers["retry-after"]
    for asynchronous in (await submit(client, pattern, start="random"), await submit(client, pattern, refine="fast")):
        check(asynchronous, 503, "Redis")
        assert asynchronous.headers["retry-after"]
    status = (await client.get("/v1/status")).json()
    assert status["queue"]["up"] is False
    assert "inphase_queue_up 0.0" in (await client.get("/metrics")).text
    assert (await client.get("/readyz")).status_code == 200  # the queue only degrades


@pytest.mark.parametrize("refine", ["none", "fast"])
async def test_a_full_store(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch, refine: str
) -> None:
    """507, with Retry-After where waiting helps; no record and no array is left."""
    store = services(client).store
    others = store.root / ("0" * 32)
    others.mkdir()
    (others / "input.npz").touch()
    os.truncate(others / "input.npz", 2**40)
    store.max_bytes = 2**40
    answer = await submit(client, pattern, refine=refine)
    check(answer, 507, "the store holds 1 TiB of at most 1 TiB")
    assert (answer.json()["type"], answer.headers["retry-after"]) == ("urn:inphase:error:store-full", "60")
    store.delete("0" * 32)
    store.max_bytes = 1000
    answer = await submit(client, pattern, refine=refine)
    check(answer, 507, "1000 B in all")
    assert answer.json()["type"] == "urn:inphase:error:store-too-small"
    assert "retry-after" not in answer.headers
    store.max_bytes = None

    def no_space(*_: object, **__: object) -> None:
        raise StoreFullError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", no_space)
        check(await submit(client, pattern, refine=refine), 507, "no room")
    assert services(client).store.jobs() == []
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_the_queue_is_bounded(
    serving: AppContext, client: httpx.AsyncClient, pattern: NDArray[np.uint32], settings: Settings, tmp_path: Path
) -> None:
    """More waiting jobs than allowed: 503 that says so, and no record."""
    url = services(client)._redis
    assert isinstance(url, EmbeddedRedis)
    changes = {"queue": True, "workers": 0, "redis_url": url.url, "bounds": Bounds(queued_jobs=2)}
    async with serving(settings.model_copy(update=changes)) as bounded:
        for _ in range(2):
            assert (await submit(bounded, pattern)).status_code == 202
        check(await submit(bounded, pattern), 503, "2 jobs wait")
        assert len((await bounded.get("/v1/jobs")).json()["jobs"]) == 2


async def test_leaving(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A service that shuts down answers waiting calls with 202 at once, takes no new ones, and is not ready."""
    waiting = asyncio.create_task(submit(client, pattern, wait=200))
    await accepted(client)
    services(client).draining.set()
    answer = await asyncio.wait_for(waiting, 5)
    assert answer.status_code == 202
    check(await submit(client, pattern), 503, "shutting down")
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
