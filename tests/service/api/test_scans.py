"""Live scans over HTTP, on a real Redis; the worker's part is done by hand here."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
import structlog
from numpy.typing import NDArray

from inphase.client.bodies import encode_frames as encode
from inphase.formats import RawScan, npz
from inphase.formats.scan import Saturation
from inphase.geometry import Geometry
from inphase.imaging import way
from inphase.live import looks
from inphase.live.replay import template_of
from inphase.preprocess.corrections import Corrections
from service.intake.submission import LiveFrames
from service.jobs.errors import QueueUnavailableError
from service.jobs.state import JobState
from service.settings import Bounds, Settings
from tests.service.api.calls import check, load
from tests.service.api.queued import by, client, keyed, read, records, services, work
from tests.service.conftest import AppContext

__all__ = ["client", "keyed"]  # fixtures

Frames = NDArray[np.uint32]
OCTETS = {"Content-Type": "application/octet-stream"}
NPZ = {"Content-Type": "application/x-npz"}


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


async def look(client: httpx.AsyncClient, scan: str, number: int, *, final: bool = False) -> dict[str, Any]:
    """A look by its number, or a later one, refined as a worker would, once it has been asked for."""
    async with asyncio.timeout(30):
        while True:
            found = (await document(client, scan))["looks"]
            if found and found[0]["number"] >= number and found[0]["final"] >= final:
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


def measured(pattern: Frames) -> RawScan:
    """The curve with all that may be known of it."""
    mask, dark = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    mask[3, 4], dark[9, 9] = 1, 7
    geometry = Geometry(np.diag([1e6, 2e6, 3e6]), np.array([1e9, 2e9, 3e9]))
    return RawScan(
        pattern, geometry, "", "", mask=np.broadcast_to(mask, pattern.shape), saturation=Saturation(1e6, "test"),
        corrections=Corrections(dark=dark),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"dtype": "float32"}, "the batch is (64, 64) of float32, the frames of this curve are (64, 64) of uint32"),
        ({"dtype": "int32", "shape": "64,64"}, "of int32"),
        ({"shape": "32,128"}, "the batch is (32, 128)"),
        ({"dtype": "complex64"}, "is not known"),
        ({"shape": "64"}, "shape"),
    ],
)
async def test_bytes_that_are_other_numbers_are_refused(
    client: httpx.AsyncClient, pattern: Frames, query: dict[str, str], says: str
) -> None:
    """They are as many: nothing but what the sender says of them tells."""
    scan = await opened(client, pattern)
    body = encode([0], [pattern[0]])
    answer = await client.post(f"/v1/scans/{scan}/frames", params=query, content=body, headers=OCTETS)
    assert answer.status_code == 422
    assert says in answer.text
    same = {"dtype": "uint32", "shape": "64,64"}
    answer = await client.post(f"/v1/scans/{scan}/frames", params=same, content=body, headers=OCTETS)
    assert answer.json()["received"] == [0]


async def test_a_curve_is_imaged_while_it_is_measured(client: httpx.AsyncClient, pattern: Frames) -> None:
    """Looks follow the frames, which come shuffled, twice and with places that are none of the scan;
    the last image is that of the file sent whole, array by array, with geometry, mask and detector maps.
    """
    whole = measured(pattern)
    answer = await client.post(
        "/v1/scans", params={"frames": 64, "refine": "2*ER", "name": "particle 3"},
        content=npz.encode(template_of(whole)), headers=NPZ,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    scan = str(answer.json()["id"])
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
    sent = await client.post(
        "/v1/reconstructions", params={"wait": 0, "refine": "2*ER", "reuse": False}, content=npz.encode(whole),
        headers=NPZ,
    )  # fmt: skip
    same = str(sent.json()["id"])
    await read(client, same)
    await work(client, same)
    jobs = [(await client.get(f"/v1/jobs/{job}")).json() for job in (final["job"], same)]
    for part in ("digest", "shape", "dtype"):
        assert jobs[0]["input"][part] == jobs[1]["input"][part]
    for part in ("preprocess", "metrics", "trust", "grid"):
        assert jobs[0][part] == jobs[1][part]
    assert jobs[0]["look"]["scan"] == scan
    ours, theirs = [
        load(await client.get(f"/v1/jobs/{job}/result", params={"format": "npz"})) for job in (final["job"], same)
    ]
    for name in ours.keys() - {"document"}:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert ours["mask"][:, 3, 4].all()
    assert ours["mask"][:, 9, 9].all()
    assert services(client).store.names(scan) == []  # the frames are not needed any more


class Gate:
    """Holds up whoever reads the frames of a look, until it is opened."""

    def __init__(self, client: httpx.AsyncClient, patch: pytest.MonkeyPatch, held: int) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        live = services(client).live
        assert live is not None
        read_frames = live.measurement

        def held_up(source: LiveFrames, share: Any) -> Any:
            found = read_frames(source, share)
            if source.look == held and not source.final:
                self.reached.set()
                assert self.open.wait(60)
            return found

        patch.setattr(live, "measurement", held_up)


async def until(condition: Callable[[], Any]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # threads set no event of this loop
            await asyncio.sleep(0.02)


async def test_the_first_look_of_a_fast_curve_outlives_its_end(
    client: httpx.AsyncClient, pattern: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is being made when the scan is finished: the last look is read beside it, and both are there."""
    gate = Gate(client, monkeypatch, 1)
    scan = await opened(client, pattern)
    await send(client, scan, pattern, list(range(45)))
    await until(gate.reached.is_set)
    await send(client, scan, pattern, list(range(45, 64)))
    await client.post(f"/v1/scans/{scan}/finish")
    final = await look(client, scan, 2, final=True)
    assert (final["state"], final["frames"]) == ("succeeded", 64)
    gate.open.set()
    first = (await document(client, scan))["looks"][1]["job"]
    await read(client, first)
    one = (await ended(client, scan))["looks"][1]
    assert (one["job"], one["state"], one["frames"]) == (first, "succeeded", 45)


async def test_a_glance_is_followed_at_once(
    client: httpx.AsyncClient, pattern: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the default network sees of the same frames; the one after that needs new ones."""
    monkeypatch.setattr(looks, "GLANCE", "blind")
    scan = await opened(client, pattern)
    await send(client, scan, pattern, list(range(45)))
    second = await look(client, scan, 2)
    first = (await document(client, scan))["looks"][1]
    assert (first["state"], first["frames"], second["state"], second["frames"]) == ("succeeded", 45, "succeeded", 45)
    models = [(await client.get(f"/v1/jobs/{each['job']}")).json()["model"]["name"] for each in (first, second)]
    assert models == ["blind", "inphase-bcdi"]
    await asyncio.sleep(1)
    assert len((await document(client, scan))["looks"]) == 2


async def test_a_later_look_gives_way_before_a_network_is_asked(
    client: httpx.AsyncClient, pattern: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look takes its place, and no core is lost for what nobody sees."""
    asked, ask = [], way.predict

    def counted(*given: Any) -> Any:
        asked.append(given)
        return ask(*given)

    monkeypatch.setattr(way, "predict", counted)
    gate = Gate(client, monkeypatch, 2)
    scan = await opened(client, pattern)
    await send(client, scan, pattern, list(range(45)))
    assert (await look(client, scan, 1))["state"] == "succeeded"
    await send(client, scan, pattern, list(range(45, 60)))
    await until(gate.reached.is_set)
    await client.post(f"/v1/scans/{scan}/finish")
    assert (await look(client, scan, 3, final=True))["state"] == "succeeded"
    gate.open.set()
    second = (await document(client, scan))["looks"][1]["job"]
    await read(client, second)
    found = (await document(client, scan))["looks"][1]
    assert (found["state"], "its last look takes the place" in found["reason"]) == ("cancelled", True)
    assert len(asked) == 2


async def test_a_look_waits_for_nobody_elses_data(
    client: httpx.AsyncClient, pattern: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is urgent, and has a line of its own beside a file that takes long to be read."""
    reader = services(client).reader
    assert reader is not None
    reached, leave, data = threading.Event(), threading.Event(), reader._data

    def long(*given: Any) -> Any:
        reached.set()
        assert leave.wait(60)
        return data(*given)

    monkeypatch.setattr(reader, "_data", long)
    sent = await client.post(
        "/v1/reconstructions", params={"wait": 0, "refine": "2*ER"}, content=npz.encode(measured(pattern)), headers=NPZ
    )
    await until(reached.is_set)
    scan = await opened(client, pattern)
    await send(client, scan, pattern, list(range(45)))
    assert (await look(client, scan, 1))["state"] == "succeeded"
    assert records(client).get(sent.json()["id"]).state is JobState.READING
    leave.set()
    await read(client, sent.json()["id"])


async def test_no_look_begins_that_the_end_would_overtake(client: httpx.AsyncClient, pattern: Frames) -> None:
    """Frames come so fast that the scan is over within a second: the next look is asked for when they stay away."""
    scan = await opened(client, pattern)
    await send(client, scan, pattern, list(range(45)))
    assert (await look(client, scan, 1))["state"] == "succeeded"
    await send(client, scan, pattern, list(range(45, 60)))
    live = services(client).live
    assert live is not None
    touched = live.records.get(scan).touched
    second = await look(client, scan, 2)
    assert records(client).get(second["job"]).created >= touched + 1.0


async def test_what_goes_wrong_with_one_scan_delays_no_other(
    client: httpx.AsyncClient, pattern: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is; it is logged with the scan's id, and when it has passed the scan goes on. Only without Redis
    nothing is done for any.
    """
    live = services(client).live
    assert live is not None
    attend, wrong = live.attend, set[str]()

    def attended(scan_id: str) -> None:
        if scan_id in wrong:
            raise ZeroDivisionError("a fault of one scan")
        attend(scan_id)

    monkeypatch.setattr(live, "attend", attended)
    scans = [await opened(client, pattern) for _ in range(3)]
    wrong.update(set(scans) - {live.records.open()[-1]})  # those that are attended to first
    with structlog.testing.capture_logs() as said:
        for scan in scans:
            await send(client, scan, pattern, list(range(45)))
        (well,) = set(scans) - wrong
        assert (await look(client, well, 1))["state"] == "succeeded"
        told = [(line["scan"], line["log_level"], line["exc_info"]) for line in said if "scan" in line]
    assert {line for line in told if line[0] in wrong} == {(scan, "error", True) for scan in wrong}
    assert all([(await document(client, scan))["looks"] == [] for scan in wrong])
    late = wrong.pop()
    assert (await look(client, late, 1))["state"] == "succeeded"

    def away(scan_id: str) -> None:
        raise QueueUnavailableError("Redis is away")

    monkeypatch.setattr(live, "attend", away)
    with pytest.raises(QueueUnavailableError):
        live.attend_all()


async def test_followers_hear_of_frames_five_times_a_second(client: httpx.AsyncClient, pattern: Frames) -> None:
    """A stream holds a thousand events, and looks among them. What is told at once, however short the scan: the first
    frame, the last ones when it is finished, and what is said of them when the last image is there.
    """
    scan = await opened(client, pattern)
    begun = time.monotonic()
    for place in range(20):
        await send(client, scan, pattern, [place])
    await client.post(f"/v1/scans/{scan}/finish")
    await look(client, scan, 1, final=True)
    await ended(client, scan)
    passed = time.monotonic() - begun
    text = (await client.get(f"/v1/scans/{scan}/events")).text
    told = [json.loads(line[6:])["received"] for line in text.splitlines() if line.startswith('data: {"received"')]
    assert told[-1] == 20
    assert len(told) <= passed / 0.2 + 3


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
    for path in ("", "/events"):
        problem = check(await client.get(f"/v1/scans/{'f' * 32}{path}"), 404, "no scan")
        assert problem["type"] == "urn:inphase:error:unknown-scan"
    check(await client.post(f"/v1/scans/{'f' * 32}/finish"), 404, "no scan")
    check(await client.post(f"/v1/scans/{moduli}/finish"), 409, "no frame")
    assert (await client.delete(f"/v1/scans/{scan}", params={"reason": "beam lost"})).json()["reason"] == "beam lost"
    check(await send(client, scan, pattern, [3]), 409, "aborted")
    check(await client.post(f"/v1/scans/{scan}/finish"), 409, "aborted")
    for body, words in (
        ({"shape": [64, 64], "dtype": "complex64"}, "complex64"),
        ({"shape": [64, 64], "dtype": "uint16", "start": "random"}, "start=random"),
        ({"shape": [64, 64], "dtype": "uint16", "q_centre": [1, 2, 3]}, "q_steps"),
        ({"shape": [64, 64], "dtype": "uint16", "q_steps": [[0, 0, 0]] * 3}, "q_steps"),
        ({"shape": [64, 64], "dtype": "uint16", "mask": "absent.npy"}, "data roots"),
        ({"shape": [4, 64], "dtype": "uint16"}, "greater than or equal to 8"),
    ):
        answer = await client.post("/v1/scans", json=body)
        assert 400 <= answer.status_code < 500, answer.text
        assert words in answer.text
    body = {"shape": [64, 64], "dtype": "uint16"}
    check(await client.post("/v1/scans", json=body, params={"dataset": "a"}), 422, "dataset")
    check(await client.post("/v1/scans", json=body, params={"refine": "5*NOTHING"}), 422, "NOTHING")
    check(await client.post("/v1/scans", json={"shape": [40000, 40000], "dtype": "uint64", "frames": 50}), 413, "limit")


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


async def test_the_memory_of_a_batch_is_held_until_it_is_kept(
    client: httpx.AsyncClient, pattern: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only while it comes: four times its frames, as they are copied on the way to the disk; then nothing."""
    scan = await opened(client, pattern)
    live, budget = services(client).live, services(client).budget
    assert live is not None
    held, add = [], live.archive.add

    def seen(*batch: Any) -> Any:
        held.append(budget.used)
        return add(*batch)

    monkeypatch.setattr(live.archive, "add", seen)
    assert (await send(client, scan, pattern, [0, 1])).status_code == 200
    assert held[0] >= 4 * 2 * pattern[0].nbytes
    assert budget.used == 0


def silent(client: httpx.AsyncClient, scan: str) -> None:
    """As if the last frame had come long ago."""
    live = services(client).live
    assert live is not None
    live.records._client.hset(f"inphase:scan:{scan}", "touched", 1.0)


async def test_bounds_of_scans(serving: AppContext, settings: Settings, pattern: Frames) -> None:
    """Few may be open at a time, and one that gets no frame for too long is ended with the reason: without frames it is
    aborted, with some of them its image says how much is missing.
    """
    bounds = Bounds(open_scans=2, scan_frames=64)
    changes = {"queue": True, "workers": 0, "redis_url": None, "bounds": bounds}
    async with serving(settings.model_copy(update=changes)) as client:
        empty, some = await opened(client, pattern), await opened(client, pattern)
        body = {"shape": [64, 64], "dtype": "uint32"}
        check(await client.post("/v1/scans", json=body), 429, "2 live scans", "finish or abort")
        check(await client.post("/v1/scans", json={**body, "frames": 65}), 422, "at most 64 frames")
        await send(client, some, pattern, [place for place in range(50) if place not in (11, 20, 21)])
        silent(client, empty)
        aborted = await ended(client, empty)
        assert (aborted["state"], aborted["looks"]) == ("aborted", [])
        assert "no frame has come" in aborted["reason"]
        open_end = str((await client.post("/v1/scans", json=body)).json()["id"])
        answer = await send(client, open_end, pattern, [63, 64])
        assert answer.json()["out_of_range"] == [
            {"place": 64, "reason": "place 64: the curve has an open end, and its places are 0 to 63"}
        ]
        silent(client, some)
        await look(client, some, 1, final=True)
        finished = await ended(client, some)
        final = finished["looks"][0]
        assert finished["state"] == "finished"
        assert "finished with what is there" in finished["reason"]
        assert finished["frames"]["missing_places"] == "11, 20 to 21"
        job = (await client.get(f"/v1/jobs/{final['job']}")).json()
        assert any("ended with 47 of 64 frames" in reason for reason in job["trust"]["reasons"])


async def test_scans_need_a_queue(serving: AppContext, settings: Settings) -> None:
    """Without one there is nowhere to keep them."""
    async with serving(settings) as client:
        check(await client.get("/v1/scans"), 503, "without a queue")
