"""`inphase status`, against answers made here; tests/system has the real service."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from inphase.client import Client
from service.cli import status

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "queue": {"up": True, "why": None, "jobs": {"queued": 3, "running": 1, "failed": 0}, "workers": ["a:1", "b:2"]},
    "store_bytes": 40 * 2**20, "store_limit_bytes": 100 * 2**20, "bytes_in_flight": 0, "bytes_in_flight_limit": 2**30,
}  # fmt: skip


def answered(monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]) -> None:
    """A service that is so."""
    now = datetime.now(UTC).isoformat()

    def answer(request: httpx.Request) -> httpx.Response:
        jobs = {"jobs": [{"created": now}] * 3, "cursor": None}
        return httpx.Response(200, json=content if request.url.path == "/v1/status" else jobs)

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(status, "Client", lambda url, key="": Client("http://inphase", transport=transport))


def test_the_status_is_told(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """What there is of each state, and how many workers; what is not there is left out."""
    answered(monkeypatch, STATUS)
    code, out, _ = inphase("status")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert {"version 0.1.0", "queue takes jobs", "jobs 3 queued, 1 running", "workers 2"} <= set(lines)
    assert "store 40 MiB of 100 MiB" in lines
    assert "disk full in 2 days, at 3 jobs a day of 10 MiB, if none expires" in lines
    assert json.loads(inphase("status", "--json")[1]) == STATUS


def test_the_forecast_is_that_of_the_last_day() -> None:
    """60 MiB are left, and ten jobs a day take 10 MiB each; of very many jobs the newest tell the rate."""
    mib = 2**20
    assert "full in 0.6 days" in status.forecast(40 * mib, 100 * mib, 4, 10.0)
    assert "the oldest results make room" in status.forecast(100 * mib, 100 * mib, 4, 10.0)
    assert status.forecast(0, 100, 0, 0.0) == status.forecast(50, 100, 5, 0.0) == "no job has come in the last day"
    now = datetime.now(UTC)
    assert status.rate([now.isoformat()] * 7) == 7
    in_an_hour = [(now - timedelta(hours=number / 2000)).isoformat() for number in range(2001)]
    assert status.rate(in_an_hour) == pytest.approx(48_000, rel=0.01)


def test_a_service_without_a_queue_has_no_jobs(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """And a store that does not answer is told as such."""
    answered(monkeypatch, STATUS | {"queue": None, "store_bytes": None})
    code, out, _ = inphase("status")
    assert code == 0
    assert "does not work, or takes its time" in out
    assert "workers" not in out


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
