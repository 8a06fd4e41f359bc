"""People of one proposal share their jobs, and every key has its quota."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.sse import ServerSentEvent
from numpy.typing import NDArray

from inphase.client.bodies import encode_frames
from service.api.events import told
from service.identity.file import add
from service.identity.keys import Caller, Key, Keyring, Scope
from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.jobs.state import JobState
from service.settings import Settings
from tests.service.api.calls import URL, check
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import by, read, records, services, submit
from tests.service.conftest import AppContext


@pytest.fixture
async def client(serving: AppContext, settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """ada and bob have keys of one proposal, dora reads it, carla is alone and may have two jobs waiting."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    path = tmp_path / "keys.yaml"
    for owner, scope in (("ada", "submit"), ("bob", "submit"), ("dora", "read")):
        add(path, Key.of(owner * 8, owner, scope, proposal="hc5001"))
    add(path, Key.of("carla" * 8, "carla", "submit", waiting_jobs=2))
    changes = {"queue": True, "workers": 0, "redis_url": None, "keys_file": path}
    async with serving(settings.model_copy(update=changes)) as client:
        yield client


async def waiting(client: httpx.AsyncClient, pattern: NDArray[np.uint32], who: str) -> str:
    """The id of a job of somebody whose data nobody reads."""
    reader = services(client).reader
    assert reader is not None
    reader._rest_until = math.inf
    answer = await client.post(URL, params={"wait": 0}, content=npy(pattern), headers=NPY | by(who))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def seen(client: httpx.AsyncClient, who: str, **query: Any) -> list[str]:
    """The ids of the jobs that somebody lists."""
    answer = await client.get("/v1/jobs", params=query, headers=by(who))
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


async def test_the_jobs_of_a_proposal_are_those_of_all_its_people(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """In the list, newest first, page by page, by owner, one by one; for the others they do not exist."""
    ids = [await waiting(client, pattern, who) for who in ("ada", "carla", "bob", "ada")]
    shared = [ids[3], ids[2], ids[0]]
    for who in ("ada", "bob", "dora"):
        assert await seen(client, who) == shared
    assert await seen(client, "bob", owner="ada") == [ids[3], ids[0]]
    assert await seen(client, "bob", owner="carla") == []
    assert await seen(client, "carla") == [ids[1]]
    check(await client.get("/v1/jobs", params={"owner": "ada"}, headers=by("carla")), 403, "of carla only")
    page = (await client.get("/v1/jobs", params={"limit": 2}, headers=by("dora"))).json()
    rest = (await client.get("/v1/jobs", params={"limit": 2, "cursor": page["cursor"]}, headers=by("dora"))).json()
    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == shared
    assert {job["proposal"] for job in page["jobs"]} == {"hc5001"}
    assert (await client.get(f"/v1/jobs/{ids[0]}", headers=by("bob"))).json()["owner"] == "ada"
    check(await client.get(f"/v1/jobs/{ids[0]}", headers=by("carla")), 404)
    check(await client.get(f"/v1/jobs/{ids[1]}", headers=by("ada")), 404)


async def test_who_cancels_a_job_of_the_proposal_stays_with_it(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """In the document, the list and the events, with the reason; who only reads may not, and the first one counts."""
    job = await waiting(client, pattern, "ada")
    check(await client.delete(f"/v1/jobs/{job}", headers=by("dora")), 403)
    check(await client.delete(f"/v1/jobs/{job}", headers=by("carla")), 404)
    document = (await client.delete(f"/v1/jobs/{job}?reason=ice on it", headers=by("bob"))).json()
    await client.delete(f"/v1/jobs/{job}?reason=again", headers=by("ada"))
    assert (document["reason"], document["cancelled_by"]) == ("cancelled on request: ice on it", "bob")
    (line,) = (await client.get("/v1/jobs", headers=by("ada"))).json()["jobs"]
    assert (line["reason"], line["cancelled_by"]) == (document["reason"], "bob")
    found = await client.get(f"/v1/jobs/{job}/events", headers=by("ada"))
    assert '"cancelled_by":"bob"' in found.text.replace(" ", "")


async def test_a_job_that_ends_before_it_is_cancelled_was_cancelled_by_nobody(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """A worker may be done before it hears of it."""
    job = (await submit(client, pattern, headers=by("ada"))).json()["id"]
    kept = records(client)
    attempt = kept.claim(job, kept.message_of(job), "test")
    assert attempt is not None
    assert (await client.delete(f"/v1/jobs/{job}", headers=by("bob"))).json()["cancelled_by"] == "bob"
    kept.finish(job, attempt, JobState.FAILED, reason="diverged")
    assert (await client.get(f"/v1/jobs/{job}", headers=by("ada"))).json()["cancelled_by"] == ""


async def test_a_series_belongs_to_the_proposal_with_all_its_jobs(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], data_root: Path
) -> None:
    """Others of it list it, read it and cancel it, with the reason."""
    await waiting(client, pattern, "carla")
    for number in range(2):
        np.save(data_root / f"scan_{number}.npy", pattern)
    made = (await client.post("/v1/series", json={"scans": ["scan_*.npy"]}, headers=by("ada"))).json()
    assert made["proposal"] == "hc5001"
    listed = (await client.get("/v1/series", headers=by("bob"))).json()["series"]
    assert [line["id"] for line in listed] == [made["id"]]
    assert (await client.get("/v1/series", headers=by("carla"))).json()["series"] == []
    check(await client.get(made["link"], headers=by("carla")), 404)
    ended = (await client.delete(f"{made['link']}?reason=wrong sample", headers=by("bob"))).json()
    assert (ended["cancelled"], ended["cancelled_by"]) == (True, "bob")
    assert {scan["reason"] for scan in ended["scans"]} == {"cancelled on request: wrong sample"}
    assert len(await seen(client, "bob", series=made["id"])) == 2
    assert await seen(client, "carla", series=made["id"]) == []


async def test_a_live_scan_belongs_to_the_proposal_with_its_looks(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """Others of it list it, add to it, see its looks and end it; who ended it stays with it."""
    body = {"shape": [64, 64], "dtype": "uint32", "frames": 64, "refine": "none"}
    made = (await client.post("/v1/scans", json=body, headers=by("ada"))).json()
    link = made["link"]
    assert (made["owner"], made["proposal"], made["look"]) == ("ada", "hc5001", None)
    listed = (await client.get("/v1/scans", headers=by("bob"))).json()["scans"]
    assert [line["id"] for line in listed] == [made["id"]]
    assert (await client.get("/v1/scans", headers=by("carla"))).json()["scans"] == []
    for call in ("", "/events"):
        check(await client.get(f"{link}{call}", headers=by("carla")), 404)
    batch = encode_frames(range(64), list(pattern))
    octets = {"Content-Type": "application/octet-stream"}
    check(await client.post(f"{link}/frames", content=batch, headers=by("dora") | octets), 403)
    check(await client.post(f"{link}/frames", content=batch, headers=by("carla") | octets), 404)
    assert (await client.post(f"{link}/frames", content=batch, headers=by("bob") | octets)).json()["total"] == 64
    check(await client.post(f"{link}/finish", headers=by("carla")), 404)
    ended = (await client.post(f"{link}/finish?reason=enough", headers=by("bob"))).json()
    assert (ended["reason"], ended["ended_by"], ended["look"]) == ("enough", "bob", ended["final"])
    assert [place for place, _ in ended["curve"]] == list(range(64))
    assert ended["curve"][32][1] == pattern[32].sum()
    assert ended["final"] in await seen(client, "bob")
    assert await seen(client, "carla") == []


async def test_no_more_jobs_of_a_key_wait_than_it_may_have(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], data_root: Path
) -> None:
    """However many are sent at the same moment: two are taken, the others are 429. A cancelled one makes room."""
    body, headers = npy(pattern), NPY | by("carla")
    answers = await asyncio.gather(
        *(client.post(URL, params={"wait": 0, "seed": n}, content=body, headers=headers) for n in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [202, 202, 429, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert check(refused, 429, "2 jobs of this key wait")["type"] == "urn:inphase:error:quota"
    assert int(refused.headers["retry-after"]) > 0
    assert len(services(client).store.jobs()) <= 2
    taken = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    for job in taken:
        await read(client, job)
    check(await client.post(URL, params={"wait": 0}, content=body, headers=headers), 429)
    assert (await submit(client, pattern, headers=by("ada"))).status_code == 202
    np.save(data_root / "scan_1.npy", pattern)
    await client.delete(f"/v1/jobs/{taken[0]}", headers=by("carla"))
    np.save(data_root / "scan_2.npy", pattern)
    order = {"scans": ["scan_*.npy"]}
    check(await client.post("/v1/series", json=order, headers=by("carla")), 429, "1 jobs of this key", "2 more")
    assert (await client.get("/v1/series", headers=by("carla"))).json()["series"] == []
    assert (await client.post(URL, params={"wait": 0, "seed": 9}, content=body, headers=headers)).status_code == 202


async def test_a_job_that_has_ended_does_not_count(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Predictions end where they are read, and what was refused leaves nothing."""
    assert (await submit(client, pattern, headers=by("carla"), refine="none")).status_code == 200
    flat = np.zeros((64, 64, 64), np.uint32)
    check(await client.post(URL, params={"wait": 10}, content=npy(flat), headers=NPY | by("carla")), 422)
    assert records(client).count_pending(Key.of("carla" * 8, "carla", "submit").id) == 0


async def test_a_stream_ends_with_its_key(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Who watches a job when the key is revoked sees nothing that comes later."""
    job = (await submit(client, pattern, headers=by("ada"))).json()["id"]
    services(client).keyring = Keyring([])
    async with AsyncExitStack() as held, asyncio.timeout(10):
        events = records(client).follow(job)
        ada = Caller("ada", Scope.READ)
        open_stream = told(events, services(client), ada, held, lambda _: ServerSentEvent(event="x"))
        sent = [event async for event in open_stream]
    assert [(event.comment, event.event) for event in sent] == [("inphase", None)]
