"""Live scans with real processes: replays, two at once, and services and workers that are killed in the middle."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.client import Client, Document
from inphase.formats.scan import RawScan, scan_of
from inphase.live.replay import Plan, Replayed, replay
from tests.service.conftest import KEY
from tests.system.serving import INPHASE, Service, running, until

pytestmark = pytest.mark.system

REFINE = "5*ER"


def whole(client: Client, scan: RawScan | NDArray[Any]) -> NDArray[np.generic]:
    """The object of the measurement sent as a file, computed afresh."""
    done = client.reconstruct(scan, wait=60, refine=REFINE, reuse=False)
    assert done["state"] == "succeeded", done["reason"]
    return client.array(done["id"], "object")


def last(client: Client, document: Document) -> NDArray[np.generic]:
    """The object of the last look."""
    look = document["looks"][0]
    assert (look["state"], look["final"]) == ("succeeded", True), look["reason"]
    return client.array(look["job"], "object")


def test_two_scans_at_once_each_give_the_image_of_their_file(
    tmp_path: Path, models: Path, pattern: NDArray[np.uint32]
) -> None:
    """One in order with frames that come twice, one shuffled with frames that never come; a worker is killed meanwhile,
    and the command line replays a third.
    """
    with running(tmp_path / "state", models) as service:
        service.until_workers()
        moved = np.roll(pattern, 3, axis=1)
        plans = {"one": (pattern, Plan(60, duplicate=0.1)), "two": (moved, Plan(60, shuffle=True, drop=0.1, seed=2))}
        done: dict[str, Replayed] = {}

        def send(name: str) -> None:
            scan, plan = plans[name]
            with service.client() as client:
                done[name] = replay(client, scan_of(scan), plan, name=name, refine=REFINE)

        threads = [threading.Thread(target=send, args=(name,)) for name in plans]
        for thread in threads:
            thread.start()
        with service.client() as client:
            until(lambda: any(scan["received"] > 20 for scan in client._json("GET", "/v1/scans")["scans"]))
            os.kill(service.worker().pid, signal.SIGKILL)
            for thread in threads:
                thread.join(120)
            one, two = done["one"], done["two"]
            assert one.lost == two.lost == 0
            assert one.scan["frames"]["duplicate"] > 0
            assert (one.scan["state"], one.scan["frames"]["received"]) == ("finished", 64)
            np.testing.assert_array_equal(last(client, one.scan), whole(client, pattern))
            missing = [place for place in range(64) if place not in two.sent]
            assert two.scan["frames"]["missing"] == len(missing) > 0
            mask = np.zeros(moved.shape, np.uint8)
            mask[missing] = 1
            same = whole(client, RawScan(np.where(mask, 0, moved), None, "", "", mask=mask))
            np.testing.assert_array_equal(last(client, two.scan), same)
        np.save(tmp_path / "curve.npy", pattern)
        shown = command(service, "scan", "replay", str(tmp_path / "curve.npy"), "--rate", "100", "--refine", REFINE)
        assert "64 frames sent" in shown
        assert "64 received, 0 lost" in shown
        assert "The peak is in frame" in shown
        scan = next(line.split()[1] for line in shown.splitlines() if line.startswith("scan "))
        assert "finished" in command(service, "scan", "show", scan)
        assert json.loads(command(service, "scan", "show", scan, "--json"))["id"] == scan


def command(service: Service, *arguments: str) -> str:
    """What a command prints."""
    environment = os.environ | {"INPHASE_URL": service.url, "INPHASE_API_KEY": KEY}
    done = subprocess.run([*INPHASE, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_killed_service_loses_no_frame(tmp_path: Path, models: Path, pattern: NDArray[np.uint32]) -> None:
    """SIGKILL in the middle: every frame that was acknowledged is there afterwards, those whose answer was lost come
    again, and the last image is that of the file.
    """
    with running(tmp_path / "state", models) as first:
        first.until_workers()
        with first.client() as client:
            scan = client.open_scan(pattern[0], len(pattern), refine=REFINE)["id"]
            for begin in range(0, 40, 8):
                client.add_frames(scan, list(range(begin, begin + 8)), list(pattern[begin : begin + 8]))
            until(lambda: client.scan(scan)["looks"])
        first.process.kill()
        first.nobody_left(30)
    with running(tmp_path / "state", models) as second, second.client() as client:
        assert client.scan(scan)["frames"]["received"] == 40
        again = client.add_frames(scan, list(range(32, 64)), list(pattern[32:]))
        assert again["duplicate"] == list(range(32, 40))
        assert again["total"] == 64
        client.finish_scan(scan)
        events = list(client.follow_scan(scan))
        assert [event.data["state"] for event in events if event.kind == "state"] == ["open", "finishing", "finished"]
        looks = [event.data for event in events if event.kind == "look"]
        assert looks[-1]["final"]
        assert any(event.kind == "frames" and event.data["received"] == 64 for event in events)
        np.testing.assert_array_equal(last(client, client.scan(scan)), whole(client, pattern))
