"""Jobs and their results over HTTP, on a real Redis; the worker's part is done by hand here."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from service.jobs.embedded import EmbeddedRedis, find_server
from service.jobs.errors import NoRedisError, StoreFullError
from service.jobs.record import Records
from service.jobs.state import JobState, Progress
from service.jobs.store import Store
from service.jobs.task import Outcome, Task
from service.lifecycle import Services
from service.security import Key, Scope
from service.settings import Bounds, Settings
from tests.service.api.conftest import NPY, npy
from tests.service.api.test_bad_input import check
from tests.service.api.test_reconstructions import URL, load, post_file
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


async def submit(client: httpx.AsyncClient, pattern: NDArray[np.uint32], **query: Any) -> httpx.Response:
    """A reconstruction that nobody works on."""
    return await client.post(URL, params={"wait": 0, **query}, content=npy(pattern), headers=NPY)


async def accepted(client: httpx.AsyncClient) -> None:
    """Returns when a job waits."""
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
    from service.refine import perform  # loads torch

    kept, store = records(client), services(client).store
    attempt = kept.claim(job_id, kept.message_of(job_id), "test")
    assert attempt is not None
    document = kept.get(job_id).document
    task = Task(job_id, attempt, document, store, "cpu", lambda *_: None, lambda: False)
    outcome: Outcome = await asyncio.to_thread(perform, task)
    store.write(job_id, f"result-{attempt}", outcome.arrays)
    assert kept.finish(job_id, attempt, JobState.SUCCEEDED, document=outcome.document, result=f"result-{attempt}")


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
    assert answer.json()["state"] == "queued"
    assert answer.json()["links"] == {"self": where, "events": f"{where}/events", "preview": f"{where}/preview"}
    waiting = (await client.get(where)).json()
    assert (waiting["state"], waiting["queue_position"]) == ("queued", 0)
    assert waiting["metrics"]["network"]["chi2"] > 0
    check(await client.get(f"{where}/result"), 409, "queued")

    await work(client, waiting["id"])
    done = (await client.get(where)).json()
    assert (done["state"], done["attempt"], done["start"]["kind"]) == ("succeeded", 1, "network")
    assert done["recipe"]["refine"] == "5*ER"
    assert {"receive", "preprocess", "infer", "queue", "refine", "encode"} <= done["timings_ms"].keys()
    assert done["trust"]["level"] == "high"
    arrays = load(await client.get(f"{where}/result"))
    assert arrays["object"].shape == (64, 64, 64)
    assert done["id"] in str(arrays["document"])


async def test_the_call_waits_for_the_result(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """With `wait` the same call answers 200 when a worker has done it, with the stages of the worker in Server-Timing."""

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
    kept.progress(job_id, attempt, Progress(30, 60, 0.01, 4000, "HIO"))
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


# ---- the same again


async def test_the_same_again_is_not_computed_again(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Same data, same options: the earlier result at once, said so, with a file of its own; `reuse=false` computes afresh."""
    first = (await submit(client, pattern, refine="5*ER")).json()["id"]
    await work(client, first)
    answer = await submit(client, pattern, refine="5 * ER")  # written otherwise, resolved to the same
    again = answer.json()
    assert answer.status_code == 200, answer.text
    assert (again["state"], again["reused_from"]) == ("succeeded", first)
    assert again["id"] != first
    assert again["metrics"] == (await client.get(f"/v1/jobs/{first}")).json()["metrics"]
    one, other = [load(await client.get(f"/v1/jobs/{job}/result")) for job in (first, again["id"])]
    np.testing.assert_array_equal(one["object"], other["object"])
    assert records(client).remove(first)
    services(client).store.delete(first)
    third = (await submit(client, pattern, refine="5*ER")).json()
    assert third["reused_from"] == first  # who computed it, not whose copy was taken
    assert (await client.get(third["links"]["result"])).status_code == 200
    for options in ({"reuse": False}, {"seed": 1}, {"refine": "6*ER"}, {"start": "random"}):
        assert (await submit(client, pattern, **{"refine": "5*ER", **options})).status_code == 202, options
    other_data = pattern.copy()
    other_data[30, 30, 30] += 1
    assert (await submit(client, other_data, refine="5*ER")).status_code == 202


async def test_a_lost_result_is_computed_again(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Where the earlier arrays are gone, the job is queued like any other."""
    first = (await submit(client, pattern, refine="5*ER")).json()["id"]
    await work(client, first)
    services(client).store.delete(first)
    answer = await submit(client, pattern, refine="5*ER")
    assert (answer.status_code, answer.json()["reused_from"]) == (202, None)


async def test_a_repeated_call_is_one_job(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Idempotency-Key: the same call again, even at the same moment, is the same job; another call with the key is refused."""
    headers = NPY | {"Idempotency-Key": '"scan-54"'}

    async def send(array: NDArray[np.uint32], **query: Any) -> httpx.Response:
        return await client.post(URL, params={"wait": 0, **query}, content=npy(array), headers=headers)

    answers = await asyncio.gather(*(send(pattern, refine="5*ER") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert services(client).store.jobs()[0].job_id == job_id
    assert len(services(client).store.jobs()) == 1
    await work(client, job_id)
    done = await send(pattern, refine="5*ER", format="npz")
    assert done.status_code == 200
    assert job_id in str(load(done)["document"])
    check(await send(pattern, refine="6*ER"), 422, "Idempotency-Key", job_id)
    check(await send(pattern[:, :, ::-1], refine="5*ER"), 422, "Idempotency-Key")
    assert len((await client.get("/v1/jobs")).json()["jobs"]) == 1


async def test_a_repeated_prediction_is_one_job(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """What is answered at once is remembered, too."""
    headers = NPY | {"Idempotency-Key": "k"}
    query = {"refine": "none"}
    answers = await asyncio.gather(
        *(client.post(URL, params=query, content=npy(pattern), headers=headers) for _ in range(3))
    )
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(services(client).store.jobs()) == 1


async def test_a_full_store_makes_room(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The oldest ended jobs go for a new one, record and arrays; a queued job never does."""
    waiting = (await submit(client, pattern, refine="5*ER")).json()["id"]
    first, second = [await predicted(client, pattern) for _ in range(2)]
    store = services(client).store
    store.max_bytes = store.total_bytes() + 1000
    third = await predicted(client, pattern)
    assert {job.job_id for job in store.jobs()} == {waiting, second, third}
    check(await client.get(f"/v1/jobs/{first}"), 404, "expired")


# ---- whose jobs


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


async def test_jobs_of_others_do_not_exist(keyed: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Bob gets the same 404 for ada's job as for none; her own second key reads it, and may not cancel it; an admin may."""
    mine = await keyed.post(URL, params={"wait": 0}, content=npy(pattern), headers=NPY | by("ada"))
    assert mine.json()["owner"] == "ada"
    where = mine.headers["location"]
    nothing = "/v1/jobs/" + "0" * 32
    for path in ("", "/events", "/preview", "/result", "/result/phase"):
        refused = check(await keyed.get(where + path, headers=by("bob")), 404)
        unknown = check(await keyed.get(nothing + path, headers=by("bob")), 404)
        assert refused["detail"].replace(where[-32:], "0" * 32) == unknown["detail"]
    check(await keyed.delete(where, headers=by("bob")), 404, "no job")
    assert (await keyed.get(where, headers=by("wall"))).status_code == 200
    check(await keyed.delete(where, headers=by("wall")), 403, "submit")
    check(await keyed.post(URL, content=npy(pattern), headers=NPY | by("wall")), 403, "submit")
    assert (await keyed.get("/v1/jobs", headers=by("bob"))).json()["jobs"] == []
    assert len((await keyed.get("/v1/jobs", headers=by("wall"))).json()["jobs"]) == 1
    check(await keyed.get("/v1/jobs", params={"owner": "ada"}, headers=by("bob")), 403, "bob")
    assert len((await keyed.get("/v1/jobs", params={"owner": "ada"})).json()["jobs"]) == 1  # the service's own key
    assert (await keyed.delete(where)).status_code == 200


async def test_results_of_others_are_not_taken(keyed: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Bob's job with ada's data is computed: what she has reconstructed is hers."""
    for name, status in (("ada", 202), ("bob", 202), ("ada", 200)):
        answer = await keyed.post(
            URL, params={"wait": 0, "refine": "2*ER"}, content=npy(pattern), headers=NPY | by(name)
        )
        assert answer.status_code == status
        if status == 202:
            await work(keyed, answer.json()["id"])


async def test_the_list_has_filters(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """By model, trust and time; a line shows what a reader wants to know."""
    one = await predicted(client, pattern)
    other = (await submit(client, pattern, model="blind", start="network", refine="3*ER")).json()["id"]
    created = records(client).get(other).created

    async def listed(**query: Any) -> list[str]:
        answer = await client.get("/v1/jobs", params=query)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["jobs"]]

    assert await listed(model="blind") == await listed(model="blind@1") == [other]
    assert await listed(model="blind@2") == []
    assert await listed(trust="medium") == [one]
    assert await listed(trust="high") == []
    moment = datetime.fromtimestamp(created, UTC).isoformat()
    assert await listed(since=moment) == [other]
    assert await listed(until=datetime.fromtimestamp(created - 0.001, UTC).isoformat()) == [one]
    (line,) = (await client.get("/v1/jobs", params={"trust": "medium"})).json()["jobs"]
    assert (line["model"], line["recipe"], line["trust"]) == ("inphase-bcdi@1", "none", "medium")
    assert line["chi2"] > 0
    check(await client.get("/v1/jobs", params={"since": "yesterday"}), 422, "since")


async def test_a_document_of_an_older_version(client: httpx.AsyncClient) -> None:
    """What version 0.1.0 wrote is read, with defaults for what it did not know."""
    stored = (Path(__file__).parent / "document-0.1.0.json").read_bytes()
    job_id = json.loads(stored)["id"]
    records(client).create(job_id, stored)
    document = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (document["state"], document["reused_from"], document["series"]) == ("queued", None, None)
    assert document["recipe"]["refine"] == "5*ER"
    (line,) = (await client.get("/v1/jobs")).json()["jobs"]
    assert line["model"] == "inphase-bcdi@1"


async def test_a_document_of_another_world(client: httpx.AsyncClient) -> None:
    """A document that cannot be read is said to be one; the job is listed, and can be cancelled all the same."""
    for number, stored in enumerate(
        (b'{"id": 1, "state": "queued"}', b"no json", b"[]", b'{"model": 3, "metrics": []}')
    ):
        job_id = f"{number:032x}"
        records(client).create(job_id, stored)
        check(await client.get(f"/v1/jobs/{job_id}"), 500, "another version")
        await client.delete(f"/v1/jobs/{job_id}")
        assert records(client).get(job_id).state is JobState.CANCELLED
    assert len((await client.get("/v1/jobs")).json()["jobs"]) == 4


# ---- results


async def test_arrays_and_slices(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Every array as npy and as octets, whole and cut, is the one in the result file."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    arrays = load(await client.get(where))
    for name in ("amplitude", "phase", "phase_flat", "object", "support", "modulus", "mask", "free"):
        answer = await client.get(f"{where}/{name}")
        assert answer.headers["content-type"] == "application/x-npy"
        np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), arrays[name])
    for cut, index in {
        "32,:,:": np.s_[32, :, :],
        "-1": np.s_[-1],
        ":,::2,10:20": np.s_[:, ::2, 10:20],
        "::-1": np.s_[::-1],
        "1,2,3": np.s_[1, 2, 3],
        "90:99": np.s_[90:99],
    }.items():
        answer = await client.get(f"{where}/phase", params={"slice": cut, "format": "octet-stream"})
        wanted = arrays["phase"][index]
        shape = tuple(int(side) for side in answer.headers["x-inphase-shape"].split(",") if side)
        found = np.frombuffer(answer.content, answer.headers["x-inphase-dtype"]).reshape(shape)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("cut", ["64", "-65", "1,2,3,4", "a", "1:2:3:4", "::0", "1;2", "1,,2", "0x1", "1e3"])
async def test_slices_that_cannot_be(client: httpx.AsyncClient, pattern: NDArray[np.uint32], cut: str) -> None:
    """Out of range or not understood: 422 with the axis or the part."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/phase", params={"slice": cut}), 422, "slice")


async def test_pictures(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """PNG shows the middle plane, or the one that is named; grey amplitudes, coloured phases; never a volume or a line."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    for name, mode in {
        "amplitude": "L",
        "modulus": "L",
        "support": "L",
        "mask": "L",
        "phase": "RGB",
        "object": "RGB",
    }.items():
        answer = await client.get(f"{where}/{name}", params={"format": "png"})
        assert answer.headers["content-type"] == "image/png"
        image = Image.open(io.BytesIO(answer.content))
        assert (image.size, image.mode) == ((64, 64), mode)
    narrow = await client.get(f"{where}/amplitude", params={"format": "png", "slice": "10:30,32"})
    assert Image.open(io.BytesIO(narrow.content)).size == (64, 20)  # width, height
    accepted = await client.get(f"{where}/amplitude", headers={"Accept": "image/png"})
    assert accepted.headers["content-type"] == "image/png"
    seen = await client.get(where.removesuffix("result") + "preview")
    assert Image.open(io.BytesIO(seen.content)).size == (3 * 64, 2 * 64)
    again = await client.get(where.removesuffix("result") + "preview", headers={"If-None-Match": seen.headers["etag"]})
    assert again.status_code == 304
    for cut in (":,:,:", "1,2", "1,2,3"):
        check(await client.get(f"{where}/phase", params={"format": "png", "slice": cut}), 422, "plane")


async def test_etags(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """What a client has already is not sent again: 304 without a body; another part has another tag."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    tags = set()
    for path in ("", "/phase", "/phase?slice=1", "/phase?slice=1&format=png", "/amplitude"):
        first = await client.get(f"{where}{path}")
        tag = first.headers["etag"]
        tags.add(tag)
        again = await client.get(f"{where}{path}", headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await client.get(f"{where}{path}", headers={"If-None-Match": '"other"'})).status_code == 200
    assert len(tags) == 5


async def test_an_expired_result(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The record may outlive the arrays: 404 that says so."""
    job_id = await predicted(client, pattern)
    services(client).store.delete(job_id)
    check(await client.get(f"/v1/jobs/{job_id}/result"), 404, "expired")
    check(await client.get(f"/v1/jobs/{job_id}/result/phase"), 404, "expired")


async def test_a_damaged_result(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A file that lost its end is an error of the service that names the job, not garbage."""
    job_id = await predicted(client, pattern)
    path = services(client).store.path(job_id, "result-0")
    path.write_bytes(path.read_bytes()[:1000])
    check(await client.get(f"/v1/jobs/{job_id}/result/phase"), 500, job_id)


async def test_unknown_arrays_and_formats(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The answer names what there is."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/colour"), 422, "amplitude")
    check(await client.get(f"{where}/phase", params={"format": "jpeg"}), 422, "png")
    check(await client.get(where, params={"format": "doc"}), 422, "npz")


async def test_strain_maps(client: httpx.AsyncClient, pattern: NDArray[np.uint32], data_root: Path) -> None:
    """With q_steps and q_centre in the file, displacement, strain and d-spacing are arrays of the result and pictures."""
    with h5py.File(data_root / "known.h5", "w") as file:
        file["counts"] = pattern
        file["q_steps"] = np.diag([2e6, 5e6, 4e6])
        file["q_centre"] = np.array([0.0, 2.7e10, 0.0])
    answer = await post_file(client, "known.h5")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["strain"]["q_per_m"] == pytest.approx([0.0, 2.7e10, 0.0], rel=0.01)
    assert document["preprocess"]["geometry"]["frame"] == "laboratory"
    where = f"/v1/jobs/{document['id']}/result"
    arrays = load(await client.get(where))
    for name in ("displacement", "strain", "strain_with_ramp", "d_spacing"):
        found = np.load(io.BytesIO((await client.get(f"{where}/{name}")).content))
        np.testing.assert_array_equal(found, arrays[name])
        picture = Image.open(io.BytesIO((await client.get(f"{where}/{name}", params={"format": "png"})).content))
        assert picture.size == (64, 64)
    assert np.nanmean(arrays["d_spacing"]) == pytest.approx(2 * np.pi / 2.7e10, rel=1e-3)


async def test_strain_without_geometry(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """404 says what is missing; the rest of the result is there."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/strain"), 404, "give q_steps and q_centre")
    assert (await client.get(f"{where}/phase")).status_code == 200


async def test_what_several_starts_agree_on(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The average and its modes are arrays of the result; a job with one start says why it has none, one in disagreement too."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/average"), 404, "one start", "start=mixed")
    refine = "40*HIO+10*ER+10*AER | SW(every=10,threshold=0.2,sigma=2..1)"
    answer = await submit(client, pattern, start="mixed", starts=2, refine=refine)
    await work(client, answer.json()["id"])
    document = (await client.get(f"/v1/jobs/{answer.json()['id']}")).json()
    assert [member["kind"] for member in document["ensemble"]["members"]] == ["network", "jittered"]
    where = f"/v1/jobs/{document['id']}/result"
    modes = np.load(io.BytesIO((await client.get(f"{where}/modes")).content))
    assert modes.shape == (2, 64, 64, 64)
    assert (await client.get(f"{where}/average", params={"format": "png"})).status_code == 200
    answer = await submit(client, pattern, start="random", starts=2, refine="1*ER")
    await work(client, answer.json()["id"])
    check(
        await client.get(f"/v1/jobs/{answer.json()['id']}/result/prtf"), 404, "of 2 starts 1 led to the same solution"
    )


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
    """507 with Retry-After; no record and no array is left."""
    services(client).store.max_bytes = 1000
    answer = await submit(client, pattern, refine=refine)
    check(answer, 507, "store")
    assert answer.headers["retry-after"]
    services(client).store.max_bytes = None

    def no_space(*_: object) -> None:
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
