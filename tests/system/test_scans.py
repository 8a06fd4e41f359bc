"""Live scans with real processes: replays, two at once, and services and workers that are killed in the middle."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.client import Client, Document
from inphase.formats import RawScan
from inphase.live.replay import Plan
from tests.service.conftest import KEY
from tests.system.serving import INPHASE, Service, running, until

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
    look = document["looks"][0]
    assert (look["state"], look["final"]) == ("succeeded", True), look["reason"]
    return client.array(look["job"], "object")


def command(service: Service, *arguments: str) -> str:
    """What a command prints."""
    environment = os.environ | {"INPHASE_URL": service.url, "INPHASE_API_KEY": KEY}
    done = subprocess.run([*INPHASE, *arguments], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def send(service: Service, scan: str, pattern: Frames, places: list[int]) -> Document:
    """A batch, from a client of its own."""
    with service.client() as client:
        return client.add_frames(scan, places, [pattern[place] for place in places])


def test_two_scans_live_through_the_death_of_worker_and_service(tmp_path: Path, models: Path, pattern: Frames) -> None:
    """Two at once, one in order with frames that come twice, one shuffled with frames that never come; SIGKILL for the
    worker, then for the service. Every frame that was acknowledged is there afterwards, those whose answer may have
    been lost come again, and the last images are those of the files.
    """
    other = np.roll(pattern, 3, axis=1)
    rough = Plan(shuffle=True, drop=0.1, seed=2).places(64)
    with running(tmp_path / "state", models) as first:
        first.until_workers()
        with first.client() as client:
            one, two = (
                str(client.open_scan(frames[0], 64, name=name, refine=REFINE)["id"])
                for name, frames in (("one", pattern), ("two", other))
            )
            parts = [(one, pattern, list(range(40))), (two, other, rough[:30])]
            with ThreadPoolExecutor(2) as threads:
                list(threads.map(lambda part: send(first, *part), parts))
            until(lambda: client.scan(one)["looks"])
            os.kill(first.worker().pid, signal.SIGKILL)
            until(lambda: client.scan(one)["looks"][-1]["state"] == "succeeded")
        first.process.kill()
        first.nobody_left(30)
    with running(tmp_path / "state", models) as second, second.client() as client:
        assert [client.scan(scan)["frames"]["received"] for scan in (one, two)] == [40, 30]
        again = send(second, one, pattern, list(range(32, 64)))
        assert (again["duplicate"], again["total"]) == (list(range(32, 40)), 64)
        send(second, two, other, rough[30:])
        for scan in (one, two):
            client.finish_scan(scan)
        events = list(client.follow_scan(one))
        assert [event.data["state"] for event in events if event.kind == "state"] == ["open", "finishing", "finished"]
        assert [event.data["final"] for event in events if event.kind == "look"][-1]
        assert any(event.kind == "frames" and event.data["received"] == 64 for event in events)
        np.testing.assert_array_equal(last(client, client.scan(one)), whole(client, pattern))
        *_, end = client.follow_scan(two)
        assert end.data["state"] == "finished"
        missing = sorted(set(range(64)) - set(rough))
        assert client.scan(two)["frames"]["missing"] == len(missing) > 0
        mask = np.zeros(other.shape, np.uint8)
        mask[missing] = 1
        same = whole(client, RawScan(np.where(mask, 0, other), None, "", "", mask=mask))
        np.testing.assert_array_equal(last(client, client.scan(two)), same)
        np.save(tmp_path / "curve.npy", pattern)
        shown = command(second, "scan", "replay", str(tmp_path / "curve.npy"), "--rate", "200", "--refine", REFINE)
        assert "64 frames sent" in shown
        assert "64 received, 0 lost" in shown
        assert "the peak seems to be passed" in shown
