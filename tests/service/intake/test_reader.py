"""A job exists before its data are read: bad data, callers that do not wait, services that die while they read."""

import asyncio
import errno
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from service.door.budget import working_bytes
from service.intake.reader import Reader
from service.intake.submission import UPLOAD
from service.jobs.errors import QueueUnavailableError
from service.jobs.scripts import EVENTS
from service.jobs.state import JobState
from service.lifecycle import Services
from service.settings import Bounds, Settings
from tests import disk
from tests.service.api.calls import URL, check, load, post_file
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import client, predicted, read, records, services, submit
from tests.service.conftest import AppContext

__all__ = ["client"]  # a fixture

DARK = np.zeros((64, 64, 64), np.uint32)  # has the form of a measurement, and nothing was measured
KEY = {"Idempotency-Key": "night-1"}


class Gate:
    """Holds up whoever reads with this reader, until it is opened."""

    def __init__(self, reader: Reader, patch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        begin = reader._begin

        def held_up(*args: Any) -> Any:
            self.reached.set()
            assert self.open.wait(60)
            return begin(*args)

        patch.setattr(reader, "_begin", held_up)


@pytest.fixture
def gate(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """In the way of the service's reader."""
    gate = Gate(reader_of(services(client)), monkeypatch)
    yield gate
    gate.open.set()


@pytest.fixture
async def idle(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A service that reads only for callers that wait."""
    await end_background(services(client))
    return client


def reader_of(found: Services) -> Reader:
    """The reader of a service with a queue."""
    assert found.reader is not None
    return found.reader


async def end_background(found: Services) -> None:
    """Nothing is read any more but for callers, and nobody hears of what is being read."""
    for task in found._background:
        task.cancel()
    await asyncio.gather(*found._background, return_exceptions=True)


def post(client: httpx.AsyncClient, pattern: NDArray[np.uint32], **query: Any) -> "asyncio.Task[httpx.Response]":
    """A call under way, with an Idempotency-Key."""
    return asyncio.create_task(client.post(URL, params=query, content=npy(pattern), headers=NPY | KEY))


async def until(condition: Callable[[], Any]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # threads set no event of this loop
            await asyncio.sleep(0.02)


def keys_left(client: httpx.AsyncClient) -> set[str]:
    """What Redis knows of jobs."""
    with redis.Redis.from_url(records(client)._url) as inspector:
        found = {key.decode() for key in inspector.scan_iter("inphase:*")}
    return found - {"inphase:sequence", "inphase:readers", EVENTS}  # the latest events of all jobs are bounded


# ---- data that cannot be used


@pytest.mark.parametrize("refine", ["none", "5*ER"])
async def test_who_waits_is_told_and_nothing_stays(client: httpx.AsyncClient, refine: str) -> None:
    """422 for one call, and for three equal ones at the same moment;
    no record, no key of it, no array, no share of memory.
    """
    check(await submit(client, DARK, refine=refine, wait=20), 422, "scan is empty")
    for task in [post(client, DARK, refine=refine, wait=20) for _ in range(3)]:
        check(await task, 422, "scan is empty")
    assert keys_left(client) == set()
    assert services(client).store.jobs() == []
    assert (await client.get("/v1/jobs")).json()["jobs"] == []
    assert services(client).budget.used == 0


async def test_who_does_not_wait_finds_the_reason_in_the_job(client: httpx.AsyncClient) -> None:
    """202, then a failed job with the text that a waiting caller gets; what was sent is gone."""
    answer = await post(client, DARK, wait=0)
    assert (answer.status_code, answer.json()["state"]) == (202, "accepted")
    await read(client, answer.json()["id"])
    document = (await client.get(answer.headers["location"])).json()
    told = check(await submit(client, DARK, wait=20), 422)["detail"]
    assert (document["state"], document["reason"]) == ("failed", told)
    assert services(client).store.names(document["id"]) == []
    again = await post(client, DARK, wait=20)  # the same call is the same job, also when it waits
    assert (again.status_code, again.json()["id"]) == (200, document["id"])
    check(await client.get(document["links"]["self"] + "/result"), 409, told)


async def test_who_waited_too_short_finds_it_there_too(client: httpx.AsyncClient, gate: Gate) -> None:
    """202 while it is read, then a failed job."""
    answer = await post(client, DARK, wait=0.1)
    assert (answer.status_code, answer.json()["state"]) == (202, "reading")
    gate.open.set()
    await read(client, answer.json()["id"])
    document = (await client.get(answer.headers["location"])).json()
    assert document["state"] == "failed"
    assert "scan is empty" in document["reason"]


async def test_a_job_that_another_call_was_promised_stays(client: httpx.AsyncClient, gate: Gate) -> None:
    """Of two equal calls one waits and gets 422; the other got 202 and finds the failed job there."""
    waits = post(client, DARK, wait=30)
    await until(gate.reached.is_set)
    promised = await post(client, DARK, wait=0)
    assert (promised.status_code, promised.json()["state"]) == (202, "reading")
    gate.open.set()
    told = check(await waits, 422, "scan is empty")["detail"]
    document = (await client.get(promised.headers["location"])).json()
    assert (document["state"], document["reason"]) == ("failed", told)
    assert services(client).store.names(document["id"]) == []


async def test_a_file_that_is_not_there_leaves_no_job(client: httpx.AsyncClient) -> None:
    """A wrong path is told at once; without waiting the job says so."""
    check(await post_file(client, "nonesuch.npy", wait=20), 404, "nonesuch.npy")
    assert keys_left(client) == set()
    answer = await post_file(client, "nonesuch.npy", wait=0)
    assert answer.status_code == 202
    await read(client, answer.json()["id"])
    (line,) = (await client.get("/v1/jobs")).json()["jobs"]
    assert (line["state"], line["source"]) == ("failed", "nonesuch.npy")
    assert "nonesuch.npy" in line["reason"]


# ---- callers and services that go


async def test_a_caller_that_goes_away_leaves_its_job(
    client: httpx.AsyncClient, gate: Gate, pattern: NDArray[np.uint32]
) -> None:
    """What it sent is read to the end and queued; bad data become the job's reason; the memory is given back."""
    for data, state in ((pattern, JobState.QUEUED), (DARK, JobState.FAILED)):
        call = asyncio.create_task(client.post(URL, params={"wait": 30}, content=npy(data), headers=NPY))
        await until(gate.reached.is_set)
        assert services(client).budget.used == working_bytes(data.size, data.nbytes)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        (job,) = records(client).page(limit=1).records
        assert job.state is JobState.READING
        gate.open.set()
        await read(client, job.job_id)
        assert records(client).get(job.job_id).state is state
        await until(lambda: services(client).budget.used == 0)
        gate.open.clear()
        gate.reached.clear()


async def test_another_service_reads_what_a_dead_one_was_reading(
    serving: AppContext,
    client: httpx.AsyncClient,
    gate: Gate,
    settings: Settings,
    pattern: NDArray[np.uint32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From what was sent, bit by bit the same result;
    and a dead one that comes back when it is done changes nothing.
    """
    gate.open.set()
    same = load(await client.get(f"/v1/jobs/{await predicted(client, pattern)}/result"))
    gate.open.clear()
    gate.reached.clear()
    answer = await client.post(URL, params={"wait": 0.1, "refine": "none"}, content=npy(pattern), headers=NPY)
    job_id = answer.json()["id"]
    assert records(client).get(job_id).state is JobState.READING
    dying = services(client)
    assert dying._redis is not None
    await end_background(dying)
    changes = {"queue": True, "workers": 0, "redis_url": dying._redis.url}
    monkeypatch.setattr("service.jobs.record._PRESENT_S", 0.5)
    monkeypatch.setattr("service.intake.reader._ANNOUNCE_S", 0.1)
    async with serving(settings.model_copy(update=changes)) as other:
        async with asyncio.timeout(30):
            while records(other).get(job_id).state is not JobState.SUCCEEDED:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.05)
        found = load(await other.get(f"/v1/jobs/{job_id}/result"))
        assert found.keys() == same.keys()
        for name in same.keys() - {"document"}:
            np.testing.assert_array_equal(found[name], same[name], err_msg=name)
        before = records(other).get(job_id)
        gate.open.set()
        await until(lambda: not reader_of(dying)._active)
        assert records(other).get(job_id) == before
        assert services(other).store.names(job_id) == ["result-0"]


async def test_a_late_reader_leaves_what_was_sent_to_the_next_one(
    client: httpx.AsyncClient, gate: Gate, pattern: NDArray[np.uint32]
) -> None:
    """Whose job is taken by another reader meanwhile, it neither queues it nor takes the upload away."""
    answer = await client.post(URL, params={"wait": 0.1}, content=npy(pattern), headers=NPY)
    job_id, kept = answer.json()["id"], records(client)
    assert kept.give_back(job_id, kept.get(job_id).reader)  # as `reclaim` does with a reader that was silent
    assert kept.take(job_id, "another")
    gate.open.set()
    await until(lambda: not reader_of(services(client))._active)
    assert (kept.get(job_id).state, kept.get(job_id).reader) == (JobState.READING, "another")
    assert services(client).store.has(job_id, UPLOAD)


async def test_a_reading_that_waits_for_its_turn_is_announced(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """A job whose caller waits for a compute slot is nobody else's, however long that takes."""
    slots = services(client).slots
    async with AsyncExitStack() as taken:
        for _ in range(services(client).settings.compute_slots):
            await taken.enter_async_context(slots.place("another"))
        # start=random: without a network to be checked, only its reading takes a slot
        call = asyncio.create_task(
            client.post(URL, params={"wait": 2, "start": "random"}, content=npy(pattern), headers=NPY)
        )
        await until(lambda: reader_of(services(client))._active)
        (job,) = records(client).page().records
        assert reader_of(services(client))._active == {job.reader}  # those of whom `announce` speaks
    assert (await call).json()["state"] == "queued"
    assert reader_of(services(client))._active == set()


async def test_a_job_is_cancelled_while_it_is_read(
    client: httpx.AsyncClient, gate: Gate, pattern: NDArray[np.uint32]
) -> None:
    """202 while its reader is told, and it ends cancelled, also where no worker would have been needed."""
    for refine in ("none", "5*ER"):
        where = (await submit_unread(client, pattern, refine)).headers["location"]
        answer = await client.delete(where)
        assert (answer.status_code, answer.json()["state"]) == (202, "reading")
        gate.open.set()
        await read(client, where[-32:])
        assert (await client.get(where)).json()["state"] == "cancelled"
        gate.open.clear()
    assert records(client).unfinished() == []


async def submit_unread(client: httpx.AsyncClient, pattern: NDArray[np.uint32], refine: str) -> httpx.Response:
    """A job whose reader is held up at the gate."""
    return await client.post(URL, params={"wait": 0.1, "refine": refine}, content=npy(pattern), headers=NPY)


async def test_a_service_that_leaves_does_not_fail_its_jobs(
    client: httpx.AsyncClient, gate: Gate, pattern: NDArray[np.uint32]
) -> None:
    """Who waits gets 202 at once; what is not read when the service is gone is left to the next one."""
    call = asyncio.create_task(client.post(URL, params={"wait": 60}, content=npy(pattern), headers=NPY))
    await until(gate.reached.is_set)
    services(client).draining.set()
    answer = await asyncio.wait_for(call, 5)
    assert (answer.status_code, answer.json()["state"]) == (202, "reading")
    leaving = reader_of(services(client))
    leaving._settings = leaving._settings.model_copy(update={"drain_s": 0.1})
    await leaving.stop()
    job = records(client).get(answer.json()["id"])
    assert not leaving.give_up(job.job_id, job.reader, ValueError("I/O operation on closed file"))
    assert records(client).get(job.job_id).state is JobState.READING


async def test_redis_gone_while_data_are_read(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller that waits gets the prediction all the same, not recorded."""

    def gone(*_: object, **__: object) -> None:
        raise QueueUnavailableError("Redis is away")

    for name in ("queue", "conclude"):
        monkeypatch.setattr(records(client), name, gone)
    for refine in ("none", "fast"):
        answer = await client.post(URL, params={"wait": 20, "refine": refine}, content=npy(pattern), headers=NPY)
        assert (answer.status_code, answer.json()["recorded"]) == (200, False), answer.text


# ---- how many wait


async def test_accepted_jobs_count_as_waiting(idle: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """At the bound nobody reads: 503 for what would wait; a prediction whose caller waits needs no room."""
    services(idle).intake._bounds = Bounds(queued_jobs=2)
    for seed in range(2):
        answer = await idle.post(URL, params={"wait": 0, "seed": seed}, content=npy(pattern), headers=NPY)
        assert answer.json()["state"] == "accepted"
    for query in ({"wait": 0}, {"wait": 5}, {"wait": 0, "refine": "none"}):
        check(await idle.post(URL, params=query, content=npy(pattern), headers=NPY), 503, "2 jobs wait")
    assert len((await idle.get("/v1/jobs")).json()["jobs"]) == 2
    assert len(services(idle).store.jobs()) == 2
    answer = await idle.post(URL, params={"refine": "none", "wait": 20}, content=npy(pattern), headers=NPY)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")


async def test_jobs_of_low_priority_and_scans_are_bounded_too(
    idle: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """They may wait in larger numbers, and keep out nobody who is in more of a hurry."""
    services(idle).intake._bounds = Bounds(queued_jobs=1, unread_jobs=3)
    for number in range(3):
        np.save(data_root / f"scan_{number}.npy", pattern)
    low = {"wait": 0, "priority": "low"}
    for seed in range(2):
        assert (await post_file(idle, "scan_0.npy", **low, seed=seed)).status_code == 202
    series = {"scans": ["scan_*.npy"], "refine": "none"}
    for priority in ("low", "normal"):
        check(await idle.post("/v1/series", json=series | {"priority": priority}), 503, "2 jobs wait")
    assert (await idle.post("/v1/series", json=series | {"scans": ["scan_1.npy"]})).status_code == 202
    check(await post_file(idle, "scan_0.npy", **low, seed=9), 503, "3 jobs wait")
    assert (await post_file(idle, "scan_0.npy", wait=0)).status_code == 202


# ---- a store that fails


@pytest.fixture
def small_store(settings: Settings) -> Iterator[Path]:
    """The folder of the service's store, on a disk of 1 MiB."""
    with disk.small(settings.store_dir, 1) as folder:
        yield folder


@pytest.mark.usefixtures("small_store")
async def test_a_job_that_is_larger_than_the_disk_fails(
    serving: AppContext, settings: Settings, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """Who waits is told; what was accepted ends and says how much it needs, and what is smaller goes on behind it."""
    np.save(data_root / "large.npy", pattern)
    np.save(data_root / "small.npy", pattern[32])
    options = {"start": "random", "refine": "3*ER"}
    async with serving(settings.model_copy(update={"queue": True, "workers": 0, "redis_url": None})) as client:
        refused = await post_file(client, "large.npy", wait=30, **options)
        check(refused, 507, "1 MiB in all")
        assert "retry-after" not in refused.headers
        accepted = [
            (await post_file(client, name, wait=0, **options)).json()["id"] for name in ("large.npy", "small.npy")
        ]
        for job_id in accepted:
            await read(client, job_id)
        large, small = (records(client).get(job_id) for job_id in accepted)
    assert (large.state, small.state) == (JobState.FAILED, JobState.QUEUED), (large.reason, small.reason)
    assert re.search(r"[\d.]+ MiB are needed, and the disk of the store has 1 MiB in all, with .* free", large.reason)


@pytest.mark.parametrize(("code", "status"), [(errno.ENOSPC, 507), (errno.EIO, 503)])
async def test_a_store_that_fails_loses_no_job(
    client: httpx.AsyncClient,
    data_root: Path,
    pattern: NDArray[np.uint32],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    status: int,
) -> None:
    """Who waits is told, and told when to come again; what was accepted waits until the store works, and is read."""
    np.save(data_root / "scan.npy", pattern)
    monkeypatch.setattr("service.intake.reader._STORE_REST_S", 0.2)

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        promised = (await post_file(client, "scan.npy", refine="2*ER", wait=0)).json()["id"]
        refused = await post_file(client, "scan.npy", refine="3*ER", wait=30)
        check(refused, status)
        assert refused.headers["retry-after"]
        async with asyncio.timeout(20):
            while records(client).get(promised).reader == "":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)  # it is tried again
        assert records(client).get(promised).state in (JobState.ACCEPTED, JobState.READING)
    await read(client, promised)
    assert records(client).get(promised).state is JobState.QUEUED
    assert [record.job_id for record in records(client).page().records] == [promised]
