"""The revisions of a job's result over HTTP, and documents that earlier versions have stored."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
from numpy.typing import NDArray
from PIL import Image

from inphase.imaging.arrays import ARRAYS
from service.document import JobDocument
from service.intake.acceptance import FIRST
from service.jobs.entry import Origin
from service.jobs.state import JobState
from tests.service.api.calls import check, load, preview_size
from tests.service.api.queued import client, predicted, records, services, submit, work
from tests.toy import counts

__all__ = ["client"]  # a fixture

STORED = Path(__file__).parents[1] / "data" / "job-document-before-revisions.json"


def number(answer: httpx.Response) -> tuple[str, str]:
    """Which revision an answer is of, and whether it is the last one."""
    assert answer.status_code in (200, 304), answer.text
    return answer.headers["inphase-revision"], answer.headers["inphase-final"]


def arrays_of(answer: httpx.Response) -> dict[str, Any]:
    """A result file but for its document, which bears times."""
    return {name: array for name, array in load(answer).items() if name != "document"}


async def test_the_networks_image_is_there_before_a_worker_is(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """Whole, as array, in any format and as picture, equal to refine=none; made once, when somebody asks."""
    job_id = (await submit(client, pattern, refine="5*ER")).json()["id"]
    where = f"/v1/jobs/{job_id}"
    document = (await client.get(where)).json()
    assert (document["state"], document["metrics"]["final"]) == ("queued", None)
    (told,) = document["revisions"]
    assert (told["number"], told["kind"], told["final"]) == (1, "network", False)
    assert not services(client).store.has(job_id, FIRST)

    first = await client.get(told["result"])
    assert number(first) == ("1", "false")
    written = services(client).store.path(job_id, FIRST).stat()
    network = arrays_of(await client.get(f"/v1/jobs/{await predicted(client, pattern)}/result"))
    assert arrays_of(first).keys() == network.keys()
    for name, array in arrays_of(first).items():
        np.testing.assert_array_equal(array, network[name], err_msg=name)
    inside = JobDocument.from_json(str(load(first)["document"]).encode())
    assert (inside.id, inside.reported.recipe.refine) == (job_id, "none")
    assert inside.reported.metrics.final == inside.reported.metrics.network

    phase = await client.get(f"{where}/result/phase", params={"revision": 1})
    assert number(phase) == ("1", "false")
    np.testing.assert_array_equal(np.load(io.BytesIO(phase.content)), network["phase"])
    assert number(await client.get(f"{where}/result", params={"format": "cxi"})) == ("1", "false")
    now = services(client).store.path(job_id, FIRST).stat()
    assert (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    picture = await client.get(f"{where}/preview")
    assert Image.open(io.BytesIO(picture.content)).size == preview_size(network["object"])


async def test_a_tag_belongs_to_a_revision(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Revision 1 keeps its tag and its bits when it is the newest no more; who asks for the newest gets another tag."""
    job_id = (await submit(client, pattern, refine="5*ER")).json()["id"]
    whole, phase = f"/v1/jobs/{job_id}/result", f"/v1/jobs/{job_id}/result/phase"
    early = {where: await client.get(where) for where in (whole, phase)}
    for where, seen in early.items():
        again = await client.get(where, headers={"If-None-Match": seen.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    await work(client, job_id)
    for where, seen in early.items():
        tag = seen.headers["etag"]
        newest = await client.get(where, headers={"If-None-Match": tag})
        assert number(newest) == ("2", "true")
        assert newest.headers["etag"] != tag
        assert (await client.get(where, params={"revision": 2})).headers["etag"] == newest.headers["etag"]
        first = await client.get(where, params={"revision": 1})
        assert number(first) == ("1", "false")
        assert first.headers["etag"] == tag
        assert first.content == seen.content
        kept = await client.get(where, params={"revision": 1}, headers={"If-None-Match": tag})
        assert kept.status_code == 304


async def test_the_first_revision_can_be_asked_for_afterwards(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """Made after the job has ended, it is the one that it would have been before:
    nothing of the refinement is in it.
    """
    before, after = [(await submit(client, pattern, refine="5*ER", seed=4, reuse=False)).json()["id"] for _ in range(2)]
    early = load(await client.get(f"/v1/jobs/{before}/result"))
    await work(client, after)
    late = load(await client.get(f"/v1/jobs/{after}/result", params={"revision": 1}))
    for name in early.keys() - {"document"}:
        np.testing.assert_array_equal(early[name], late[name], err_msg=name)
    one, other = (json.loads(str(arrays["document"])) for arrays in (early, late))
    for differs in ("id", "created", "timings_ms"):
        one.pop(differs), other.pop(differs)
    assert one == other


async def test_every_finer_grid_is_a_revision(client: httpx.AsyncClient) -> None:
    """The network's image, the refined one of the same grid, that of the measurement: each with its own voxels, tag
    and document. The document of the job is that of the last.
    """
    curve = counts(3e6, shape=(80, 64, 72))
    job_id = (await submit(client, curve, refine="10*ER", start="network")).json()["id"]
    await work(client, job_id)
    where = f"/v1/jobs/{job_id}"
    document = (await client.get(where)).json()
    told = [(r["number"], r["kind"], r["final"]) for r in document["revisions"]]
    assert told == [(1, "network", False), (2, "refined", False), (3, "refined", True)]
    (level,) = document["grid"]["levels"]
    shapes, tags = [], set()
    for revision in document["revisions"]:
        whole = await client.get(revision["result"])
        arrays = load(whole)
        inside = JobDocument.from_json(str(arrays["document"]).encode()).reported
        assert arrays["object"].shape == arrays["modulus"].shape == inside.preprocess.shape
        shapes.append(arrays["object"].shape)
        tags.add(whole.headers["etag"])
        query = {"revision": revision["number"]}
        amplitude = np.load(io.BytesIO((await client.get(f"{where}/result/amplitude", params=query)).content))
        np.testing.assert_array_equal(amplitude, np.abs(arrays["object"]))
        why = "network's image" if revision["number"] == 1 else "the geometry is unknown"
        check(await client.get(f"{where}/result/strain", params=query), 404, why)
    assert shapes == [(64, 64, 64), (64, 64, 64), tuple(level["shape"])]
    assert len(tags) == 3


async def test_a_grid_is_a_word_or_a_number(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Anything else is refused before the data are read, and so is a finer image of the network alone."""
    for wrong in ("fine", "3", "99999"):
        check(await submit(client, pattern, grid=wrong), 422, "grid")
    check(await submit(client, pattern, grid="measured", refine="none"), 422, "refine=none")


async def test_revisions_that_do_not_exist(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """404 with the numbers there are; 422 for what is no number; 409 where there is no result at all."""
    job_id = (await submit(client, pattern, refine="5*ER")).json()["id"]
    for where in (f"/v1/jobs/{job_id}/result", f"/v1/jobs/{job_id}/result/phase"):
        check(await client.get(where, params={"revision": 2}), 404, "no revision 2", "it has 1")
        for wrong in (0, -1, "last"):
            check(await client.get(where, params={"revision": wrong}), 422, "revision")
    await work(client, job_id)
    check(await client.get(f"/v1/jobs/{job_id}/result", params={"revision": 3}), 404, "it has 1, 2")
    blind = (await submit(client, pattern, start="random")).json()["id"]  # no network, no first image
    check(await client.get(f"/v1/jobs/{blind}/result"), 409, "queued")
    check(await client.get(f"/v1/jobs/{blind}/result", params={"revision": 1}), 404, "it has none yet")
    check(await client.get(f"/v1/jobs/{blind}/preview"), 404, "no picture yet")


async def test_a_failed_job_has_its_first_image_still(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """By number; without one the reason is told, for it is not what was asked for."""
    job_id = (await submit(client, pattern, refine="5*ER")).json()["id"]
    kept = records(client)
    assert kept.claim(job_id, kept.message_of(job_id), "test") == 1
    kept.finish(job_id, 1, JobState.FAILED, reason="phase retrieval diverged at iteration 7")
    where = f"/v1/jobs/{job_id}/result"
    check(await client.get(where), 409, "diverged")
    assert number(await client.get(where, params={"revision": 1})) == ("1", "false")
    assert number(await client.get(f"{where}/amplitude", params={"revision": 1})) == ("1", "false")


async def test_a_reused_result_and_a_prediction_are_final(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """One revision each, and it says what it is."""
    first = (await submit(client, pattern, refine="5*ER")).json()["id"]
    await work(client, first)
    taken = (await submit(client, pattern, refine="5*ER")).json()
    assert [(r["number"], r["kind"], r["final"]) for r in taken["revisions"]] == [(1, "refined", True)]
    job = (await client.get(f"/v1/jobs/{await predicted(client, pattern)}")).json()
    assert [(r["number"], r["kind"], r["final"]) for r in job["revisions"]] == [(1, "network", True)]
    assert number(await client.get(job["revisions"][0]["result"])) == ("1", "true")


async def test_a_first_image_makes_room_for_itself(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """In a full store the oldest ended job goes for it, as for any other result."""
    old = await predicted(client, pattern)
    job_id = (await submit(client, pattern, refine="5*ER")).json()["id"]
    store = services(client).store
    store.max_bytes = store.total_bytes() + 10_000  # its document is a little longer
    assert number(await client.get(f"/v1/jobs/{job_id}/result")) == ("1", "false")
    assert store.total_bytes() <= store.max_bytes
    check(await client.get(f"/v1/jobs/{old}"), 404, "expired")


# ---- what earlier versions have stored


@pytest.fixture
def earlier(client: httpx.AsyncClient) -> str:
    """A job whose record an earlier version wrote, before there were revisions; its id."""
    stored = STORED.read_bytes()
    job_id = str(json.loads(stored)["id"])
    kept, store = records(client), services(client).store
    kept.create(job_id, stored, origin=Origin("admin"))
    assert kept.claim(job_id, job_id, "an older worker") == 1
    assert kept.finish(job_id, 1, JobState.SUCCEEDED, document=stored, result="result-1")
    with redis.Redis.from_url(kept._url) as inspector:
        inspector.hdel(f"inphase:job:{job_id}", "revisions", "reader", "asked", "slot")
    shape, arrays = (64, 64, 64), {}
    for array in ARRAYS:
        if array.served and array.name != "modes":
            arrays[array.name] = np.full(shape, 0.5, np.float32)
    arrays |= {"object": np.full(shape, 0.5, np.complex64), "support": np.ones(shape, bool)}
    arrays |= {"modes": np.ones((2, *shape), np.complex64), "document": np.array(stored.decode())}
    store.write(job_id, "result-1", arrays)
    return job_id


async def test_a_job_of_an_earlier_version_answers_everywhere(client: httpx.AsyncClient, earlier: str) -> None:
    """Document, list, every link, result and picture; its result is its only revision."""
    document = (await client.get(f"/v1/jobs/{earlier}")).json()
    (told,) = document["revisions"]
    assert (told["number"], told["kind"], told["final"]) == (1, "refined", True)
    assert number(await client.get(told["result"])) == ("1", "true")
    assert number(await client.get(document["links"]["result"])) == ("1", "true")
    assert {"amplitude", "strain", "average", "modes"} <= document["links"].keys()
    for name in document["links"].keys() - {"events"}:
        answer = await client.get(document["links"][name])
        assert answer.status_code == 200, (name, answer.text)
    (line,) = (await client.get("/v1/jobs", params={"trust": "high"})).json()["jobs"]
    assert (line["id"], line["model"], line["support_voxels"]) == (earlier, "inphase-bcdi@1", 10157)
    check(await client.get(f"/v1/jobs/{earlier}/result", params={"revision": 2}), 404, "it has 1")


async def test_a_queued_job_of_an_earlier_version_is_worked_on(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """It has no revision yet and no document beside its arrays; refined it has one."""
    job_id = (await submit(client, pattern, refine="5*ER")).json()["id"]
    store = services(client).store
    arrays = store.read(job_id, "input")
    del arrays["document"]
    store.write(job_id, "input", arrays)
    with redis.Redis.from_url(records(client)._url) as inspector:
        inspector.hdel(f"inphase:job:{job_id}", "revisions", "reader", "asked", "slot")
    check(await client.get(f"/v1/jobs/{job_id}/result"), 409, "queued")
    await work(client, job_id)
    document = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert [(r["number"], r["final"]) for r in document["revisions"]] == [(1, True)]
