"""Live scans with real processes: replays, two at once, and services and workers that are killed in the middle."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase import ptycho
from inphase.client import Client, Document
from inphase.formats import RawScan
from inphase.live.replay import Plan
from inphase.preprocess.corrections import Corrections
from tests.inphase.ptycho.scenes import small
from tests.service.conftest import KEY
from tests.system.serving import INPHASE, running, until

pytestmark = pytest.mark.system

REFINE = "2*ER"
Frames = NDArray[np.uint32]


def whole(client: Client, scan: RawScan | NDArray[Any]) -> NDArray[np.generic]:
    """The object of the measurement sent as a file, computed afresh."""
    done = client.reconstruct(scan, wait=60, refine=REFINE, reuse=False)
    assert done["state"] == "succeeded", done["reason"]
    return client.array(done["id"], "object")


def last(client: Client, document: Document) -> NDArray[np.generic]:
    """The object of the last look."""
    return client.array(last_look(document)["job"], "object")


def last_look(document: Document) -> Document:
    """The look that ended a scan."""
    look: Document = document["looks"][0]
    assert (look["state"], look["final"]) == ("succeeded", True), look["reason"]
    return look


SCENE = small()
DARK, FLAT = np.random.default_rng(0).uniform((30, 0.7), (60, 1.3), (32, 32, 2)).transpose(2, 0, 1)
COUNTS = np.rint(SCENE.counts * FLAT + DARK).astype(np.uint32)  # as the detector gives them
RECIPE = "6*RPIE"


def begun(client: Client) -> str:
    """The id of a ptychographic scan of which all positions and some frames have come."""
    told: dict[str, Any] = {"kind": "ptycho", "refine": RECIPE, "unit": "pixel"}
    template = RawScan(COUNTS[:1], None, "", "", corrections=Corrections(DARK, FLAT))
    scan = str(client.open_scan(template, 49, probe=SCENE.probe, **told)["id"])
    client.add_positions(scan, list(range(49)), SCENE.positions)
    client.add_frames(scan, list(range(20)), list(COUNTS[:20]))
    return scan


def ended(client: Client, scan: str) -> None:
    """Some of its frames come again, the others for the first time; then it is over."""
    assert client.scan(scan)["positions"]["waiting"] == 29
    again = client.add_frames(scan, list(range(18, 49)), list(COUNTS[18:]), SCENE.positions[18:])
    assert (again["duplicate"], again["total"]) == ([18, 19], 49)
    client.finish_scan(scan)
    assert [event.data["final"] for event in client.follow_scan(scan) if event.kind == "look"][-1]


def check_object(client: Client, scan: str, measured: ptycho.Measurement) -> None:
    """It is the library's of the file; threads of another number than in this process add up in another order."""
    wanted = ptycho.reconstruct(measured, ptycho.Options(RECIPE))
    found = client.result(last_look(client.scan(scan))["job"])
    assert found.document["ptychography"]["report"]["frames"] == wanted.report.frames
    np.testing.assert_allclose(found.object, wanted.object, atol=2e-3)


def replayed(path: Path, url: str, *more: str) -> "subprocess.Popen[str]":
    """The command line sends a finished scan, in any order and some of it twice."""
    return subprocess.Popen(
        [*INPHASE, "scan", "replay", str(path), "--shuffle", "--duplicate", "0.1", "--seed", "2", *more],
        env=os.environ | {"INPHASE_URL": url, "INPHASE_API_KEY": KEY}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def shown_by(command: "subprocess.Popen[str]") -> tuple[str, str]:
    """What a replay has printed, and the id of its scan."""
    shown, _ = command.communicate(timeout=120)
    assert command.returncode == 0
    return shown, next(line.split()[1] for line in shown.splitlines() if line.startswith("scan "))


def test_scans_live_through_the_death_of_service_and_worker(tmp_path: Path, models: Path, pattern: Frames) -> None:
    """SIGKILL for the service in the middle of a rocking curve and of a ptychographic scan, then for the worker of the
    next one.

    Every frame that was acknowledged is there afterwards, those whose answer may have been lost come again, while the
    command line replays another curve and another scan, shuffled, with frames that come twice and some that never come.
    The last images are those of the files.
    """
    with running(tmp_path / "state", models, INPHASE_WORKERS="0") as first:
        with first.client() as client:
            scan = client.open_scan(pattern[0], 64, refine=REFINE)["id"]
            client.add_frames(scan, list(range(40)), list(pattern[:40]))
            grown = begun(client)
            until(lambda: client.scan(scan)["looks"] and client.scan(grown)["looks"])
        first.process.kill()
        first.nobody_left(30)
    other, plan = np.roll(pattern, 3, axis=1), Plan(200, shuffle=True, drop=0.1, duplicate=0.1, seed=2)
    np.save(tmp_path / "other.npy", other)
    with running(tmp_path / "state", models) as second, second.client() as client:
        replaying = replayed(
            tmp_path / "other.npy", second.url, "--rate", "200", "--drop", "0.1", "--refine", REFINE
        )  # fmt: skip
        second.until_workers()
        os.kill(second.worker().pid, signal.SIGKILL)
        assert client.scan(scan)["frames"]["received"] == 40
        again = client.add_frames(scan, list(range(32, 64)), list(pattern[32:]))
        assert (again["duplicate"], again["total"]) == (list(range(32, 40)), 64)
        client.finish_scan(scan)
        events = list(client.follow_scan(scan))
        assert [event.data["state"] for event in events if event.kind == "state"] == ["open", "finishing", "finished"]
        assert [event.data["final"] for event in events if event.kind == "look"][-1]
        assert any(event.kind == "frames" and event.data["received"] == 64 for event in events)
        np.testing.assert_array_equal(last(client, client.scan(scan)), whole(client, pattern))
        shown, curve = shown_by(replaying)
        sent = set(plan.places(64))
        assert f"{len(sent)} received, 0 lost" in shown
        assert "the peak seems to be passed" in shown
        found = client.scan(curve)
        assert found["frames"]["missing"] == 64 - len(sent) > 0
        assert found["frames"]["duplicate"] == len(plan.places(64)) - len(sent) > 0
        mask = np.ones(other.shape, np.uint8)
        mask[sorted(sent)] = 0
        same = whole(client, RawScan(np.where(mask, 0, other), None, "", "", mask=mask))
        np.testing.assert_array_equal(last(client, found), same)
        np.savez(
            tmp_path / "scan.npz", diffraction=COUNTS, scan=SCENE.positions, probe=SCENE.probe, dark=DARK, flat=FLAT
        )
        measured = ptycho.read(tmp_path / "scan.npz", unit="pixel")
        replaying = replayed(
            tmp_path / "scan.npz",
            second.url,
            "--kind",
            "ptycho",
            "--unit",
            "pixel",
            "--rate",
            "100",
            "--refine",
            RECIPE,
        )
        ended(client, grown)
        check_object(client, grown, measured)
        shown, other = shown_by(replaying)
        assert "to the images: object " in shown
        told = subprocess.run(
            [*INPHASE, "scan", "show", other], stdout=subprocess.PIPE, text=True, check=True,
            env=os.environ | {"INPHASE_URL": second.url, "INPHASE_API_KEY": KEY, "COLUMNS": "80"},
        ).stdout  # fmt: skip
        assert client.scan(other)["final"] in told
        assert "49 received, 0 lost" in shown
        assert "49 frames can be imaged" in shown
        check_object(client, other, measured)
        client.save(last_look(client.scan(grown))["job"], tmp_path / "scan.cxi")
        finished(client, second.url, tmp_path, measured)


def finished(client: Client, url: str, folder: Path, measured: ptycho.Measurement) -> None:
    """The same scan as a file that is sent, by the command line and by the client: one result, by one computation; a
    long job ends when it is cancelled.
    """
    command = [*INPHASE, "ptycho", str(folder / "scan.npz"), "-o", str(folder / "sent.npz"), "--refine", RECIPE]
    environment = os.environ | {"INPHASE_URL": url, "INPHASE_API_KEY": KEY}
    told = subprocess.run([*command, "--unit", "pixel"], env=environment, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    wanted = ptycho.reconstruct(measured, ptycho.Options(RECIPE))
    with np.load(folder / "sent.npz") as sent:
        np.testing.assert_allclose(sent["object"], wanted.object, atol=2e-3)
    same: dict[str, Any] = {"probe": SCENE.probe, "unit": "pixel", "refine": RECIPE, "dark": DARK, "flat": FLAT}
    assert client.reconstruct_ptychogram(COUNTS, SCENE.positions, **same)["reused_from"]
    long = client.reconstruct_ptychogram(COUNTS, SCENE.positions, **same | {"refine": "100000*EPIE"}, wait=0)["id"]
    for event in client.follow(long):
        if event.kind == "progress":
            client.cancel(long, "enough")
    document = client.job(long)
    assert (document["state"], document["reason"]) == ("cancelled", "cancelled on request: enough")
