"""POST /v1/ptychograms on a real Redis; the worker's part is done by hand here."""

import io
import shutil
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest

from inphase import ptycho
from inphase.errors import CancelledError
from inphase.models.repository import Repository
from inphase.models.session import Session
from service.jobs.perform import perform
from service.jobs.state import JobState
from service.jobs.task import Task
from service.settings import Settings
from tests.inphase.ptycho.scenes import small
from tests.service.api.calls import check, load
from tests.service.api.queued import client, read, records, services, work
from tests.service.conftest import AppContext
from tests.toy import write_scan_model

__all__ = ["client"]  # a fixture

URL = "/v1/ptychograms"
NPZ = {"Content-Type": "application/x-npz"}
SCENE = small(frames=5)
COUNTS = SCENE.counts.astype(np.uint32)
REFINE = "3*EPIE"


def saved(folder: Path, **change: Any) -> Path:
    """A file of the scene."""
    held = {"data": COUNTS, "scan": SCENE.positions, "probe": SCENE.probe} | change
    np.savez(folder / "scan.npz", **{name: array for name, array in held.items() if array is not None})
    return folder / "scan.npz"


async def done(client: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    """The document of a job that a worker has made."""
    assert answer.status_code == 202, answer.text
    job = str(answer.json()["id"])
    await read(client, job)
    if records(client).get(job).state is JobState.QUEUED:
        await work(client, job)
    document: dict[str, Any] = (await client.get(f"/v1/jobs/{job}")).json()
    return document


async def arrays_of(client: httpx.AsyncClient, document: dict[str, Any]) -> dict[str, Any]:
    """Of its result."""
    assert document["state"] == "succeeded", document["reason"]
    return load(await client.get(f"/v1/jobs/{document['id']}/result"))


def check_same(found: dict[str, Any], wanted: ptycho.Reconstruction) -> None:
    """To the last bit."""
    for name in ("object", "probe", "coverage", "positions_px", "origin_px", "ids"):
        array = getattr(wanted, name)
        assert (found[name].dtype, found[name].tobytes()) == (array.dtype, array.tobytes()), name


STRAY = SCENE.positions + 1e6 * (np.arange(25) == 7)[:, None]  # frame 7 lies a million pixels away
NEAR: dict[str, Any] = {"energy_kev": 9.0, "distance_m": 0.5, "detector_pixel_m": 1e-6}


async def test_a_file_gives_what_the_library_makes_of_it(client: httpx.AsyncClient, data_root: Path) -> None:
    """To the last bit, sent or named. Options reach it by the query and by JSON; infinity, the focus of a parallel
    beam, passes through JSON, record and store; one stray position costs its frame alone.
    """
    options = {"modes": 2, "hold_out": 0.2, "seed": 3}
    for sent, change, given, how in (
        (True, {}, {}, options),
        (False, {}, {}, options),
        (False, {}, NEAR | {"focus_m": "inf"}, {"turn": False}),
        (False, {"scan": STRAY}, {}, {"turn": False}),
    ):
        path = saved(data_root, **change)
        asked = {"refine": REFINE, "unit": "pixel", "wait": 0, **given, **how}
        if sent:
            answer = await client.post(
                URL, params={"name": "star 7.npz", **asked}, content=path.read_bytes(), headers=NPZ
            )
        else:
            answer = await client.post(URL, json={"source": {"kind": "file", "path": "scan.npz"}, **asked})
        document = await done(client, answer)
        beam = {name: float(value) for name, value in given.items()}
        wanted = ptycho.reconstruct(ptycho.read(path, unit="pixel", **beam), ptycho.Options(REFINE, **how))
        check_same(await arrays_of(client, document), wanted)
        told = document["ptychography"]
        assert (told["report"]["r_factor"], told["report"]["notes"]) == (
            wanted.report.r_factor, list(wanted.report.notes),
        )  # fmt: skip
        assert told["source"] == ("star 7.npz" if sent else str(path))
        assert max(told["size"]) < 100
        assert len(wanted.ids) == (24 if change else 25)
    assert any(note.startswith("Frame 7 was left out") for note in told["report"]["notes"])
    (line, *_) = (await client.get("/v1/jobs")).json()["jobs"]
    assert (line["r_factor"], line["chi2"]) == (told["report"]["r_factor"], None)


async def test_the_same_again_is_not_computed_again(client: httpx.AsyncClient, data_root: Path) -> None:
    """Named or sent, as long as arrays and options are the same; reuse=false and another seed compute."""
    path, asked = saved(data_root), {"refine": REFINE, "unit": "pixel", "turn": False, "wait": 0}
    first = await done(client, await client.post(URL, params=asked, content=path.read_bytes(), headers=NPZ))
    named = {"source": {"kind": "file", "path": "scan.npz"}, **asked}
    again = (await client.post(URL, json=named | {"wait": 10})).json()
    assert (again["state"], again["reused_from"]) == ("succeeded", first["id"])
    assert again["ptychography"]["source"] == str(path)
    as_file = await client.post(URL, params={"format": "cxi"}, json=named | {"wait": 10})
    with h5py.File(io.BytesIO(as_file.content)) as file:
        np.testing.assert_array_equal(file["entry_1/image_1/data"], (await arrays_of(client, first))["object"])
    check(await client.post(URL, params={"format": "vti"}, json=named), 422, "format")
    keyed = NPZ | {"Idempotency-Key": "scan 54"}
    once, twice = [await client.post(URL, params=asked, content=path.read_bytes(), headers=keyed) for _ in range(2)]
    assert once.json()["id"] == twice.json()["id"] != first["id"]
    other = saved(data_root, probe=SCENE.probe * 2).read_bytes()
    check(await client.post(URL, params=asked, content=other, headers=keyed), 422, "Idempotency-Key")
    saved(data_root)
    for other in ({"seed": 1}, {"reuse": False}, {"energy_kev": 9, "distance_m": 1, "detector_pixel_m": 1e-4}):
        answer = await client.post(URL, json=named | other)
        await read(client, answer.json()["id"])
        assert records(client).get(answer.json()["id"]).state is JobState.QUEUED


async def check_doors(client: httpx.AsyncClient, data_root: Path) -> None:
    """A ptychographic scan given as a pattern, and a rocking curve given as a scan: each call names the other."""
    path = saved(data_root)
    for asked in ("/v1/reconstructions", "/v1/previews"):
        check(await client.post(asked, content=path.read_bytes(), headers=NPZ), 422, "ptychographic", "/v1/ptychograms")
    named = {"source": {"kind": "file", "path": "scan.npz"}}
    check(await client.post("/v1/reconstructions", json=named), 422, "ptychographic", "/v1/ptychograms")
    saved(data_root, scan=None)
    check(await client.post(URL, json=named), 422, "/v1/reconstructions")
    check(await client.post(URL, content=b"", headers={"Content-Type": "image/tiff"}), 415, "/v1/reconstructions")


async def test_dark_and_flat_are_applied(client: httpx.AsyncClient, data_root: Path) -> None:
    """As the library applies them: of files below the data roots, whether the scan is named or sent, and of arrays of
    the npz; what lies outside, or does not fit, is refused.
    """
    dark, flat = np.full((32, 32), 7.0), np.random.default_rng(0).uniform(0.5, 1.5, (32, 32))
    raw = np.rint(COUNTS * flat + dark).astype(np.uint16)
    for name, chip in (("dark", dark), ("flat", flat)):
        np.save(data_root / f"{name}.npy", chip)
    path = saved(data_root, data=raw)
    maps = {name: str(data_root / f"{name}.npy") for name in ("dark", "flat")}
    options = ptycho.Options(REFINE, turn=False)
    wanted = ptycho.reconstruct(ptycho.read(path, unit="pixel", dark=maps["dark"], flat=maps["flat"]), options)
    asked = {"unit": "pixel", "refine": REFINE, "turn": "false", "wait": 0, "reuse": "false"}
    named = {"dark": "dark.npy", "flat": "flat.npy"}
    by_path = {"source": {"path": "scan.npz"}, **asked, **named, "turn": False, "reuse": False}
    content = path.read_bytes()
    sent = [
        await client.post(URL, json=by_path),
        await client.post(URL, params=asked | named, content=content, headers=NPZ),
        await client.post(URL, params=asked, content=saved(data_root, data=raw, dark=dark, flat=flat).read_bytes(),
                          headers=NPZ),
    ]  # fmt: skip
    for answer in sent:
        document = await done(client, answer)
        check_same(await arrays_of(client, document), wanted)
        assert any("flat field was divided out" in note for note in document["ptychography"]["report"]["notes"])
    outside = {"dark": "/etc/hostname"}
    check(await client.post(URL, params=asked | outside, content=content, headers=NPZ), 403)
    check(await client.post(URL, params=asked | {"dark": "no.npy"}, content=content, headers=NPZ), 404, "no.npy")
    np.save(data_root / "narrow.npy", dark[:30])
    check(await client.post(URL, params=asked | {"dark": "narrow.npy"}, content=content, headers=NPZ), 422, "(30, 32)")


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"data": np.full(COUNTS.shape, np.nan, np.float32)}, "25 of 25 frames hold no counts or no numbers"),
    ({"data": 0 * COUNTS}, "25 of 25 frames hold no counts"),
    ({"data": COUNTS[:0], "scan": SCENE.positions[:0]}, "at least two of each"),
    ({"scan": None}, "holds no positions under"),
    ({"scan": SCENE.positions[:-1]}, "25 patterns and 24 positions"),
    ({"scan": SCENE.positions * np.nan}, "0 of 25 positions"),
    ({"scan": SCENE.positions * 1e6}, "is the unit right"),
    ({"scan": SCENE.positions * 0}, "nothing was scanned"),
    ({"probe": SCENE.probe[:, :16, :16]}, "a probe has the shape of a pattern"),
    ({"probe": SCENE.probe * np.nan}, "the probe is empty or not finite"),
    ({"mask": np.ones((32, 32))}, "masks 100.0% of the voxels"),
    ({"mask": 1 - np.eye(32)}, "masks 96.9% of the voxels"),
    ({"data": COUNTS + 1j}, "patterns are real numbers"),
    ({"scan": SCENE.positions.astype(str)}, "positions are real numbers"),
    ({"mask": np.zeros((8, 8))}, "fits neither the patterns"),
]  # fmt: skip


async def test_what_cannot_be_used_is_told(client: httpx.AsyncClient, data_root: Path) -> None:
    """At once where the caller waits, whether the file is named or sent, and as the job's reason where nobody does;
    the service goes on.
    """
    named = {"source": {"kind": "file", "path": "scan.npz"}, "unit": "pixel"}
    for change, says in HOSTILE:
        content = saved(data_root, **change).read_bytes()
        check(await client.post(URL, json=named), 422, says, "scan.npz")
        check(await client.post(URL, params={"unit": "pixel"}, content=content, headers=NPZ), 422, says, "body.npz")
    answer = await client.post(URL, json=named | {"wait": 0})
    await read(client, answer.json()["id"])
    assert says in records(client).get(answer.json()["id"]).reason
    await check_doors(client, data_root)
    whole = saved(data_root).read_bytes()
    cut = whole[: len(whole) // 2]
    (data_root / "scan.npz").write_bytes(cut)
    check(await client.post(URL, json=named), 422, "truncated")
    check(await client.post(URL, content=cut, headers=NPZ), 422, "truncated")
    check(await client.post(URL, content=whole, headers={"Content-Type": "application/x-cxi"}), 422, "body.cxi")
    check(await client.post(URL, content=b"", headers=NPZ), 422, "body.npz")
    check(await client.post(URL, params={"name": "star.npz"}, content=b"", headers=NPZ), 422, "star.npz")
    check(await client.post(URL, json={"source": {"path": "none.npz"}}), 404, "does not exist")
    check(await client.post(URL, json={"source": {"path": "/etc/passwd"}}), 403)
    (data_root / "scan.tif").write_bytes(b"II*")
    check(await client.post(URL, json={"source": {"path": "scan.tif"}}), 422, "ptychography is read from")
    saved(data_root, more=np.zeros(2**20))
    services(client).settings.bounds.array_bytes = 2**20
    check(await client.post(URL, json=named), 413, "above the limit of 1 MiB")


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"refine": "HIO"}, "HIO"), ({"modes": 10}, "modes"), ({"search_px": 3}, "positions_start"),
    ({"starts": 3}, "starts"), ({"unit": "cm"}, "unit"), ({"focus_m": -1}, "focus_m"),
]  # fmt: skip


async def test_options_that_cannot_be_meant_are_refused_first(client: httpx.AsyncClient) -> None:
    """Before anything is read: there is no such file."""
    for option, says in OPTIONS:
        check(await client.post(URL, json={"source": {"path": "none.npz"}, **option}), 422, says)
        check(await client.post(URL, params=option, content=b"none", headers=NPZ), 422, says)


async def test_a_service_without_a_queue_says_so(serving: AppContext, settings: Settings, data_root: Path) -> None:
    """Nobody reconstructs there."""
    saved(data_root)
    async with serving(settings) as alone:
        check(await alone.post(URL, json={"source": {"path": "scan.npz"}}), 503, "without a queue")


async def test_a_network_gives_the_start(
    serving: AppContext, settings: Settings, data_root: Path, tmp_path: Path
) -> None:
    """It is asked where the file is read, and the worker puts together what it has drawn: the library's image to the
    last bit, refined or left as it is. What does not fit is refused with the reason, before anything is computed.
    """
    shutil.copytree(settings.models_dir, tmp_path / "models")
    write_scan_model(tmp_path / "models")
    write_scan_model(tmp_path / "models", name="dim", photons=1e3)
    path = saved(data_root, scan=SCENE.positions * [1, -1])  # whose columns are reversed
    changes = {"models_dir": tmp_path / "models", "queue": True, "workers": 0, "redis_url": None}
    session = Session(Repository(tmp_path / "models").resolve("scans"), 1)
    named = {"source": {"path": "scan.npz"}, "unit": "pixel", "model": "scans"}
    async with serving(settings.model_copy(update=changes)) as client:
        for refine in ("1*EPIE", "none"):
            document = await done(client, await client.post(URL, json=named | {"refine": refine, "wait": 0}))
            wanted = ptycho.reconstruct(ptycho.read(path, unit="pixel"), ptycho.Options(refine), start=session)
            check_same(await arrays_of(client, document), wanted)
            assert document["ptychography"]["model"] == "scans@1"
            assert document["ptychography"]["report"]["recipe"].startswith(refine[:4])
            assert any("columns reversed" in note for note in wanted.report.notes)
        listed = (await client.get("/v1/jobs", params={"model": "scans"})).json()["jobs"]
        assert [job["model"] for job in listed] == ["scans@1"] * 2
        check(await client.post(URL, json=named | {"model": "dim"}), 422, "trained on 1e+03 counts a pattern")
        check(await client.post(URL, json=named | {"model": "inphase-bcdi"}), 422, "of the family scan")
        check(await client.post(URL, json=named | {"model": "nobody"}), 404, "nobody")
        check(await client.post(URL, json={"source": {"path": "scan.npz"}, "refine": "none"}), 422, "name a model")


async def test_the_next_attempt_goes_on_where_one_has_died(client: httpx.AsyncClient, data_root: Path) -> None:
    """From its last checkpoint, to the same result; one of another version is not used."""
    path = saved(data_root)
    asked = {"source": {"path": "scan.npz"}, "unit": "pixel", "refine": "4*EPIE", "turn": False, "wait": 0}
    job = (await client.post(URL, json=asked)).json()["id"]
    await read(client, job)
    kept: list[dict[str, Any]] = []
    told: list[int] = []

    def task(resume: dict[str, Any] | None, *, dies: int) -> Task:
        return Task(
            job, 1, records(client).get(job).document, services(client).store, "cpu",
            lambda progress, _=None: told.append(progress.iteration), lambda: len(kept) == dies,
            checkpoint=lambda make: kept.append(dict(make())), resume=resume,
        )  # fmt: skip

    with pytest.raises(CancelledError):
        perform(task(None, dies=2))
    wanted = ptycho.reconstruct(ptycho.read(path, unit="pixel"), ptycho.Options("4*EPIE", turn=False))
    for resume, iterations in ((kept[1], [3, 4]), (kept[1] | {"code": np.array("0.0.1")}, [1, 2, 3, 4])):
        told.clear()
        check_same(dict(perform(task(resume, dies=-1)).arrays), wanted)
        assert told == iterations


async def test_real_scans_are_what_the_library_makes_of_them(
    client: httpx.AsyncClient, real_data: Path, tmp_path: Path
) -> None:
    """The middle of the Siemens star, whose guess of the probe is 10^4 too weak, and the near field of P25, sent."""
    with np.load(real_data / "siemens_star/siemens_star_ptycho_v1.npz") as held:
        near = np.hypot(held["xcoords"], held["ycoords"]) < 40
        star = {name: held[name][near] for name in ("diff3d", "xcoords", "ycoords")} | {
            "probeGuess": held["probeGuess"]
        }
    np.savez(tmp_path / "star.npz", **star)
    scans: list[tuple[Path, dict[str, Any], int]] = [
        (tmp_path / "star.npz", {"unit": "pixel"}, 20),
        (real_data / "p25_nearfield/PETRAIII_P25_Near_Field_Ptycho.cxi", {"focus_m": 3.65e-3}, 200),
    ]
    for path, given, frames in scans:
        asked = {"refine": "2*EPIE", "turn": False, "wait": 0, **given}
        headers = {"Content-Type": f"application/x-{path.suffix[1:]}"}
        document = await done(client, await client.post(URL, params=asked, content=path.read_bytes(), headers=headers))
        wanted = ptycho.reconstruct(ptycho.read(path, **given), ptycho.Options("2*EPIE", turn=False))
        check_same(await arrays_of(client, document), wanted)
        report = document["ptychography"]["report"]
        assert report["frames"] + report["frames_held_out"] >= frames
        assert report["r_factor"] < 0.5
