"""How soon something becomes of what has happened to a live scan; what becomes of it is in test_scans of the API."""

import asyncio
import time

import pytest

from service.jobs.errors import QueueUnavailableError
from service.scans import attendance
from service.scans.attendance import Attendance


class Live:
    """Live scans that need no attention; attending takes so long."""

    def __init__(self, seconds: float = 0.0, away: int = 0) -> None:
        self.times: list[float] = []
        self._seconds, self._away = seconds, away

    def attend_all(self) -> None:
        """Raises QueueUnavailableError the first times."""
        self.times.append(time.monotonic())
        time.sleep(self._seconds)
        if len(self.times) <= self._away:
            raise QueueUnavailableError("Redis is away")


async def attended(live: Live, news: asyncio.Event, seconds: float) -> int:
    """How often the reader was told, in so many seconds."""
    told: list[None] = []
    task = asyncio.create_task(Attendance(live, news, lambda: told.append(None)).run())  # type: ignore[arg-type]
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return len(told)


async def test_news_are_attended_to_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next look around, which here comes after a minute."""
    monkeypatch.setattr(attendance, "_OFTEN_S", 60.0)
    live, news = Live(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.5, news.set)
    begun = time.monotonic()
    assert await attended(live, news, 1.5) == 2
    assert live.times[1] - begun == pytest.approx(0.5, abs=0.4)  # a busy machine is late


async def test_without_news_it_looks_around_every_so_often() -> None:
    """Also after Redis was away; the reader is told when it was not."""
    live = Live(away=2)
    told = await attended(live, asyncio.Event(), 1.5)
    assert 3 <= len(live.times) <= 8
    assert told >= len(live.times) - 3


async def test_news_that_never_end_leave_time_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four parts of five, however often frames come."""
    monkeypatch.setattr(attendance, "_OFTEN_S", 60.0)
    live, news = Live(0.05), asyncio.Event()

    async def hurry() -> None:
        while True:
            news.set()
            await asyncio.sleep(0.001)

    hurrying = asyncio.create_task(hurry())
    await attended(live, news, 2.0)
    hurrying.cancel()
    assert 2 <= len(live.times) <= 8
