"""The service while its Redis answers with errors: no fault of the service, not ready, and all well afterwards."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from service.jobs.errors import NoRedisError
from service.settings import Settings
from tests.service.api.calls import check
from tests.service.api.queued import client, services, submit
from tests.service.conftest import AppContext
from tests.service.refusing import WAYS, refusing

__all__ = ["client"]  # a fixture: a service with its own Redis and no worker


def url_of(client: httpx.AsyncClient) -> str:
    """The address of its Redis."""
    own = services(client)._redis
    assert own is not None
    return own.url


async def until_read(client: httpx.AsyncClient, job: str) -> None:
    """Returns when a job waits for a worker."""
    async with asyncio.timeout(20):
        while (await client.get(f"/v1/jobs/{job}")).json()["state"] != "queued":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_handed_out(client: httpx.AsyncClient, series: str) -> None:
    """Returns when every scan of a series has become a job."""
    async with asyncio.timeout(20):
        while not (await client.get(f"/v1/series/{series}")).json()["scans"][0]["job"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await until_read(client, (await client.get(f"/v1/series/{series}")).json()["scans"][0]["job"])


def answers_of_fault(metrics: str) -> list[str]:
    """Lines of the metrics that count an answer of 500."""
    return [line for line in metrics.splitlines() if 'code="500"' in line]


@pytest.mark.parametrize("way", WAYS)
async def test_every_call_while_redis_refuses(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], data_root: Path, way: str
) -> None:
    """Writes are 503 with Retry-After, reads go on where Redis reads, /readyz names the reason;
    then all is as before.
    """
    np.save(data_root / "scan.npy", pattern)
    done = (await submit(client, pattern, refine="none", wait=30)).json()["id"]
    queued = (await submit(client, pattern, refine="2*ER")).json()["id"]
    await until_read(client, queued)
    series = (await client.post("/v1/series", json={"scans": ["scan.npy"], "refine": "4*ER"})).json()["id"]
    await until_handed_out(client, series)
    stored = {job.job_id for job in services(client).store.jobs()}
    with refusing(url_of(client), way):
        submitted = [
            await submit(client, pattern, refine="3*ER"),
            await client.post("/v1/series", json={"scans": ["scan.npy"]}),
        ]
        cancelled = [await client.delete(f"/v1/jobs/{queued}"), await client.delete(f"/v1/series/{series}")]
        if way == "OOM":  # to cancel needs no memory
            assert [answer.status_code for answer in cancelled] == [200, 200]
            cancelled = []
        for answer in submitted + cancelled:
            problem = check(answer, 503, "Redis refuses", "try again later")
            assert f"({way})" in problem["detail"] or (way, "(READONLY)" in problem["detail"]) == ("MASTERDOWN", True)
            assert answer.headers["retry-after"]
        at_once = await submit(client, pattern, refine="none")
        assert (at_once.status_code, at_once.json()["recorded"]) == (200, False)
        assert "Redis refuses" in at_once.json()["reason"]
        reads = [
            await client.get(path)
            for path in (
                "/v1/jobs",
                f"/v1/jobs/{done}",
                f"/v1/jobs/{done}/events",
                f"/v1/jobs/{done}/result",
                f"/v1/jobs/{done}/preview",
                f"/v1/series/{series}",
                "/v1/series",
            )
        ]
        assert {answer.status_code for answer in reads} == ({503} if way == "MASTERDOWN" else {200})
        async with asyncio.timeout(1.0):  # what is asked for all the time is half a second old at most
            ready = await until_ready_is(client, 503)
        assert "Redis refuses" in ready.json()["why"]
        status = (await client.get("/v1/status")).json()["queue"]
        assert (status["up"], "Redis refuses" in status["why"]) == (False, True)
        metrics = (await client.get("/metrics")).text
        assert "inphase_queue_up 0.0" in metrics
        assert answers_of_fault(metrics) == []
        assert {job.job_id for job in services(client).store.jobs()} == stored  # nothing half-accepted
    assert (await client.get("/readyz")).json() == {"ready": True, "why": None}
    assert (await client.get("/v1/status")).json()["queue"]["up"] is True
    assert (await submit(client, pattern, refine="3*ER")).status_code == 202
    assert (await client.delete(f"/v1/jobs/{queued}")).json()["state"] == "cancelled"


async def test_a_stream_of_events_lives_through_a_refusal(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """Who follows a job hears of its end after a failover."""
    job_id = (await submit(client, pattern, refine="2*ER")).json()["id"]
    following = asyncio.create_task(client.get(f"/v1/jobs/{job_id}/events"))
    await asyncio.sleep(0.2)
    with refusing(url_of(client), "OOM"):
        await asyncio.sleep(0.2)
    await client.delete(f"/v1/jobs/{job_id}")
    answer = await asyncio.wait_for(following, 10)
    assert answer.status_code == 200
    assert "cancelled on request" in answer.text


async def test_a_series_goes_on_after_a_refusal(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], data_root: Path
) -> None:
    """Scans that came while Redis refused are handed out when it does not, and none of them has failed."""
    for number in range(3):
        np.save(data_root / f"scan_{number}.npy", pattern)
    answer = await client.post("/v1/series", json={"scans": ["scan_*.npy"], "refine": "none"})
    for way in ("READONLY", "OOM", "READONLY", "OOM"):
        with refusing(url_of(client), way):
            await asyncio.sleep(0.6)  # longer than the feeder rests between two looks
    deadline = time.monotonic() + 20
    while not (series := (await client.get(answer.headers["location"])).json())["done"]:
        assert time.monotonic() < deadline, series
        await asyncio.sleep(0.05)
    assert series["states"]["succeeded"] == 3


async def test_readyz_does_not_wait_for_a_redis_that_hangs(client: httpx.AsyncClient) -> None:
    """The probe is answered while a Redis is still busy: tens of milliseconds, on a busy machine a second."""
    with redis.Redis.from_url(url_of(client)) as admin:
        admin.client_pause(4000)
        begun = time.monotonic()
        assert (await client.get("/readyz")).status_code == 200
        assert time.monotonic() - begun < 3


async def test_another_policy_is_noticed_while_running(client: httpx.AsyncClient) -> None:
    """A Redis that was reconfigured, or took over, and would forget jobs: not ready until it is mended."""
    with redis.Redis.from_url(url_of(client)) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        why = (await until_ready_is(client, 503)).json()["why"]
        assert "allkeys-lru" in why
        admin.config_set("maxmemory-policy", "noeviction")
    await until_ready_is(client, 200)


async def until_ready_is(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """The answer of /readyz once it has this status."""
    async with asyncio.timeout(15):
        while (answer := await client.get("/readyz")).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return answer


async def test_a_redis_that_forgets_jobs_stops_the_start(
    serving: AppContext, settings: Settings, client: httpx.AsyncClient
) -> None:
    """A service on such a Redis does not start, and says what to set."""
    url = url_of(client)
    with redis.Redis.from_url(url) as admin:
        admin.config_set("maxmemory-policy", "volatile-lru")
    other = settings.model_copy(update={"queue": True, "workers": 0, "redis_url": url})
    with pytest.raises(NoRedisError, match="volatile-lru"):
        async with serving(other):
            pass


async def test_a_redis_that_hangs_is_told_within_a_second(client: httpx.AsyncClient) -> None:
    """Its connections stay open, and nothing comes: /readyz says so, /v1/status answers, and all is well afterwards."""
    await client.get("/v1/status")
    with frozen(client):
        begun = time.monotonic()
        ready = await until_ready_is(client, 503)
        assert time.monotonic() - begun < 1.0
        assert "hangs" in ready.json()["why"]
        begun = time.monotonic()
        told = (await client.get("/v1/status")).json()["queue"]
        assert time.monotonic() - begun < 2.0
        assert (told["up"], "hangs" in told["why"]) == (False, True)
        assert (await client.get("/metrics")).status_code == 200
    await until_ready_is(client, 200)


async def test_status_does_not_wait_for_a_redis_that_has_just_begun_to_hang(client: httpx.AsyncClient) -> None:
    """Before anybody has noticed."""
    await client.get("/v1/status")
    with frozen(client):
        begun = time.monotonic()
        answer = await client.get("/v1/status")
        assert time.monotonic() - begun < 2.0
        assert answer.json()["queue"]["jobs"] == {}


@contextmanager
def frozen(client: httpx.AsyncClient) -> Iterator[None]:
    """Its Redis stands still within the block, as on a host that hangs."""
    with redis.Redis.from_url(url_of(client)) as admin:
        server = admin.info("server")["process_id"]
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)
