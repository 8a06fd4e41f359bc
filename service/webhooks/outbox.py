"""Which webhooks are to be sent, in Redis: the script that ends a job puts it here, so none is forgotten.

Keys: `inphase:webhooks`, a sorted set of job ids by the time at which the next attempt is due; `webhook` and
`webhook_attempts` of `job:<id>`.
"""

from dataclasses import dataclass
from typing import Any, Final, cast

from service.jobs.connection import connect, translated
from service.jobs.scripts import COMMON, WEBHOOKS

_LEASE_S: Final = 60.0  # a process that dies over an attempt leaves it to another one after so long


@dataclass(frozen=True)
class Due:
    """An attempt that is to be made now. attempt: its number, from 1."""

    job_id: str
    url: str
    attempt: int


class Outbox:
    """Every method blocks for about 0.1 ms. Raises QueueUnavailableError where Redis does not answer."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._scripts = {name: self._client.register_script(COMMON + body) for name, body in _SCRIPTS.items()}

    def take(self, most: int) -> list[Due]:
        """At most so many that are due; no other process gets them while they are being sent."""
        return [
            Due(job.decode(), url.decode(), int(attempt)) for job, url, attempt in self._run("take", most, _LEASE_S)
        ]

    def done(self, job_id: str) -> None:
        """It was received, or is given up."""
        with translated(self._client):
            self._client.zrem(WEBHOOKS, job_id)

    def later(self, job_id: str, delay_s: float) -> None:
        """Try again after so many seconds, unless the job is forgotten by then."""
        self._run("later", job_id, delay_s)

    def count(self) -> int:
        """How many are still to be received."""
        with translated(self._client):
            return self._client.zcard(WEBHOOKS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run(self, name: str, *args: str | float) -> Any:
        with translated(self._client):
            return cast(Any, self._scripts[name](args=args))


_SCRIPTS: Final = {
    "take": f"""
local found = {{}}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', '{WEBHOOKS}', '-inf', now(), 'LIMIT', 0, ARGV[1])) do
    redis.call('ZADD', '{WEBHOOKS}', string.format('%.6f', now() + ARGV[2]), id)
    local attempt = redis.call('HINCRBY', job(id), 'webhook_attempts', 1)
    found[#found + 1] = {{id, redis.call('HGET', job(id), 'webhook'), attempt}}
end
return found
""",
    "later": f"""
redis.call('ZADD', '{WEBHOOKS}', 'XX', string.format('%.6f', now() + ARGV[2]), ARGV[1])
""",
}
