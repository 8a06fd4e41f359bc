"""How this process talks to Redis: clients that give up in time, and one error for all the ways in which Redis is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from service.jobs.errors import QueueUnavailableError

_SILENT_S: Final = 5.0  # a socket silent for so long is taken for dead


def connect(url: str, *, retries: int = 2) -> redis.Redis:
    """A client for `redis://`, `rediss://` or `unix://`. It connects on first use.

    retries: decides how long a call lasts when Redis is away: 2 give up
        within a tenth of a second when the connection is refused, 40 ride over a restart of half a minute.
    """
    return redis.Redis.from_url(url, retry=Retry(_backoff(), retries), socket_timeout=_SILENT_S)


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.02, cap=1.0)


def connect_async(url: str, *, retries: int = 2) -> redis.asyncio.Redis:
    """The same for asyncio. One for each call: a blocking read occupies its connection, and no loop may use another's."""
    retry = AsyncRetry(_backoff(), retries)
    return redis.asyncio.Redis.from_url(url, retry=retry, socket_timeout=_SILENT_S)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what redis-py raises when Redis is away, starting or out of disk into one error of ours."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError) as error:
        raise QueueUnavailableError(
            f"Redis does not answer ({error}): nothing was accepted, try again later"
        ) from error
    except redis.ResponseError as error:
        if str(error).startswith("MISCONF"):  # its disk is full or failing: it refuses writes
            raise QueueUnavailableError(f"Redis cannot write to its disk ({error}): nothing was accepted") from error
        raise
