"""Webhooks that wait in Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from service.jobs.state import JobState
from service.webhooks import outbox
from service.webhooks.outbox import Due, Outbox

URL = "https://hooks.example/"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A Redis of our own."""
    try:
        server = EmbeddedRedis(tmp_path / "redis")
        found = server.start()
    except NoRedisError as error:
        pytest.skip(str(error))
    yield found
    server.stop()


def test_what_has_ended_is_told_once_and_by_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it has ended, not before; by another process where the first dies over it; until it is received."""
    records, one, other = Records(url), Outbox(url), Outbox(url)
    records.create("a", b"{}", asked="{}", reader="r", webhook=URL)
    records.create("b", b"{}", asked="{}", reader="r")
    assert one.take(9) == []
    for job in "ab":
        records.conclude(job, "r", JobState.SUCCEEDED, result="result-0")
    monkeypatch.setattr(outbox, "_LEASE_S", 0.0)
    assert one.take(9) == [Due("a", URL, 1)]
    monkeypatch.undo()
    assert other.take(9) == [Due("a", URL, 2)]  # the first did not say what became of it
    assert one.take(9) == []
    other.later("a", 0.0)
    assert one.take(9) == [Due("a", URL, 3)]
    one.done("a")
    assert one.count() == 0
    one.later("a", 0.0)
    assert one.take(9) == []


def test_a_cancelled_job_is_told_and_a_forgotten_one_is_not(url: str) -> None:
    """However it ends."""
    records, waiting = Records(url), Outbox(url)
    for job in "ab":
        records.create(job, b"{}", asked="{}", webhook=URL)
        records.request_cancel(job)
    records.remove("a")
    assert [due.job_id for due in waiting.take(9)] == ["b"]
