"""The same again, whose jobs, and documents of other versions:
jobs over HTTP on a real Redis, the worker's part by hand.
"""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from service.jobs.state import JobState
from tests.service.api.calls import URL, check, load
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import by, client, keyed, predicted, read, records, services, submit, work

__all__ = ["client", "keyed"]  # fixtures


# ---- the same again


async def test_the_same_again_is_not_computed_again(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Same data, same options: the earlier result at once, said so, with a file of its own;
    `reuse=false` computes afresh.
    """
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


async def test_a_job_bears_the_name_that_it_was_given(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """In its document and in the list, also where an earlier result is taken: names are not what was asked."""
    first = (await submit(client, pattern, refine="5*ER", name="particle 3")).json()
    await work(client, first["id"])
    again = (await submit(client, pattern, refine="5*ER", name="particle 3, again")).json()
    nameless = (await submit(client, pattern, refine="5*ER")).json()
    assert (again["reused_from"], nameless["reused_from"]) == (first["id"], first["id"])
    wanted = {first["id"]: "particle 3", again["id"]: "particle 3, again", nameless["id"]: ""}
    assert {job["id"]: job["name"] for job in (await client.get("/v1/jobs")).json()["jobs"]} == wanted
    for job, name in wanted.items():
        assert (await client.get(f"/v1/jobs/{job}")).json()["name"] == name
    refused = await submit(client, pattern, refine="5*ER", name="two\nlines")
    check(refused, 422, "name")


async def test_a_lost_result_is_computed_again(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Where the earlier arrays are gone, the job is queued like any other."""
    first = (await submit(client, pattern, refine="5*ER")).json()["id"]
    await work(client, first)
    services(client).store.delete(first)
    answer = await submit(client, pattern, refine="5*ER")
    assert (answer.status_code, answer.json()["reused_from"]) == (202, None)


async def test_a_repeated_call_is_one_job(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Idempotency-Key: the same call again, even at the same moment, is the same job;
    another call with the key is refused.
    """
    headers = NPY | {"Idempotency-Key": '"scan-54"'}

    async def send(array: NDArray[np.uint32], **query: Any) -> httpx.Response:
        return await client.post(URL, params={"wait": 0, **query}, content=npy(array), headers=headers)

    answers = await asyncio.gather(*(send(pattern, refine="5*ER") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert services(client).store.jobs()[0].job_id == job_id
    assert len(services(client).store.jobs()) == 1
    await read(client, job_id)
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
    store.max_bytes = store.total_bytes() + pattern.nbytes + 2000  # what is sent lies beside its result for a moment
    third = await predicted(client, pattern)
    assert {job.job_id for job in store.jobs()} == {waiting, second, third}
    check(await client.get(f"/v1/jobs/{first}"), 404, "expired")


# ---- whose jobs


async def test_jobs_of_others_do_not_exist(keyed: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Bob gets the same 404 for ada's job as for none; her own second key reads it, and may not cancel it;
    an admin may.
    """
    mine = await keyed.post(URL, params={"wait": 0}, content=npy(pattern), headers=NPY | by("ada"))
    await read(keyed, mine.headers["location"][-32:])
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
    for name, taken in (("ada", False), ("bob", False), ("ada", True)):
        answer = await submit(keyed, pattern, refine="2*ER", headers=by(name))
        assert answer.status_code == (200 if taken else 202)
        if not taken:
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
    assert 0 < line["probability"] < 1
    check(await client.get("/v1/jobs", params={"since": "yesterday"}), 422, "since")


async def test_a_document_of_an_older_version(client: httpx.AsyncClient) -> None:
    """What version 0.1.0 wrote is read, with defaults for what it did not know."""
    stored = (Path(__file__).parents[1] / "data" / "job-document-of-the-first-version.json").read_bytes()
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
