"""Jobs and their results over HTTP, on a real Redis; the worker's part is done by hand here."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.jobs.embedded import EmbeddedRedis, find_server
from service.jobs.errors import NoRedisError, StoreFullError
from service.jobs.record import Records
from service.jobs.state import JobState, Progress
from service.jobs.store import Store
from service.jobs.task import Outcome, Task
from service.lifecycle import Services
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


async def submit(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], *, headers: dict[str, str] | None = None, **query: Any
) -> httpx.Response:
    """A reconstruction that nobody works on, when its data have been read; one that has ended is as if the call had waited."""
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
