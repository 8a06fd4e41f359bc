"""Sees to live scans: at once when frames have come or data were read, and every so often besides."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio.to_thread

from service.jobs.errors import QueueUnavailableError
from service.logs import log
from service.scans.live import LiveScans

_OFTEN_S: Final = 0.2  # what another service or a worker has done is found so soon
_REST: Final = 4.0  # times as long as the last attendance took: frames that come singly cost no more than a fifth of it


class Attendance:
    """One a service. news: set when something has happened to a scan here. read: tells who reads the data of jobs that
    there may be a look to be read.
    """

    def __init__(self, live: LiveScans, news: asyncio.Event, read: Callable[[], None]) -> None:
        self._live, self._news, self._read = live, news, read

    async def run(self) -> None:
        """Attend to all scans until cancelled."""
        while True:
            self._news.clear()
            begun = time.monotonic()
            try:
                await anyio.to_thread.run_sync(self._live.attend_all)
                self._read()
            except QueueUnavailableError as error:
                log.warning("live scans wait", why=str(error))
            except Exception:  # this task is the only one that looks
                log.exception("live scans wait")
            await asyncio.sleep(min(_OFTEN_S, _REST * (time.monotonic() - begun)))
            with suppress(TimeoutError):
                async with asyncio.timeout(_OFTEN_S):
                    await self._news.wait()
