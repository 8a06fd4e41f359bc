"""The pulse of Redis: a good answer of late is enough for a probe, and a bad one never is."""

from unittest.mock import AsyncMock

import pytest

from service.jobs import pulse
from service.jobs.pulse import Beat, Pulse

GOOD = Beat(up=True)
BAD = Beat(up=False, refused=True, why="it takes no jobs")


@pytest.mark.parametrize(
    ("answer", "kept_s", "asked"),
    [(GOOD, 60.0, 1), (GOOD, 0.0, 3), (BAD, 60.0, 3)],
    ids=["good and of late", "good and old", "bad"],
)
async def test_only_a_good_answer_of_late_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, away: str, answer: Beat, kept_s: float, asked: int
) -> None:
    """Three probes ask Redis once while its answer is good and young, and each time otherwise; the first one asks."""
    monkeypatch.setattr(pulse, "_LATELY_S", kept_s)
    felt = Pulse(away)
    beat = AsyncMock(return_value=answer)
    monkeypatch.setattr(felt, "_beat", beat)
    assert [await felt.lately() for _ in range(3)] == [answer] * 3
    assert beat.await_count == asked
    await felt.close()
