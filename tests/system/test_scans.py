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


def test_two_scans_live_through_the_death_of_service_and_worker(tmp_path: Path, models: Path, pattern: Frames) -> None:
    """SIGKILL for the service in the middle of a scan, then for the worker of the next one.

    Every frame that was acknowledged is there afterwards, those whose answer may have been lost come again, while the
    command line replays another curve, shuffled, with frames that come twice and some that never come. The last images
    are those of the files.
    """
    with running(tmp_path / "state", models, INPHASE_WORKERS="0") as first:
        with first.client() as client:
            scan = client.open_scan(pattern[0], 64, refine=REFINE)["id"]
            client.add_frames(scan, list(range(40)), list(pattern[:40]))
            until(lambda: client.scan(scan)["looks"])
        first.process.kill()
        first.nobody_left(30)
    other, plan = np.roll(pattern, 3, axis=1), Plan(200, shuffle=True, drop=0.1, duplicate=0.1, seed=2)
    np.save(tmp_path / "other.npy", other)
    with running(tmp_path / "state", models) as second, second.client() as client:
        replaying = subprocess.Popen(
            [*INPHASE, "scan", "replay", str(tmp_path / "other.npy"), "--rate", "200", "--shuffle", "--drop", "0.1",
             "--duplicate", "0.1", "--seed", "2", "--refine", REFINE],
            env=os.environ | {"INPHASE_URL": second.url, "INPHASE_API_KEY": KEY}, stdout=subprocess.PIPE, text=True,
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
        shown, _ = replaying.communicate(timeout=120)
        assert replaying.returncode == 0
        sent = set(plan.places(64))
        assert f"{len(sent)} received, 0 lost" in shown
        assert "the peak seems to be passed" in shown
        replayed = client.scan(next(line.split()[1] for line in shown.splitlines() if line.startswith("scan ")))
        assert replayed["frames"]["missing"] == 64 - len(sent) > 0
        assert replayed["frames"]["duplicate"] == len(plan.places(64)) - len(sent) > 0
        mask = np.ones(other.shape, np.uint8)
        mask[sorted(sent)] = 0
        same = whole(client, RawScan(np.where(mask, 0, other), None, "", "", mask=mask))
        np.testing.assert_array_equal(last(client, replayed), same)


def test_a_ptychographic_scan_lives_through_the_death_of_service_and_worker(tmp_path: Path, models: Path) -> None:
    """SIGKILL for the service in the middle of it, then for its successor's worker; nothing that was acknowledged is
    lost, and the last image is that of the file, which the command line replays beside it in any order.
    """
    scene, refine = small(), "6*RPIE"
    counts = scene.counts.astype(np.uint32)
    np.savez(tmp_path / "scan.npz", diffraction=counts, scan=scene.positions, probe=scene.probe)
    measured = ptycho.read(tmp_path / "scan.npz", unit="pixel")
    with running(tmp_path / "state", models, INPHASE_WORKERS="0") as first:
        with first.client() as client:
            told: dict[str, Any] = {"kind": "ptycho", "refine": refine, "unit": "pixel"}
            scan = client.open_scan(counts[0], 49, probe=scene.probe, **told)["id"]
            client.add_positions(scan, list(range(49)), scene.positions)
            client.add_frames(scan, list(range(20)), list(counts[:20]))
            until(lambda: client.scan(scan)["looks"])
        first.process.kill()
        first.nobody_left(30)
    with running(tmp_path / "state", models) as second, second.client() as client:
        replaying = subprocess.Popen(
            [*INPHASE, "scan", "replay", str(tmp_path / "scan.npz"), "--kind", "ptycho", "--unit", "pixel", "--rate",
             "100", "--shuffle", "--duplicate", "0.1", "--seed", "2", "--refine", refine],
            env=os.environ | {"INPHASE_URL": second.url, "INPHASE_API_KEY": KEY}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        second.until_workers()
        os.kill(second.worker().pid, signal.SIGKILL)
        assert client.scan(scan)["positions"]["waiting"] == 29
        again = client.add_frames(scan, list(range(18, 49)), list(counts[18:]), scene.positions[18:])
        assert (again["duplicate"], again["total"]) == ([18, 19], 49)
        client.finish_scan(scan)
        assert [event.data["final"] for event in client.follow_scan(scan) if event.kind == "look"][-1]
        shown, _ = replaying.communicate(timeout=120)
        assert replaying.returncode == 0
        assert "49 received, 0 lost" in shown
        assert "49 frames can be imaged" in shown
        other = next(line.split()[1] for line in shown.splitlines() if line.startswith("scan "))
        wanted = ptycho.reconstruct(measured, ptycho.Options(refine))
        for one in (scan, other):
            found = client.result(last_look(client.scan(one))["job"])
            assert found.document["ptychography"]["report"]["frames"] == wanted.report.frames
            # threads of another number than in this process add up in another order
            np.testing.assert_allclose(found.object, wanted.object, atol=2e-3)
        client.save(last_look(client.scan(scan))["job"], tmp_path / "scan.cxi")
