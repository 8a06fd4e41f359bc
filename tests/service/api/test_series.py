"""Series over HTTP, on a real Redis; the worker's part is done by hand here."""

import asyncio
import csv
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from service.jobs.entry import SeriesScan
from service.settings import Bounds, Settings
from tests.service.api.calls import check, load
from tests.service.api.queued import by, client, keyed, records, services, work
from tests.service.conftest import AppContext

__all__ = ["client", "keyed"]  # fixtures


@pytest.fixture
def scans(data_root: Path, pattern: NDArray[np.uint32]) -> Path:
    """A folder of three scans and of what is none."""
    folder = data_root / "heating"
    folder.mkdir()
    for number in (2, 9, 10):
        moved = np.roll(pattern, number, axis=1)
        np.save(folder / f"scan_{number}.npy", moved)
    (folder / "notes.txt").write_text("cold in here")
    (folder / ".hidden.npy").write_text("")
    return folder


async def submit(
    client: httpx.AsyncClient, *paths: Any, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    """A series, of predictions unless asked otherwise."""
    return await client.post("/v1/series", json={"scans": list(paths), "refine": "none", **more}, headers=headers)


async def ended(client: httpx.AsyncClient, answer: httpx.Response, left: int = 0) -> dict[str, Any]:
    """The series when all but so many of its scans are over."""
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(30):
        while True:
            document: dict[str, Any] = (await client.get(answer.headers["location"])).json()
            states = document["states"]
            if states["queued"] + states["running"] <= left and states["accepted"] + states["reading"] == 0:
                return document
            await asyncio.sleep(0.05)


def names(document: dict[str, Any]) -> list[str]:
    """File names in order."""
    return [Path(scan["source"]).name for scan in document["scans"]]


async def test_a_folder_becomes_a_series(client: httpx.AsyncClient, scans: Path) -> None:
    """One job a scan, in the order of their numbers, all in the frame of the first;
    JSON, table and page tell the same.
    """
    document = await ended(client, await submit(client, "heating", name="slow <heating>"))
    assert names(document) == ["scan_2.npy", "scan_9.npy", "scan_10.npy"]
    assert document["done"]
    assert document["states"]["succeeded"] == document["total"] == 3
    first, second, third = document["scans"]
    assert first["frame"]
    assert document["frame"] == first["job"]
    for scan in (second, third):
        assert scan["alignment"]["reference"] == first["job"]
        assert scan["alignment"]["score"] > 0.95
        assert not scan["alignment"]["undecided"]
        assert scan["alignment"]["margin"] == scan["alignment"]["score"] - scan["alignment"]["score_other"]
        assert scan["trust"] == "medium"
    job = (await client.get(second["links"]["self"])).json()
    assert job["series"]["id"] == document["id"]
    assert job["priority"] == "low"
    listed = (await client.get("/v1/jobs", params={"series": document["id"]})).json()["jobs"]
    assert [line["id"] for line in listed] == [scan["job"] for scan in reversed(document["scans"])]
    table = await client.get(document["links"]["csv"])
    assert table.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(table.text)))
    assert [line["job"] for line in lines] == [scan["job"] for scan in document["scans"]]
    assert [float(line["chi2"]) for line in lines] == [scan["chi2"] for scan in document["scans"]]
    assert lines[0]["score"] == ""
    page = (await client.get(document["links"]["page"])).text
    assert page.count("data:image/png;base64,") == 3
    assert "slow &lt;heating&gt;" in page
    assert not re.search(r"(src|href)=.http", page)
    assert [line["id"] for line in (await client.get("/v1/series")).json()["series"]] == [document["id"]]


async def test_refined_scans_share_a_frame(client: httpx.AsyncClient, scans: Path) -> None:
    """Workers on any host bring their result into the frame of the one that ended first, here the last scan."""
    document = await ended(client, await submit(client, "heating/*.npy", refine="5*ER"), left=3)
    jobs = [scan["job"] for scan in document["scans"]]
    for job in reversed(jobs):
        await work(client, job)
    document = (await client.get(f"/v1/series/{document['id']}")).json()
    assert document["frame"] == jobs[2]
    objects = [load(await client.get(scan["links"]["result"]))["object"] for scan in document["scans"]]
    for obj in objects[:2]:
        overlap = np.vdot(objects[2], obj)
        assert abs(np.angle(overlap)) < 0.01
        assert overlap.real > 0.99 * np.linalg.norm(obj) * np.linalg.norm(objects[2])


async def test_scans_that_cannot_be_read(client: httpx.AsyncClient, scans: Path) -> None:
    """They say why, keep nobody else from being reconstructed, and leave nothing in the store."""
    (scans / "scan_3.npy").write_bytes(b"no npy at all")
    np.save(scans / "scan_4.npy", np.zeros((4, 4)))
    document = await ended(client, await submit(client, "heating"))
    assert (document["states"]["succeeded"], document["states"]["failed"], document["done"]) == (3, 2, True)
    failed = [scan for scan in document["scans"] if scan["state"] == "failed"]
    assert [Path(scan["source"]).name for scan in failed] == ["scan_3.npy", "scan_4.npy"]
    assert all(scan["reason"] for scan in failed)
    told = [(await client.get(scan["links"]["self"])).json() for scan in failed]
    assert [(job["state"], job["reason"]) for job in told] == [("failed", scan["reason"]) for scan in failed]
    stored = {job.job_id for job in services(client).store.jobs()}
    assert stored == {scan["job"] for scan in document["scans"] if scan["state"] == "succeeded"} | {document["id"]}


async def test_a_scan_that_ends_the_service_is_given_up(client: httpx.AsyncClient, scans: Path) -> None:
    """Three services that died while they read it are enough; the other scans are reconstructed."""
    kept, reader = records(client), services(client).reader
    assert reader is not None
    take = reader.take

    def dies(job_id: str) -> str | None:
        token = take(job_id)
        if token is None or "scan_9" not in kept.get(job_id).asked:
            return token
        with redis.Redis.from_url(reader._records._url) as client:
            client.zadd("inphase:readers", {token: 0})  # it has not spoken for long
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "take", dies)
        document = await ended(client, await submit(client, "heating"))
    assert [scan["state"] for scan in document["scans"]] == ["succeeded", "failed", "succeeded"]
    assert "ended the service 3 times" in document["scans"][1]["reason"]


async def test_cancelling(client: httpx.AsyncClient, scans: Path) -> None:
    """Waiting and unread scans are cancelled at once; twice is the same; an ended series has nothing to cancel."""
    document = await ended(client, await submit(client, "heating", refine="5*ER"), left=3)
    where = f"/v1/series/{document['id']}"
    for _ in range(2):
        answer = await client.delete(where)
        assert (answer.status_code, answer.json()["states"]["cancelled"]) == (200, 3)
    assert records(client).unfinished() == []
    done = await ended(client, await submit(client, "heating"))
    check(await client.delete(f"/v1/series/{done['id']}"), 409, "ended already")


async def test_a_running_scan_is_told(client: httpx.AsyncClient, scans: Path) -> None:
    """202 while a worker unwinds."""
    document = await ended(client, await submit(client, "heating", refine="5*ER"), left=3)
    job = document["scans"][0]["job"]
    records(client).claim(job, job, "test")
    answer = await client.delete(f"/v1/series/{document['id']}")
    assert (answer.status_code, answer.json()["states"]["running"], answer.json()["done"]) == (202, 1, False)
    assert records(client).get(job).cancel_requested


async def test_a_series_goes_on_with_the_next_service(
    serving: AppContext, client: httpx.AsyncClient, settings: Settings, scans: Path
) -> None:
    """Accepted by a service that died before it read a scan, finished by another one on the same Redis and store."""
    feeding = services(client)
    assert feeding._redis is not None
    for task in feeding._background:
        task.cancel()
    answer = await submit(client, "heating")
    assert answer.json()["states"]["accepted"] == 3
    changes = {"queue": True, "workers": 0, "redis_url": feeding._redis.url}
    async with serving(settings.model_copy(update=changes)) as other:
        assert (await ended(other, answer))["states"]["succeeded"] == 3


async def test_scans_are_read_as_asked(client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]) -> None:
    """The reading is shared by those that are named by their path; a scan that is described has its own."""
    np.savez(data_root / "both.npz", one=pattern, other=np.roll(pattern, 5, axis=0))
    own = {"path": "both.npz", "dataset": "other"}
    document = await ended(client, await submit(client, "both.npz", own, reading={"dataset": "one"}))
    assert document["states"]["succeeded"] == 2, document
    jobs = [(await client.get(scan["links"]["self"])).json() for scan in document["scans"]]
    centres = [
        step["numbers"]["centre"][0]
        for job in jobs
        for step in job["preprocess"]["steps"]
        if step["name"] == "centring"
    ]
    assert centres == [32, 37]
    check(await submit(client, "both.npz", reading={"dataset": "one", "path": "x"}), 422, "path")


async def test_what_is_refused(client: httpx.AsyncClient, scans: Path, data_root: Path, tmp_path: Path) -> None:
    """Before anything is accepted: nothing found, outside the roots, too many, unusable options."""
    (tmp_path / "outside.npy").write_bytes(b"")
    (scans / "link.npy").symlink_to(tmp_path / "outside.npy")
    check(await submit(client, "cooling/*.npy"), 404, "finds no scan")
    check(await submit(client, "cooling"), 404, "cooling")
    check(await submit(client, "../*.npy"), 403)
    check(await submit(client, f"{tmp_path}/*.npy"), 404)
    check(await submit(client, "heating/l*.npy"), 403, "outside")
    (scans / "link.npy").unlink()
    check(await submit(client), 422, "scans")
    check(await submit(client, "heating", refine="5*EX"), 422, "EX")
    check(await submit(client, "heating", model="nonesuch"), 404, "nonesuch")
    check(await submit(client, "heating", colour="red"), 422, "colour")
    services(client).settings = services(client).settings.model_copy(update={"bounds": Bounds(series_scans=2)})
    check(await submit(client, "heating"), 422, "at most 2")
    check(await client.get(f"/v1/series/{'0' * 32}"), 404, "no series")
    assert (await client.get("/v1/series")).json()["series"] == []


async def test_series_have_owners_and_are_repeated_safely(keyed: httpx.AsyncClient, scans: Path) -> None:
    """Bob does not see ada's series; her repeated call is one series."""
    headers = by("ada") | {"Idempotency-Key": "night-1"}
    answers = [await submit(keyed, "heating", headers=headers) for _ in range(2)]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    check(await submit(keyed, "heating", seed=1, headers=headers), 422, "Idempotency-Key")
    where = answers[0].headers["location"]
    check(await keyed.get(where, headers=by("bob")), 404, "no series")
    check(await keyed.delete(where, headers=by("bob")), 404, "no series")
    check(await submit(keyed, "heating", headers=by("wall")), 403, "submit")
    assert (await keyed.get("/v1/series", headers=by("bob"))).json()["series"] == []
    document = await ended(keyed, answers[0])
    assert {job.owner for job in records(keyed).page().records} == {"ada"}
    assert document["owner"] == "ada"


async def test_a_full_store_delays_a_series(
    client: httpx.AsyncClient, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often there was no room for a scan, it is handed out when there is: waiting is no failure."""
    for pause in ("_LOOK_S", "_STORE_REST_S"):
        monkeypatch.setattr(f"service.intake.reader.{pause}", 0.01)
    store, reader = services(client).store, services(client).reader
    assert reader is not None
    taken: Counter[str] = Counter()
    take = reader.take

    def counted(job_id: str) -> str | None:
        taken[job_id] += 1
        return take(job_id)

    most, store.max_bytes = store.max_bytes, 2**30
    with monkeypatch.context() as patch:
        patch.setattr(store, "total_bytes", lambda: 2**30)
        patch.setattr(reader, "take", counted)
        answer = await submit(client, "heating")
        async with asyncio.timeout(20):
            while max(taken.values(), default=0) < 5:  # noqa: ASYNC110  # a scan that ends the service has three
                await asyncio.sleep(0.02)
        document = (await client.get(answer.headers["location"])).json()
        assert document["states"]["failed"] == document["states"]["succeeded"] == 0, document["scans"]
    store.max_bytes = most
    async with asyncio.timeout(20):
        while not document["done"]:
            await asyncio.sleep(0.05)
            document = (await client.get(answer.headers["location"])).json()
    assert document["states"]["succeeded"] == 3


async def test_an_expired_job_of_a_series(client: httpx.AsyncClient, scans: Path) -> None:
    """The page outlives single jobs and says so."""
    document = await ended(client, await submit(client, "heating"))
    gone = document["scans"][1]["job"]
    services(client).store.delete(gone)
    records(client).remove(gone)
    now = (await client.get(f"/v1/series/{document['id']}")).json()
    assert "expired" in now["scans"][1]["reason"]
    assert (await client.get(f"/v1/series/{document['id']}", params={"format": "html"})).status_code == 200
    assert records(client).create("a" * 32, b"{}", scan=SeriesScan(document["id"], 7)).job_id == "a" * 32
