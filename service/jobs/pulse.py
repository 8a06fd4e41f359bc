"""Whether Redis takes jobs now, found out when somebody asks, by a write that changes nothing; and, all the time,
whether it answers at all: a Redis that hangs keeps its connections open, and every call waits for it.
"""

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from typing import Final

import redis

from service.jobs.connection import check_policy, connect_async, translated
from service.jobs.errors import NoRedisError, QueueRefusedError, QueueUnavailableError
from service.jobs.scripts import PREFIX

logger = logging.getLogger(__name__)

_PATIENCE_S: Final = 0.03  # an answer that takes longer is for the next one who asks
_HOPE_S: Final = 0.2  # the same where the last answer was a bad one, which may be over
_EVERY_S: Final = 0.25
_LATELY_S: Final = 0.5
_SILENT_S: Final = 0.4
_STALLED_S: Final = 0.1  # in which an answer is heard that lay there while this process stood still
_SILENCE: Final = "Redis does not answer, and its connections are open: it hangs, or its host does"


@dataclass(frozen=True)
class Beat:
    """What Redis said last. up: it answers and takes jobs. refused: it answers and takes none.
    silent: it is there and does not answer. why: where it is not up.
    """

    up: bool
    refused: bool = False
    silent: bool = False
    why: str | None = None


class Pulse:
    """The pulse of one Redis. Belongs to one event loop."""

    def __init__(self, url: str) -> None:
        self._client = connect_async(url, retries=1)
        self._asking: asyncio.Task[None] | None = None
        self._noted = -math.inf  # nothing was heard so far
        self.last = Beat(up=True)

    async def feel(self) -> Beat:
        """The answer of now, or the last one where Redis takes its time."""
        patience = _PATIENCE_S if self.last.up else _HOPE_S
        end = time.monotonic() + patience
        if self._asking is not None:  # it was asked before this moment
            await asyncio.wait({self._asking}, timeout=patience)
        await self._answer(max(0.0, end - time.monotonic()))
        return self.last

    async def lately(self) -> Beat:
        """The last answer, at once, where it is a good one of the last half second; else as `feel`."""
        if self.last.up and time.monotonic() - self._noted < _LATELY_S:
            return self.last
        return await self.feel()

    async def run(self) -> None:
        """Notice a Redis that hangs, until cancelled."""
        while True:
            if not await self._answer(_SILENT_S) and not await self._answer(_STALLED_S):
                self._note(Beat(up=False, silent=True, why=_SILENCE))
            await asyncio.sleep(_EVERY_S)

    async def _answer(self, seconds: float) -> bool:
        """Ask, where nothing is asked; whether the answer came in time."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait({self._asking}, timeout=seconds)
        return bool(done)

    async def close(self) -> None:
        """Close the connection."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        await self._client.aclose()

    async def _ask(self) -> None:
        self._note(await self._beat())

    def _note(self, beat: Beat) -> None:
        if beat != self.last:
            logger.warning("%s", beat.why or "Redis takes jobs again")
        self.last, self._noted = beat, time.monotonic()

    async def _beat(self) -> Beat:
        try:
            with translated():
                # refused where a write that needs memory is;
                # an empty piece leaves nothing, neither in memory nor on disk
                await self._client.setrange(f"{PREFIX}pulse", 0, "")
                check_policy(await self._memory())
        except (QueueRefusedError, NoRedisError) as error:
            await self._client.connection_pool.disconnect(inuse_connections=False)  # its name may lead elsewhere by now
            return Beat(up=False, refused=True, why=str(error))
        except QueueUnavailableError as error:
            if isinstance(error.__cause__, redis.TimeoutError):
                return Beat(up=False, silent=True, why=_SILENCE)
            return Beat(up=False, why=str(error))
        except redis.RedisError as error:
            return Beat(up=False, refused=True, why=f"Redis answers with an error that is not expected: {error}")
        return Beat(up=True)

    async def _memory(self) -> dict[str, object]:
        try:
            return await self._client.info("memory")
        except redis.exceptions.NoPermissionError:
            return {}  # the site does not let us ask: it answers for the policy
