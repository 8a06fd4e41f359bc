"""Sends webhooks beside everything else: nothing waits for a receiver, and one that fails is tried again.

No redirect is followed, no proxy is asked, and what the receiver answers is not read beyond its status.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, urlsplit

import anyio.to_thread
import httpx
from prometheus_client import Counter

from service.errors import ApiError
from service.jobs.errors import QueueUnavailableError
from service.logs import log
from service.webhooks import signature
from service.webhooks.allowed import Allowed, host_of, port_of
from service.webhooks.outbox import Due, Outbox

DELAYS_S: Final = (1.0, 5.0, 30.0, 150.0, 900.0, 3600.0)  # after the first attempt, the second, ...
_LOOK_S: Final = 0.5
_ANSWER_S: Final = 10.0
_AT_ONCE: Final = 16
_GONE: Final = 410  # the receiver wants no more


class Courier:
    """Sends what is due in an outbox.

    body: of a job by its id; None where the job is forgotten. outcomes: counted by `outcome`.
    """

    def __init__(
        self,
        outbox: Outbox,
        allowed: Allowed,
        key: bytes,
        body: Callable[[str], bytes | None],
        outcomes: Counter,
        delays_s: tuple[float, ...] = DELAYS_S,
    ) -> None:
        self._outbox, self._allowed, self._key, self._body = outbox, allowed, key, body
        self._outcomes, self._delays_s = outcomes, delays_s
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            async with httpx.AsyncClient(timeout=_ANSWER_S, follow_redirects=False, trust_env=False) as client:
                while True:
                    try:
                        room = _AT_ONCE - len(self._sending)
                        for due in await anyio.to_thread.run_sync(self._outbox.take, room) if room else ():
                            task = asyncio.create_task(self._send(client, due))
                            self._sending.add(task)
                            task.add_done_callback(self._sending.discard)
                    except QueueUnavailableError as error:
                        log.warning("webhooks wait", why=str(error))
                    except Exception:  # nobody else sends them
                        log.exception("webhooks wait")
                    await asyncio.sleep(_LOOK_S)
        finally:
            for task in self._sending:
                task.cancel()  # another attempt is made when its lease is over
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def _send(self, client: httpx.AsyncClient, due: Due) -> None:
        try:
            status, why = await self._attempt(client, due)
        except (OSError, httpx.HTTPError, ApiError) as error:
            status, why = 0, str(error) or type(error).__name__
        about = {"job": due.job_id, "host": urlsplit(due.url).hostname, "attempt": due.attempt}
        try:
            if 200 <= status < 300:
                self._outcomes.labels("received").inc()
                log.info("webhook received", **about, status=status)
                await anyio.to_thread.run_sync(self._outbox.done, due.job_id)
            elif status == _GONE or due.attempt > len(self._delays_s):
                self._outcomes.labels("given up").inc()
                log.error("webhook given up", **about, why=why)
                await anyio.to_thread.run_sync(self._outbox.done, due.job_id)
            else:
                self._outcomes.labels("failed").inc()
                delay = self._delays_s[due.attempt - 1] * random.uniform(0.8, 1.2)  # no secret
                log.warning("webhook failed", **about, why=why, again_in_s=round(delay, 1))
                await anyio.to_thread.run_sync(self._outbox.later, due.job_id, delay)
        except QueueUnavailableError as error:
            log.warning("webhooks wait", why=str(error))

    async def _attempt(self, client: httpx.AsyncClient, due: Due) -> tuple[int, str]:
        """The receiver's status, and what is said of it. Raises OSError, httpx.HTTPError, ApiError."""
        body = await anyio.to_thread.run_sync(self._body, due.job_id)
        if body is None:
            return _GONE, "the job is forgotten"
        self._allowed.check(due.url)  # the list may be another one by now
        parts = urlsplit(due.url)
        address = await self._allowed.resolve(parts)
        request = client.build_request(
            "POST",
            _at(parts, address),
            content=body,
            headers={
                "Host": parts.netloc,
                "Content-Type": "application/json",
                "User-Agent": "inphase",
                **signature.headers(self._key, due.job_id, int(time.time()), body),
            },
            extensions={"sni_hostname": host_of(parts)},  # the certificate is the name's, not the address's
        )
        answer = await client.send(request, stream=True)
        await answer.aclose()
        return answer.status_code, f"it answered {answer.status_code}"


def _at(parts: SplitResult, address: str) -> str:
    """The same at the address that was looked at, so that DNS cannot say another one when it is connected to."""
    bracketed = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=f"{bracketed}:{port_of(parts)}", fragment="").geturl()
