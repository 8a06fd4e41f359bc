"""How an event stream is read; test_blocking.py follows whole streams."""

import pytest

from inphase.client.errors import MissingError, UnreachableError
from inphase.client.events import WAITING, Deadline, Event, Following, Lines


def test_lines_become_events() -> None:
    """An empty line ends one; comments are silence, but for the one that says so; the rest is passed over."""
    stream = [
        ": inphase", "retry: 2000", "",
        "event: state", "id: 1-0", 'data: {"state": "failed", "reason": "no memory"}', "",
        ": waiting", "",
        "event: leaving", "data: {}", "",
        "event: state", "id:2-0", 'data:{"state": "queued"}', "",
    ]  # fmt: skip
    lines = Lines()
    found = [event for line in stream if (event := lines.event(line)) is not None]
    failed = Event("1-0", "state", {"state": "failed", "reason": "no memory"})
    assert found == [failed, WAITING, Event("2-0", "state", {"state": "queued"})]
    assert [event.ends for event in found] == [True, False, False]


def test_a_stream_is_lost_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the error is the caller's; an event in between begins the minute anew; what is unknown stays so."""
    now = 100.0
    monkeypatch.setattr("inphase.client.events.time.monotonic", lambda: now)
    following, away = Following(), UnreachableError("away", sent=True)
    following.lost(away)
    now = 150.0
    following.heard(Event("3-0", "state", {"state": "running"}))
    now = 170.0
    following.lost(away)
    now = 229.0
    following.lost(away)
    now = 231.0
    with pytest.raises(UnreachableError):
        following.lost(away)
    assert following.last == "3-0"
    with pytest.raises(MissingError):
        Following().lost(MissingError("no such job", 404))


def test_a_deadline_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one there is no end."""
    now = 100.0
    monkeypatch.setattr("inphase.client.events.time.monotonic", lambda: now)
    deadline, never = Deadline("x", 5.0), Deadline("x", None)
    deadline.check()
    now = 106.0
    never.check()
    with pytest.raises(TimeoutError, match="job x has not ended within 5 s"):
        deadline.check()
