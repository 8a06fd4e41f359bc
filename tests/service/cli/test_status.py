"""`inphase status`, against answers made here; tests/system has the real service."""

import json
from typing import Any

import httpx
import pytest

from inphase.client import Client
from service.cli import status

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "queue": {"up": True, "why": None, "jobs": {"queued": 3, "running": 1, "failed": 0}, "workers": ["a:1", "b:2"]},
}


def answered(monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]) -> None:
    """A service that is so."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=content))
    monkeypatch.setattr(status, "Client", lambda url, key="": Client("http://inphase", transport=transport))


def test_the_status_is_told(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """What there is of each state, and how many workers; what is not there is left out."""
    answered(monkeypatch, STATUS)
    code, out, _ = inphase("status")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert {"version 0.1.0", "queue takes jobs", "jobs 3 queued, 1 running", "workers 2"} <= set(lines)
    assert json.loads(inphase("status", "--json")[1]) == STATUS


def test_a_queue_that_is_away_says_why(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """In the words of the service."""
    answered(monkeypatch, STATUS | {"queue": {"up": False, "why": "Redis is away", "jobs": {}, "workers": []}})
    code, out, _ = inphase("status")
    assert code == 0
    assert "away: Redis is away" in out


def test_a_service_that_is_not_there(inphase) -> None:  # type: ignore[no-untyped-def]
    """Exit code 3, as of every command."""
    code, _, err = inphase("status", "--url", "http://127.0.0.1:9")
    assert code == 3
    assert "cannot be reached" in err
