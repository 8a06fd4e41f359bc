"""Live scans over HTTP, on a real Redis; the worker's part is done by hand here."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.formats import RawScan, npz
from inphase.formats.scan import Saturation
from inphase.geometry import Geometry
from inphase.live.batch import encode
from inphase.preprocess.corrections import Corrections
from service.jobs.state import JobState
from service.settings import Bounds, Settings
from tests.service.api.calls import check, load
from tests.service.api.conftest import npy
from tests.service.api.queued import by, client, keyed, read, records, services, work
from tests.service.conftest import AppContext

__all__ = ["client", "keyed"]  # fixtures

Frames = NDArray[np.uint32]
OCTETS = {"Content-Type": "application/octet-stream"}


async def opened(client: httpx.AsyncClient, pattern: Frames, **more: Any) -> str:
    """The id of a scan of the pattern's frames."""
    body = {"shape": list(pattern.shape[1:]), "dtype": "uint32", "frames": len(pattern), "refine": "2*ER", **more}
    answer = await client.post("/v1/scans", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == answer.json()["link"]
    return str(answer.json()["id"])


async def send(client: httpx.AsyncClient, scan: str, pattern: Frames, places: list[int]) -> httpx.Response:
    """A batch."""
    body = encode(places, [pattern[place % len(pattern)] for place in places])
    return await client.post(f"/v1/scans/{scan}/frames", content=body, headers=OCTETS)


async def document(client: httpx.AsyncClient, scan: str) -> dict[str, Any]:
    """The scan as it stands."""
    answer = await client.get(f"/v1/scans/{scan}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def look(client: httpx.AsyncClient, scan: str, number: int) -> dict[str, Any]:
    """A look by its number, refined as a worker would, once it has been asked for."""
    async with asyncio.timeout(30):
        while True:
            found = (await document(client, scan))["looks"]
            if found and found[0]["number"] >= number:
                break
            await asyncio.sleep(0.05)
    job = str(found[0]["job"])
    await read(client, job)
    if records(client).get(job).state is JobState.QUEUED:
        await work(client, job)
    newest: dict[str, Any] = (await document(client, scan))["looks"][0]
    return newest


async def ended(client: httpx.AsyncClient, scan: str) -> dict[str, Any]:
    """The scan when nothing follows."""
    async with asyncio.timeout(30):
        while True:
            found = await document(client, scan)
            if found["state"] in ("finished", "aborted"):
                return found
            await asyncio.sleep(0.05)


async def test_a_curve_is_imaged_while_it_is_measured(client: httpx.AsyncClient, pattern: Frames) -> None:
    """Looks follow the frames, which come shuffled, twice and with places that are none of the scan;
    the last image is that of the file sent whole, array by array.
    """
    scan = await opened(client, pattern, name="particle 3")
    first = await send(client, scan, pattern, [5, 3, 4, 3])
    assert first.json() == {"received": [5, 3, 4], "duplicate": [3], "out_of_range": [], "total": 3}
    half = [place for place in range(45) if place not in (3, 4, 5)]
    assert (await send(client, scan, pattern, half[::-1])).json()["total"] == 45
    one = await look(client, scan, 1)
    assert (one["state"], one["frames"], one["similarity"], one["final"]) == ("succeeded", 45, None, False)
    assert (await send(client, scan, pattern, [44, 64, 10**6])).json()["out_of_range"][0]["place"] == 64
    await send(client, scan, pattern, list(range(45, 55)))
    two = await look(client, scan, 2)
    assert two["frames"] == 55
    assert two["similarity"] > 0.9
    now = await document(client, scan)
    assert now["frames"]["out_of_range"] == {
        "count": 2, "reason": "place 1000000: the curve has 64 frames, and its places are 0 to 63",
    }  # fmt: skip
    assert (now["frames"]["received"], now["frames"]["duplicate"], now["frames"]["missing"]) == (55, 2, 0)
    assert now["advice"]["peak"] == "passed"
    assert abs(now["advice"]["peak_place"] - 32) <= 1
    await send(client, scan, pattern, list(range(55, 64)))
    answer = (await client.post(f"/v1/scans/{scan}/finish")).json()
    assert answer["state"] == "finishing"
    final = await look(client, scan, len(answer["looks"]))
    assert final["final"]
    done = await ended(client, scan)
    assert (done["state"], done["final"]) == ("finished", final["job"])
    assert [each["number"] for each in done["looks"]] == sorted((e["number"] for e in done["looks"]), reverse=True)
    whole = await client.post(
        "/v1/reconstructions", params={"wait": 0, "refine": "2*ER", "reuse": False}, content=npy(pattern),
        headers={"Content-Type": "application/x-npy"},
    )  # fmt: skip
    await read(client, whole.json()["id"])
    await work(client, whole.json()["id"])
    ours, theirs = [
        load(await client.get(f"/v1/jobs/{job}/result", params={"format": "npz"}))
        for job in (final["job"], whole.json()["id"])
    ]
    for name in ours.keys() - {"document"}:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    described = [(await client.get(f"/v1/jobs/{job}")).json() for job in (final["job"], whole.json()["id"])]
    assert described[0]["input"]["digest"] == described[1]["input"]["digest"]
    assert described[0]["look"]["scan"] == scan
    assert services(client).store.names(scan) == []  # the frames are not needed any more


async def test_a_curve_that_ends_early(client: httpx.AsyncClient, pattern: Frames) -> None:
    """Its image says how much of it is missing (tests/system/test_scans.py compares it with that of a masked file)."""
    scan = await opened(client, pattern)
    await send(client, scan, pattern, [place for place in range(50) if place not in (11, 20, 21)])
    await client.post(f"/v1/scans/{scan}/finish")
    final = await look(client, scan, 1)
    assert final["final"]
    assert (await ended(client, scan))["frames"]["missing_places"] == "11, 20 to 21"
    job = (await client.get(f"/v1/jobs/{final['job']}")).json()
    assert any("ended with 47 of 64 frames" in reason for reason in job["trust"]["reasons"])


async def test_what_a_scan_refuses(client: httpx.AsyncClient, pattern: Frames) -> None:
    """A frame of another content, of another length, that is no number; nothing of the batch is taken then."""
    scan = await opened(client, pattern)
    await send(client, scan, pattern, [1])
    other = encode([2, 1], [pattern[2], pattern[2]])
    check(
        await client.post(f"/v1/scans/{scan}/frames", content=other, headers=OCTETS), 409, "frame 1", "another content"
    )
    check(
        await client.post(f"/v1/scans/{scan}/frames", content=b"12", headers=OCTETS), 422, "no whole number of frames"
    )
    check(await client.post(f"/v1/scans/{scan}/frames", content=b"", headers=OCTETS), 422, "no whole number of frames")
    check(await client.post(f"/v1/scans/{scan}/frames", content=other), 415, "octet-stream")
    assert (await document(client, scan))["frames"]["received"] == 1
    moduli = await opened(client, pattern, dtype="float32", domain="modulus")
    broken = pattern.astype(np.float32)
    broken[7, 3, 4] = np.nan
    answer = await client.post(f"/v1/scans/{moduli}/frames", content=encode([7], [broken[7]]), headers=OCTETS)
    check(answer, 422, "frame 7", "no numbers", "(3, 4)")
    check(await client.post(f"/v1/scans/{'0' * 32}/finish"), 404, "no scan")
    check(await client.post(f"/v1/scans/{moduli}/finish"), 409, "no frame")
    assert (await client.delete(f"/v1/scans/{scan}", params={"reason": "beam lost"})).json()["reason"] == "beam lost"
    check(await send(client, scan, pattern, [3]), 409, "aborted")
    check(await client.post(f"/v1/scans/{scan}/finish"), 409, "aborted")
    for body, words in (
        ({"shape": [64, 64], "dtype": "complex64"}, "complex64"),
        ({"shape": [64, 64], "dtype": "uint16", "start": "random"}, "start=random"),
        ({"shape": [64, 64], "dtype": "uint16", "frames": 10**6}, "at most"),
        ({"shape": [64, 64], "dtype": "uint16", "q_centre": [1, 2, 3]}, "q_steps"),
        ({"shape": [64, 64], "dtype": "uint16", "q_steps": [[0, 0, 0]] * 3}, "q_steps"),
        ({"shape": [64, 64], "dtype": "uint16", "mask": "absent.npy"}, "data roots"),
        ({"shape": [4, 64], "dtype": "uint16"}, "greater than or equal to 8"),
    ):
        answer = await client.post("/v1/scans", json=body)
        assert 400 <= answer.status_code < 500, answer.text
        assert words in answer.text
    check(await client.post("/v1/scans", json={"shape": [40000, 40000], "dtype": "uint64", "frames": 50}), 413, "limit")


async def test_a_frame_as_a_file_tells_all_that_holds_for_the_curve(client: httpx.AsyncClient, pattern: Frames) -> None:
    """Geometry, mask, saturation and detector maps of the template hold for the finished curve."""
    steps = np.diag([1e6, 2e6, 3e6])
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 3, 4] = 1
    dark = np.zeros((64, 64), np.uint8)
    dark[9, 9] = 7
    template = RawScan(
        pattern[:1], Geometry(steps, np.array([1e9, 2e9, 3e9])), "", "", mask=mask,
        saturation=Saturation(1e6, "test"), corrections=Corrections(dark=dark),
    )  # fmt: skip
    answer = await client.post(
        "/v1/scans", params={"frames": 64, "refine": "2*ER"}, content=npz.encode(template),
        headers={"Content-Type": "application/x-npz"},
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    scan = answer.json()["id"]
    await send(client, scan, pattern, list(range(64)))
    await client.post(f"/v1/scans/{scan}/finish")
    final = await look(client, scan, 1)
    job = (await client.get(f"/v1/jobs/{final['job']}")).json()
    np.testing.assert_allclose(job["preprocess"]["geometry"]["q_steps"], steps)
    np.testing.assert_allclose(job["preprocess"]["geometry"]["q_centre"], [1e9, 2e9, 3e9])
    bad = next(step for step in job["preprocess"]["steps"] if step["name"] == "corrections")
    assert bad["numbers"]["bad_pixels"] == 1
    result = load(await client.get(f"/v1/jobs/{final['job']}/result", params={"format": "npz"}))
    assert result["mask"][:, 3, 4].all()
    assert result["mask"][:, 9, 9].all()


async def test_scans_belong_to_their_owners(keyed: httpx.AsyncClient, pattern: Frames) -> None:
    """Those of others do not exist, and who may only read adds nothing."""
    body = {"shape": [64, 64], "dtype": "uint32", "frames": 64}
    assert (await keyed.post("/v1/scans", json=body, headers=by("wall"))).status_code == 403
    scan = (await keyed.post("/v1/scans", json=body, headers=by("ada"))).json()["id"]
    assert (await keyed.get(f"/v1/scans/{scan}", headers=by("wall"))).status_code == 200
    batch = encode([0], [pattern[0]])
    for name, status in (("bob", 404), ("wall", 403)):
        headers = by(name) | OCTETS
        assert (await keyed.post(f"/v1/scans/{scan}/frames", content=batch, headers=headers)).status_code == status
        assert (await keyed.delete(f"/v1/scans/{scan}", headers=by(name))).status_code == status
    for call in ("", "/events"):
        assert (await keyed.get(f"/v1/scans/{scan}{call}", headers=by("bob"))).status_code == 404
    assert (await keyed.get("/v1/scans", headers=by("bob"))).json() == {"scans": [], "cursor": None}
    listed = (await keyed.get("/v1/scans", headers=by("ada"))).json()["scans"]
    assert [line["id"] for line in listed] == [scan]
    again = {"Idempotency-Key": "once"} | by("ada")
    made = [(await keyed.post("/v1/scans", json=body, headers=again)).json()["id"] for _ in range(2)]
    assert made[0] == made[1] != scan
    check(await keyed.post("/v1/scans", json={**body, "frames": 63}, headers=again), 422, "Idempotency-Key")


async def test_bounds_of_scans(serving: AppContext, settings: Settings, pattern: Frames) -> None:
    """Few may be open at a time, and one that gets no frame for too long is ended with the reason."""
    bounds = Bounds(open_scans=2, scan_idle_s=0.5, scan_frames=40)
    changes = {"queue": True, "workers": 0, "redis_url": None, "bounds": bounds}
    async with serving(settings.model_copy(update=changes)) as client:
        body = {"shape": [64, 64], "dtype": "uint32"}
        empty, some = [(await client.post("/v1/scans", json=body)).json()["id"] for _ in range(2)]
        check(await client.post("/v1/scans", json=body), 429, "2 live scans", "finish or abort")
        answer = await send(client, some, pattern, [39, 40])
        assert answer.json()["out_of_range"] == [
            {"place": 40, "reason": "place 40: the curve has an open end, and its places are 0 to 39"}
        ]
        aborted = await ended(client, empty)
        assert (aborted["state"], aborted["looks"]) == ("aborted", [])
        assert "no frame has come" in aborted["reason"]
        finished = await ended(client, some)
        assert finished["state"] == "finished"
        assert "finished with what is there" in finished["reason"]
        assert finished["looks"][0]["state"] == "failed"  # one frame is no curve


async def test_scans_need_a_queue(serving: AppContext, settings: Settings) -> None:
    """Without one there is nowhere to keep them."""
    async with serving(settings) as client:
        check(await client.get("/v1/scans"), 503, "without a queue")


@pytest.mark.parametrize("path", ["", "/events"])
async def test_a_scan_that_does_not_exist(client: httpx.AsyncClient, path: str) -> None:
    """It is a 404 with a type of its own."""
    answer = await client.get(f"/v1/scans/{'f' * 32}{path}")
    assert check(answer, 404, "no scan")["type"] == "urn:inphase:error:unknown-scan"
