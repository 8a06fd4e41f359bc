"""What the command line does with a job on a service, against answers made here; tests/system has the real service."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from inphase.client import Client
from inphase.errors import InphaseError
from inphase.formats.reading import Reading
from inphase.imaging.options import Options
from service.cli import batch, jobs
from service.cli.remote import reconstructor
from service.cli.terminal import Advance
from tests.streams import sent

FIRST = {"number": 1, "kind": "network", "final": False, "result": "/v1/jobs/x/result?revision=1"}
PROGRESS = {"iteration": 3, "total": 10, "chi2": None, "support_voxels": None, "stage": "HIO", "preview": None}


def events(end: str, reason: str = "") -> bytes:
    """All that can happen to a job, up to its end."""
    states = [
        (f"{n}-0", "state", {"state": s, "reason": ""}) for n, s in enumerate(("accepted", "reading", "queued"), 1)
    ]
    rest = [
        ("2-1", "revision", FIRST),
        ("4-0", "state", {"state": "running", "reason": ""}),
        ("5-0", "progress", PROGRESS),
    ]
    return sent(*states[:2], rest[0], states[2], *rest[1:], ("6-0", "state", {"state": end, "reason": reason}))


def service(first: str, end: str, reason: str = "") -> httpx.MockTransport:
    """A service that accepts one job, whose state is `first` in the answer, and brings it to its end."""

    def handler(request: httpx.Request) -> httpx.Response:
        document = {"id": "x", "state": end, "reason": reason, "recorded": True}
        match request.method, request.url.path:
            case "POST", _:
                return httpx.Response(202, json=document | {"state": first, "reason": ""})
            case _, "/v1/jobs/x/events":
                return httpx.Response(200, content=events(end, reason))
            case _, "/v1/jobs/x":
                return httpx.Response(200, json=document)
        return httpx.Response(200, content=b"the result")

    return httpx.MockTransport(handler)


def answered_by(transport: httpx.MockTransport) -> Any:
    """In place of Client."""
    return lambda url, key="": Client("http://inphase", transport=transport)


@pytest.mark.parametrize("first", ["accepted", "reading", "queued", "running"])
def test_a_job_is_followed_from_any_state(first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far it is when the call is answered, its end is waited for and its result fetched."""
    monkeypatch.setattr("inphase.client.Client", answered_by(service(first, "succeeded")))
    np.save(tmp_path / "scan.npy", np.ones((8, 9, 10), np.uint16))
    scan, told = batch.Scan(tmp_path / "scan.npy", str(tmp_path / "out.npz")), []

    def stage(name: str) -> Advance:
        return lambda done, total: told.append((name, done, total))

    with ExitStack() as held:
        reconstruct = reconstructor(Options(), Reading(), "", "", False, held)
        assert reconstruct(0, scan, stage, lambda: False)["state"] == "succeeded"
    assert (tmp_path / "out.npz").read_bytes() == b"the result"
    assert ("refining", 4, 10) in told


def test_a_job_that_fails_while_it_is_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the command's error, and no file is written."""
    monkeypatch.setattr("inphase.client.Client", answered_by(service("accepted", "failed", "the scan is empty")))
    np.save(tmp_path / "scan.npy", np.ones((8, 9, 10), np.uint16))
    scan = batch.Scan(tmp_path / "scan.npy", str(tmp_path / "out.npz"))
    with ExitStack() as held:
        reconstruct = reconstructor(Options(), Reading(), "", "", False, held)
        with pytest.raises(InphaseError, match="failed: the scan is empty"):
            reconstruct(0, scan, lambda _: lambda *_: None, lambda: False)
    assert not (tmp_path / "out.npz").exists()


def test_jobs_follow_takes_revisions_as_they_come(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """--json prints them; without it the last state is told, and without a terminal all of them as lines."""
    monkeypatch.setattr(jobs, "Client", answered_by(service("accepted", "succeeded")))
    code, out, _ = inphase("jobs", "follow", "x", "--json")
    assert code == 0
    assert out.count('"event": "revision"') == 1
    assert out.count('"event": "state"') == 5
    monkeypatch.setattr(jobs, "Client", answered_by(service("accepted", "failed", "diverged")))
    code, out, err = inphase("jobs", "follow", "x")
    assert (code, out) == (1, "x failed diverged\n")
    told = ["accepted", "reading", "revision 1: network", "queued", "running", "failed: diverged"]
    assert err.splitlines()[: len(told)] == told  # the progress came too soon after the state


def test_jobs_are_deleted(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Each by a request of its own."""
    asked: list[tuple[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        return httpx.Response(204)

    monkeypatch.setattr(jobs, "Client", answered_by(httpx.MockTransport(handler)))
    assert inphase("jobs", "delete", "x", "y")[:2] == (0, "x deleted\ny deleted\n")
    assert asked == [("DELETE", "/v1/jobs/x/record"), ("DELETE", "/v1/jobs/y/record")]
