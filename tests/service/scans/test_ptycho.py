"""Live ptychographic scans over HTTP, on a real Redis; the worker's part is done by hand here."""

import asyncio
import io
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase import ptycho
from inphase.client.bodies import encode_frames, of_positions
from inphase.formats import RawScan, npz
from inphase.formats.scan import Saturation
from inphase.geometry import wavelength_m
from inphase.live import growth
from inphase.models.session import Session
from inphase.preprocess.corrections import Corrections
from inphase.ptycho import prediction
from service.jobs.errors import QueueUnavailableError
from service.jobs.state import JobState
from service.settings import Settings
from tests.inphase.ptycho.scenes import small
from tests.service.api.calls import check, load
from tests.service.api.queued import client, read, records, services, work
from tests.service.conftest import AppContext
from tests.toy import write_scan_model

__all__ = ["client"]  # a fixture

OCTETS = {"Content-Type": "application/octet-stream"}
REFINE = "8*RPIE"
SCENE = small()
COUNTS = SCENE.counts.astype(np.float32)
PLACES = list(range(len(COUNTS)))
NEAR = {"energy_kev": 9.0, "distance_m": 0.5, "detector_pixel_m": 1e-6, "focus_m": "inf"}  # a parallel beam
ASKED = ptycho.Options(REFINE, turn=False)


async def opened(client: httpx.AsyncClient, *, guess: bool = True, **more: Any) -> str:
    """The id of a scan whose frames are those of the scene, with the probe that made them."""
    body = {"kind": "ptycho", "shape": [32, 32], "dtype": "float32", "refine": REFINE, "turn": False, **more}
    answer = await client.post("/v1/scans", json=body)
    assert answer.status_code == 201, answer.text
    scan = str(answer.json()["id"])
    if guess:
        sent = SCENE.probe.astype("<c8").tobytes()
        assert (await client.put(f"/v1/scans/{scan}/probe", content=sent, headers=OCTETS)).status_code == 204
    return scan


async def send(client: httpx.AsyncClient, scan: str, places: list[int], counts: NDArray[Any] = COUNTS) -> Any:
    """A batch of frames; what became of it."""
    body = encode_frames(places, [counts[place % len(counts)] for place in places])
    answer = await client.post(f"/v1/scans/{scan}/frames", content=body, headers=OCTETS)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def place(client: httpx.AsyncClient, scan: str, places: list[int], positions: NDArray[Any] | None = None) -> Any:
    """The same with positions."""
    found = SCENE.positions[[place % len(COUNTS) for place in places]] if positions is None else positions
    body = b"".join(of_positions(places, found).chunks())
    answer = await client.post(f"/v1/scans/{scan}/positions", content=body, headers=OCTETS)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def document(client: httpx.AsyncClient, scan: str) -> dict[str, Any]:
    """The scan as it stands."""
    found: dict[str, Any] = (await client.get(f"/v1/scans/{scan}")).json()
    return found


async def look(client: httpx.AsyncClient, scan: str, number: int) -> dict[str, Any]:
    """A look by its number, made as a worker would, once it has been asked for."""
    async with asyncio.timeout(60):
        while not ((looks := (await document(client, scan))["looks"]) and looks[0]["number"] >= number):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    job = str(looks[0]["job"])
    await read(client, job)
    if records(client).get(job).state is JobState.QUEUED:
        await work(client, job)
    newest: dict[str, Any] = (await document(client, scan))["looks"][0]
    return newest


async def last(client: httpx.AsyncClient, scan: str) -> dict[str, NDArray[Any]]:
    """The arrays of the finished scan."""
    answer = await client.post(f"/v1/scans/{scan}/finish")
    assert answer.status_code == 200, answer.text
    final = await look(client, scan, len(answer.json()["looks"]))
    assert final["final"], final
    async with asyncio.timeout(60):
        while (await document(client, scan))["state"] != "finished":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return load(await client.get(f"/v1/jobs/{final['job']}/result"))


def library(
    places: list[int], counts: NDArray[Any] = COUNTS, optics: ptycho.NearField | None = None
) -> ptycho.Reconstruction:
    """What the library makes of these frames."""
    measured = ptycho.from_arrays(counts[places], SCENE.positions[places], probe=SCENE.probe, ids=places, optics=optics)
    return ptycho.reconstruct(measured, ASKED)


def check_same(found: dict[str, NDArray[Any]], wanted: ptycho.Reconstruction) -> None:
    """To the last bit: the same frames in the same order, on the same machine."""
    for name in ("object", "probe", "coverage", "positions_px", "origin_px", "ids"):
        np.testing.assert_array_equal(found[name], getattr(wanted, name), err_msg=name)


async def test_an_object_grows_while_it_is_scanned(client: httpx.AsyncClient) -> None:
    """Frames and positions come shuffled, apart, twice, and some never; looks follow, each on the field of the one
    before; the last image is the library's of the frames that have both, to the last bit.
    """
    scan = await opened(client, frames=49, name="star")
    order = np.random.default_rng(1).permutation(49).tolist()
    upper = [place for place in order if place < 28]
    first = await send(client, scan, [*upper, upper[0]])
    assert (first["received"], first["duplicate"], first["total"]) == (upper, upper[:1], 28)
    now = await document(client, scan)
    assert (now["positions"]["unplaced"], now["positions"]["linked"], now["looks"]) == (28, 0, [])
    assert "28 frames wait for their positions (0 to 27)" in " ".join(now["words"])
    early = [place for place in order if place % 7 != 3]
    assert (await place(client, scan, [*early, early[0]]))["duplicate"] == early[:1]
    one = await look(client, scan, 1)
    assert (one["state"], one["frames"], one["similarity"], one["pending"]) == ("succeeded", 24, None, 0), one
    assert 0 < one["r_factor"] < 0.1
    await send(client, scan, [place for place in order if place >= 28 and place != 40])
    two = await look(client, scan, 2)
    assert (two["state"], two["frames"]) == ("succeeded", 41)
    assert 0.9 < two["similarity"] < 1
    assert two["size"][0] > one["size"][0]
    now = await document(client, scan)
    assert now["frames"] == {
        "expected": 49, "received": 48, "duplicate": 1, "missing": 1, "missing_places": "40",
        "out_of_range": {"count": 0, "reason": ""},
    }  # fmt: skip
    counted = now["positions"]
    assert (counted["received"], counted["duplicate"], counted["waiting"], counted["unplaced"]) == (42, 1, 1, 7)
    assert (counted["linked"], len(now["windows"])) == (41, 41)
    preview = await client.get(f"/v1/jobs/{two['job']}/preview")
    assert preview.content[:4] == b"\x89PNG"
    used = [place for place in PLACES if place % 7 != 3 and place != 40]
    check_same(await last(client, scan), library(used))
    assert services(client).store.names(scan) == []  # the frames are not needed any more


async def test_dark_and_flat_are_applied_where_frames_are_read(client: httpx.AsyncClient, data_root: Path) -> None:
    """They come with the template, or as files below a data root. On the disk frames are as they were sent; the looks
    and the last image are those of the corrected ones, also when the service knows of the scan from its disk alone; a
    frame that shows no more than in the dark is told.
    """
    generator = np.random.default_rng(2)
    flat, dark = generator.uniform(0.7, 1.3, (40, 40)), generator.uniform(30, 60, (40, 40))
    flat[8, 9] = 0
    maps = Corrections(dark, flat, ((4, 36), (4, 36)))
    here = slice(4, 36), slice(4, 36)
    raw = np.rint(COUNTS * flat[here] / flat[here].mean() + dark[here]).astype(np.uint32)
    raw[20] = np.rint(dark[here])
    np.save(data_root / "dark.npy", dark)
    np.save(data_root / "flat.npy", flat)
    asked = {"kind": "ptycho", "refine": REFINE, "turn": "false"}
    frame = RawScan(raw[:1], None, "", "", corrections=maps)
    sent = {"content": npz.encode(frame), "headers": {"Content-Type": "application/x-npz"}}
    named = {"dark": "dark.npy", "flat": "flat.npy", "roi": "4:36,4:36"}
    body = {"kind": "ptycho", "shape": [32, 32], "dtype": "uint32", "refine": REFINE, "turn": False}
    opened = [
        await client.post("/v1/scans", params=asked, **sent), await client.post("/v1/scans", json=body | named)
    ]  # fmt: skip
    measured = ptycho.from_arrays(raw, SCENE.positions, probe=SCENE.probe, corrections=maps, source="a live scan")
    wanted = ptycho.reconstruct(measured, ASKED)
    live = services(client).live
    assert live is not None
    for answer in opened:
        assert answer.status_code == 201, answer.text
        scan = answer.json()["id"]
        probe = SCENE.probe.astype("<c8").tobytes()
        assert (await client.put(f"/v1/scans/{scan}/probe", content=probe, headers=OCTETS)).status_code == 204
        await place(client, scan, PLACES)
        await send(client, scan, PLACES[:30], raw)
        live._awaited.clear()
        assert (await document(client, scan))["positions"]["unusable"]["reason"].startswith("frame 20: ")
        one = await look(client, scan, 1)
        assert (one["state"], one["frames"]) == ("succeeded", 29)
        assert one["r_factor"] < 0.1
        await send(client, scan, PLACES[30:], raw)
        np.testing.assert_array_equal(live.archive.frames(scan)[7], raw[7])
        found = await last(client, scan)
        check_same(found, wanted)
        report = json.loads(str(found["document"]))["ptychography"]["report"]
        assert "dark" in report["verdict"][0]
        assert report["notes"] == list(wanted.report.notes)
    wrong = body | named | {"roi": "0:30,0:32"}
    check(await client.post("/v1/scans", json=wrong), 422, "dark map", "(30, 32)", "(32, 32)")


@pytest.fixture
async def knowing(serving: AppContext, settings: Settings, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with networks of scans: one that fits the scene, one for few photons, one of another beam,
    and one of larger pixels.
    """
    models = tmp_path / "models"
    shutil.copytree(settings.models_dir, models)
    write_scan_model(models)
    write_scan_model(models, name="dim", photons=1e3)
    write_scan_model(models, name="beam", probe_sha256="0" * 64)
    write_scan_model(models, name="coarse", pixel_m=[1e-6, 1e-6])
    changes = {"models_dir": models, "queue": True, "workers": 0, "redis_url": None}
    async with serving(settings.model_copy(update=changes)) as client:
        yield client


async def report_of(client: httpx.AsyncClient, look: dict[str, Any]) -> dict[str, Any]:
    """What the job of a look tells."""
    found: dict[str, Any] = (await client.get(f"/v1/jobs/{look['job']}")).json()["ptychography"]
    return found


async def test_the_first_look_and_the_last_begin_from_a_network(knowing: httpx.AsyncClient) -> None:
    """As the library begins from it, to the last bit; looks between go on from the one before."""
    scan = await opened(knowing, model="scans")
    await place(knowing, scan, PLACES)
    await send(knowing, scan, PLACES[:30])
    one = await look(knowing, scan, 1)
    session = Session(services(knowing).sessions.repository.resolve("scans"), 1)
    part = ptycho.from_arrays(COUNTS[:30], SCENE.positions[:30], probe=SCENE.probe, part=True)
    wanted = growth.look(part, ASKED, None, drawn=prediction.drawn(part, session)).image
    check_same(load(await knowing.get(f"/v1/jobs/{one['job']}/result")), wanted)
    assert (one["start"], one["note"], (await report_of(knowing, one))["model"]) == ("network", "", "scans@1")
    await send(knowing, scan, PLACES[30:])
    two = await look(knowing, scan, 2)
    assert (two["start"], (await report_of(knowing, two))["model"]) == (None, None)
    assert 0.9 < two["similarity"] < 1
    whole = ptycho.from_arrays(COUNTS, SCENE.positions, probe=SCENE.probe, ids=PLACES)
    check_same(await last(knowing, scan), ptycho.reconstruct(whole, ASKED, start=session))
    assert (await document(knowing, scan))["model"] == "scans"
    listed = (await knowing.get("/v1/jobs", params={"model": "scans"})).json()["jobs"]
    assert len(listed) == 2


async def test_a_network_that_does_not_fit_is_refused_or_noted(knowing: httpx.AsyncClient) -> None:
    """At once where it is known before the frames, or with the probe; what only the frames tell is a note of the scan,
    whose images are those without it.
    """
    body = {"kind": "ptycho", "shape": [32, 32], "dtype": "float32", "refine": REFINE}
    far = {"energy_kev": 9.0, "distance_m": 2.0, "detector_pixel_m": 55e-6}
    for more, status, words in (
        ({"model": "coarse", **far}, 422, "coarse@1 was not made for this scan: it draws pixels of 1000 x 1000 nm"),
        ({"model": "scans", **NEAR}, 422, "near field"),
        ({"model": "scans", "shape": [16, 16]}, 422, "it takes patterns of (32, 32) pixels"),
        ({"model": "inphase-bcdi"}, 422, "of the family scan"),
        ({"model": "nobody"}, 404, "nobody"),
        ({"model": "scans", "refine": "none"}, 422, "of a live scan"),
    ):
        check(await knowing.post("/v1/scans", json=body | more), status, words)
    scan = await opened(knowing, guess=False, model="beam")
    sent = SCENE.probe.astype("<c8").tobytes()
    answer = await knowing.put(f"/v1/scans/{scan}/probe", content=sent, headers=OCTETS)
    check(answer, 422, "trained in the beam 000000000000, and the probe of the scan is")
    scan = await opened(knowing, model="dim")
    await place(knowing, scan, PLACES)
    await send(knowing, scan, PLACES)
    one = await look(knowing, scan, 1)
    assert (one["state"], one["start"]) == ("succeeded", None)
    assert "not from the network dim: dim@1 was not made for" in one["note"]
    assert "trained on 1e+03 counts a pattern" in one["note"]
    assert one["note"] in (await document(knowing, scan))["words"]
    assert one["note"] in (await report_of(knowing, one))["report"]["notes"]
    check_same(await last(knowing, scan), library(PLACES))
    assert (await document(knowing, scan))["state"] == "finished"


async def test_a_look_begins_without_parts_that_lie_otherwise(knowing: httpx.AsyncClient) -> None:
    """A network of groups draws before it is known how positions lie: where they are turned, its parts are left out,
    and the note says so.
    """
    scan = await opened(knowing, model="scans", turn=True)
    mirrored = SCENE.positions * [1, -1]
    await place(knowing, scan, PLACES, mirrored)
    await send(knowing, scan, PLACES)
    async with asyncio.timeout(60):
        while not (looks := (await document(knowing, scan))["looks"]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await read(knowing, looks[0]["job"])
    store = services(knowing).store
    given = store.read(looks[0]["job"], "input")
    store.write(looks[0]["job"], "input", given | {"drawn_positions_px": given["positions"]})
    one = await look(knowing, scan, 1)
    assert (one["state"], one["start"]) == ("succeeded", None), one["reason"]
    assert "scans@1 has drawn neighbouring frames together" in one["note"]
    assert one["r_factor"] < 0.1


async def test_the_last_look_refines_positions_where_that_is_asked(client: httpx.AsyncClient) -> None:
    """The looks before it keep them as they were sent; the last one is the library's, to the last bit."""
    sent = SCENE.positions + np.random.default_rng(5).normal(0, 0.5, SCENE.positions.shape)
    scan = await opened(client, frames=49, positions_start=3)
    await place(client, scan, PLACES, sent)
    await send(client, scan, PLACES)
    passing = load(await client.get(f"/v1/jobs/{(await look(client, scan, 1))['job']}/result"))
    found = await last(client, scan)
    measured = ptycho.from_arrays(COUNTS, sent, probe=SCENE.probe, ids=PLACES)
    check_same(found, ptycho.reconstruct(measured, replace(ASKED, positions_start=3)))

    def moved(arrays: dict[str, NDArray[Any]]) -> float:
        away = arrays["positions_px"] - sent[arrays["ids"]]
        return float(np.abs(away - away.mean(axis=0)).max())

    assert moved(passing) < 1e-4
    assert moved(found) > 0.05


async def test_two_scans_at_once_of_which_one_ends_early(client: httpx.AsyncClient) -> None:
    """Frames that hold no numbers, a position astray and one that is none are counted with the reasons, cost no memory,
    and leave the image of the others as it is, while the other scan is
    one of the near field; the doors hand out what a ptychographic image has, and no more.
    """
    counts = COUNTS.copy()
    counts[5], counts[11, 4, 4] = np.nan, np.nan
    both = [await opened(client, unit="pixel"), await opened(client, **NEAR)]
    positions = SCENE.positions.copy()
    positions[17] = 12_000, 9
    for batch in np.array_split(PLACES[:30], 3):
        for scan, frames in zip(both, (counts, COUNTS), strict=True):
            await send(client, scan, batch.tolist(), frames)
    # at once, so that the first look, which begins with its frames, has all of them
    for scan, where in zip(both, (positions, SCENE.positions), strict=True):
        await place(client, scan, PLACES[:30], where[:30])
    await send(client, both[1], PLACES[30:])
    await place(client, both[1], PLACES[30:])
    outside = await place(client, both[0], [40, 41], np.array([[np.nan, 0], [1e9, 0]]))
    assert [each["place"] for each in outside["out_of_range"]] == [40, 41]
    one = await look(client, both[0], 1)
    assert (one["state"], one["frames"]) == ("succeeded", 28), one["reason"]
    assert max(one["size"]) < 80  # not 12,000
    now = await document(client, both[0])
    assert now["frames"]["out_of_range"]["count"] == 2
    assert "is the unit right" in now["frames"]["out_of_range"]["reason"]
    assert now["positions"]["apart"] == {
        "count": 1,
        "reason": "frames 17: the position lies more than a window (32 pixels) away from every position of the others",
    }
    assert now["positions"]["unusable"] == {"count": 1, "reason": "frame 5: most of its pixels are no counts"}
    await look(client, both[1], 1)
    found = await last(client, both[0])
    check_same(found, library([place for place in range(30) if place not in (5, 17)], counts))
    told = json.loads(str(found["document"]))
    assert "Frame 17 was left out" in " ".join(told["ptychography"]["report"]["notes"])
    assert told["ptychography"]["options"]["recipe"] == REFINE
    check_same(
        await last(client, both[1]), library(PLACES, optics=ptycho.NearField(wavelength_m(9.0), 0.5, (1e-6, 1e-6)))
    )
    await doors(client, (await document(client, both[0]))["final"], found)


async def doors(client: httpx.AsyncClient, job: str, found: dict[str, NDArray[Any]]) -> None:
    """What can be fetched of a finished ptychographic job."""
    said = (await client.get(f"/v1/jobs/{job}")).json()
    assert {"object", "probe", "coverage", "positions_px"} <= said["links"].keys()
    assert "phase" not in said["links"]
    cxi = await client.get(f"/v1/jobs/{job}/result", params={"format": "cxi"})
    with h5py.File(io.BytesIO(cxi.content)) as file:
        np.testing.assert_array_equal(file["entry_1/image_1/data"][()], found["object"])
        np.testing.assert_array_equal(file["entry_1/image_2/data"][()], found["probe"][0])
    check(await client.get(f"/v1/jobs/{job}/result", params={"format": "vti"}), 422, "npz or cxi")
    part = await client.get(f"/v1/jobs/{job}/result/probe", params={"slice": "0,3:5,:", "format": "npy"})
    np.testing.assert_array_equal(np.load(io.BytesIO(part.content)), found["probe"][0, 3:5])
    for name in ("object", "probe", "coverage"):
        picture = await client.get(f"/v1/jobs/{job}/result/{name}", params={"format": "png"})
        assert picture.content[:4] == b"\x89PNG", picture.text
    check(await client.get(f"/v1/jobs/{job}/result/phase"), 404, "ptychographic scan")
    for door in ("calculated", "surface", f"comparison/{job}"):
        check(await client.get(f"/v1/jobs/{job}/{door}"), 422, "ptychographic scan")
    listed = (await client.get("/v1/jobs")).json()["jobs"]
    assert {line["recipe"] for line in listed} == {REFINE}


async def test_what_a_ptychographic_scan_refuses(client: httpx.AsyncClient) -> None:
    """Options of the other kind, half of the optics, a probe or position that contradicts what came before."""
    body = {"kind": "ptycho", "shape": [32, 32], "dtype": "uint16"}
    for more, words in (
        ({"grid": "auto"}, "grid"),
        ({"refine": "5*NOTHING"}, "NOTHING"),
        ({"search_px": 3}, "positions_start"),
        ({"unit": "m"}, "positions in m need the size"),
        ({"energy_kev": 9.0}, "belong together"),
        ({"dtype": "complex64"}, "complex64"),
    ):
        answer = await client.post("/v1/scans", json={**body, **more})
        assert 400 <= answer.status_code < 500, answer.text
        assert words in answer.text
    check(await client.post("/v1/scans", json={"shape": [32, 32], "dtype": "uint16", "unit": "m"}), 422, "unit")
    check(await client.post("/v1/scans", json={**body, "kind": "pty"}), 422, "'pty'", "rocking or ptycho")
    asked = await client.post("/v1/scans", params={"kind": "ptycho"}, json={"shape": [32, 32], "dtype": "uint16"})
    assert (asked.status_code, asked.json()["kind"]) == (201, "ptycho"), asked.text
    frame = RawScan(np.zeros((1, 32, 32), np.uint16), None, "", "", saturation=Saturation(9.0, "test"))
    sent = {"content": npz.encode(frame), "headers": {"Content-Type": "application/x-npz"}}
    answer = await client.post("/v1/scans", params={"kind": "ptycho", "start": "network"}, **sent)
    check(answer, 422, "start", "ptycho")
    masked = replace(frame, mask=np.eye(32, dtype=np.uint8)[None], saturation=None)
    sent["content"] = npz.encode(masked)
    far = {"energy_kev": 9.0, "distance_m": 2.0, "detector_pixel_m": 55e-6, "unit": "m"}
    answer = await client.post("/v1/scans", params={"kind": "ptycho", "frames": 4, **far}, **sent)
    assert answer.status_code == 201, answer.text
    assert answer.json()["pixel_m"][0] == answer.json()["pixel_m"][1] > 0
    scan = await opened(client, guess=False)
    url = f"/v1/scans/{scan}"
    check(await client.put(f"{url}/probe", content=b"12", headers=OCTETS), 422, "no probe")
    check(await client.put(f"{url}/probe", content=bytes(32 * 32 * 8), headers=OCTETS), 422, "empty")
    check(await client.post(f"{url}/positions", content=b"12", headers=OCTETS), 422, "whole number of positions")
    check(await client.put(f"{url}/probe", content=bytes(10 * 32 * 32 * 8), headers=OCTETS), 422, "1 to 9 modes")
    probe = SCENE.probe.astype("<c8").tobytes()
    assert (await client.put(f"{url}/probe", content=probe, headers=OCTETS)).status_code == 204
    await send(client, scan, [1])
    assert (await client.put(f"{url}/probe", content=probe, headers=OCTETS)).status_code == 204  # it was that one
    other_probe = (2 * SCENE.probe).astype("<c8").tobytes()
    check(await client.put(f"{url}/probe", content=other_probe, headers=OCTETS), 409, "before the first")
    live = services(client).live
    assert live is not None
    held = services(client).store.read(scan, live.records.get(scan).probe)["probe"]
    np.testing.assert_array_equal(held.ravel(), np.frombuffer(probe, "<c8"))
    await place(client, scan, [1])
    other = b"".join(of_positions([2, 1], SCENE.positions[:2] + 1).chunks())
    check(await client.post(f"{url}/positions", content=other, headers=OCTETS), 409, "position 1", "another position")
    assert (await document(client, scan))["positions"]["received"] == 1
    rocking = (await client.post("/v1/scans", json={"shape": [32, 32], "dtype": "uint16"})).json()["id"]
    check(await client.post(f"/v1/scans/{rocking}/positions", content=other, headers=OCTETS), 422, "rocking curve")
    check(await client.put(f"/v1/scans/{rocking}/probe", content=probe, headers=OCTETS), 422, "rocking curve")


async def test_a_look_that_fails_is_not_asked_for_again_before_more_comes(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it left frames to the next one: else the same failure would be repeated without end."""
    monkeypatch.setattr(growth, "BEGIN", 16)
    scan = await opened(client)
    await place(client, scan, PLACES)
    await send(client, scan, PLACES[:30])
    live = services(client).live
    assert live is not None
    async with asyncio.timeout(60):
        while not (looks := (await document(client, scan))["looks"]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await read(client, looks[0]["job"])
    attempt = records(client).claim(looks[0]["job"], looks[0]["job"], "test")
    assert attempt == 1
    assert records(client).finish(looks[0]["job"], attempt, JobState.FAILED, reason="no memory")
    for _ in range(5):
        live.attend(scan)
    now = await document(client, scan)
    assert [(each["state"], each["pending"] > 0) for each in now["looks"]] == [("failed", True)]
    await send(client, scan, PLACES[30:32])
    live.attend(scan)
    assert len((await document(client, scan))["looks"]) == 2


async def test_looks_begin_anew_where_other_frames_lie_together(client: httpx.AsyncClient) -> None:
    """Some frames were imaged; then many more come far away from them, and those are apart: nothing of the first image
    is taken over, and what a look shows is what its image was made of.
    """
    scan = await opened(client)
    await place(client, scan, PLACES[:16])
    await send(client, scan, PLACES[:16])
    one = await look(client, scan, 1)
    assert one["frames"] == 16
    far = [100 + number for number in PLACES]
    await place(client, scan, far, SCENE.positions + 3000.0)
    await send(client, scan, far)
    two = await look(client, scan, 2)
    assert (two["state"], two["similarity"]) == ("succeeded", None), two
    assert max(two["size"]) < 200
    found = load(await client.get(f"/v1/jobs/{two['job']}/result"))
    assert found["ids"].tolist() == far[: two["frames"]]


async def test_of_two_positions_of_one_place_the_usable_one_is_kept(client: httpx.AsyncClient) -> None:
    """In either order."""
    scan = await opened(client)
    for number, pair in enumerate(([[1.0, 2.0], [np.nan, 0.0]], [[np.nan, 0.0], [1.0, 2.0]])):
        answer = await place(client, scan, [number, number], np.array(pair))
        assert (answer["received"], len(answer["out_of_range"])) == ([number], 1)


async def test_a_batch_stays_where_nobody_knows_whether_it_was_recorded(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record was written and its answer lost: the frames are there, for the record names them."""
    scan = await opened(client)
    live = services(client).live
    assert live is not None
    add = live.records.add

    def lost(*asked: Any) -> Any:
        add(*asked)
        raise QueueUnavailableError("the answer is lost")

    with monkeypatch.context() as within:
        within.setattr(live.records, "add", lost)
        body = encode_frames([0], [COUNTS[0]])
        assert (await client.post(f"/v1/scans/{scan}/frames", content=body, headers=OCTETS)).status_code == 503
    assert (await send(client, scan, [0]))["duplicate"] == [0]
    np.testing.assert_array_equal(live.archive.frames(scan)[0], COUNTS[0])


async def test_positions_in_a_length_and_in_the_wrong_one(client: httpx.AsyncClient) -> None:
    """Micrometres are pixels of this parallel beam. In millimetres no window would touch another: the document says
    which unit they probably have; in metres they are refused one by one.
    """
    for unit, linked, words in (("um", 6, ""), ("mm", 1, "um (a typical step of "), ("m", 0, "by the option unit")):
        scan = await opened(client, guess=False, unit=unit, **NEAR)
        await send(client, scan, PLACES[:6])
        answer = await place(client, scan, PLACES[:6])
        found = await document(client, scan)
        assert (found["unit"], found["positions"]["linked"]) == (unit, linked)
        assert words in f"{found['positions']['apart']['reason']} {answer}"
        if unit == "um":
            expected = SCENE.positions[:6] - SCENE.positions[:6].min(axis=0)
            np.testing.assert_allclose(found["windows"], expected, atol=0.01)
