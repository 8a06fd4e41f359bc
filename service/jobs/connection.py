"""How this process talks to Redis: clients that give up in time, and which of its answers mean "not for now"."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from service.jobs.errors import NoRedisError, QueueRefusedError, QueueUnavailableError

_SILENT_S: Final = 5.0  # a socket silent for so long is taken for dead
_SOCKET_PATH_MAX: Final = 107  # bytes that sun_path holds
_POLICY: Final = "noeviction"
_DRIVER: Final = redis.DriverInfo()  # else every client looks through the files of redis-py for its version

# The errors with which a Redis that answers refuses for now, by their first word: none of them is the request's fault,
# and all of them pass when somebody has seen to Redis.
_REFUSALS: Final = {
    "READONLY": "it is a read-only replica: after a failover another host is the master",
    "OOM": "it has no memory left (maxmemory)",
    "MISCONF": "it cannot write to its disk",
    "NOREPLICAS": "too few of its replicas live",
    "MASTERDOWN": "it is a replica whose master does not answer",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is being rearranged",
    "UNBLOCKED": "it has just become a replica",
    "BUSY": "a script occupies it",
    "NOAUTH": "it asks for a password (REDIS_URL or INPHASE_REDIS_PASSWORD)",
    "WRONGPASS": "it does not know this user and password",
    "NOPERM": "its access rules do not allow it",
}
# Redis 7 begins the error of a script with the word, Redis 6 has it inside: "ERR Error running script ...:
# -READONLY ..."
_WORD: Final = re.compile(rf"(?:^|: |-)({'|'.join(_REFUSALS)})\b")


def connect(url: str, *, retries: int = 2) -> redis.Redis:
    """A client for `redis://`, `rediss://` or `unix://`. It connects on first use. Raises NoRedisError for no such URL.

    retries: decides how long a call lasts when Redis is away: 2 give up
        within a tenth of a second when the connection is refused, 40 ride over a restart of half a minute.
    """
    _check(url)
    return redis.Redis.from_url(url, retry=Retry(_backoff(), retries), socket_timeout=_SILENT_S, driver_info=_DRIVER)


def _backoff() -> ExponentialWithJitterBackoff:
    return ExponentialWithJitterBackoff(base=0.02, cap=1.0)


def connect_async(url: str, *, retries: int = 2) -> redis.asyncio.Redis:
    """The same for asyncio. One for each call: a blocking read occupies its connection,
    and no loop may use another's.
    """
    _check(url)
    retry = AsyncRetry(_backoff(), retries)
    return redis.asyncio.Redis.from_url(url, retry=retry, socket_timeout=_SILENT_S, driver_info=_DRIVER)


def _check(url: str) -> None:
    """Refuse what redis-py refuses with a ValueError, and what fails only when it connects."""
    try:
        redis.connection.parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise NoRedisError(f"the URL of Redis (REDIS_URL) cannot be used: {error}") from None
    parts = urlsplit(url)
    if parts.scheme == "unix" and len(path := unquote(parts.path).encode()) > _SOCKET_PATH_MAX:
        raise NoRedisError(
            f"the socket {path.decode()} of Redis has a path of {len(path)} bytes, and a socket's path has at most "
            f"{_SOCKET_PATH_MAX}: put it in a folder with a shorter path"
        )


def refusal(error: redis.RedisError) -> str | None:
    """Why Redis refuses for now, where that is what its answer says; None for any other error."""
    word = getattr(error, "status_code", None)  # redis-py cuts off the words that it knows
    if word not in _REFUSALS:
        found = _WORD.search(str(error))
        word = found[1] if found else None
    return None if word is None else f"{_REFUSALS[word]} ({word})"


@contextmanager
def translated(client: redis.Redis | None = None) -> Iterator[None]:
    """Turn what redis-py raises when Redis is away, starting, or refuses into errors of ours.

    client: gives up its idle connections where Redis refuses: after a failover its name leads to another host.
    """
    try:
        yield
    except redis.RedisError as error:
        if why := refusal(error):
            if client is not None:
                client.connection_pool.disconnect(inuse_connections=False)
            raise QueueRefusedError(f"Redis refuses: {why}; nothing was accepted, try again later") from error
        if isinstance(error, redis.ConnectionError | redis.TimeoutError):
            raise QueueUnavailableError(
                f"Redis does not answer ({error}): nothing was accepted, try again later"
            ) from error
        raise


def check_policy(memory: dict[str, Any]) -> None:
    """Refuse a Redis that forgets jobs when its memory is full. memory: its INFO. Raises NoRedisError."""
    policy = memory.get("maxmemory_policy", _POLICY)
    if policy != _POLICY:
        raise NoRedisError(
            f"this Redis has the eviction policy {policy}: with its memory full it would forget accepted jobs. "
            f"Set `maxmemory-policy {_POLICY}` in its configuration"
        )


def refuse_eviction(url: str) -> None:
    """Raise NoRedisError for a Redis that forgets jobs. One that is away, or does not tell, is asked again later."""
    with connect(url) as client:
        try:
            with translated(client):
                memory = client.info("memory")
        except QueueUnavailableError:
            return
    check_policy(memory)
