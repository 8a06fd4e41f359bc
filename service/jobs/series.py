"""A series of scans in Redis: which scans, and which became which job.

Keys, all below `inphase:`:
    series, series:owner:<owner>, series:proposal:<proposal>
                                  sorted sets of ids by `sequence`
    series:open                   set of ids whose scans have not all become jobs yet
    series:<id>                   hash: owner, proposal, key, request_id, traceparent, created, sequence, total,
                                  order (JSON of what was asked), cancelled, cancelled_by
    series:<id>:jobs              hash: scan -> its job, written by the script that creates the job
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, Final, cast

from service.jobs.connection import connect, translated
from service.jobs.entry import REMEMBERED_S, Origin, Party, Repeatable
from service.jobs.errors import KeyReusedError, UnknownSeriesError
from service.jobs.listing import newest, party_indexes
from service.jobs.scripts import COMMON, PREFIX

_KEY: Final = f"{PREFIX}series"
_ORIGIN: Final = tuple(part.name for part in fields(Origin))


@dataclass(frozen=True)
class SeriesRecord:
    """One series as Redis knows it. created: seconds since the epoch.
    order: JSON of what was asked, its scans included.

    jobs: scan -> job id.
    """

    series_id: str
    sequence: int
    origin: Origin
    created: float
    total: int
    order: bytes
    cancelled: bool
    jobs: dict[int, str]
    cancelled_by: str = ""

    @property
    def owner(self) -> str:
        """Whose series it is."""
        return self.origin.owner

    def waiting(self) -> list[int]:
        """Scans that are no job yet, in order."""
        return [scan for scan in range(self.total) if scan not in self.jobs]


class SeriesRecords:
    """The records of all series. Blocks and raises as `service.jobs.record.Records`;
    UnknownSeriesError for an unknown id.
    """

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._scripts = {name: self._client.register_script(COMMON + body) for name, body in _SCRIPTS.items()}

    def create(
        self, series_id: str, order: bytes, total: int, origin: Origin, repeatable: Repeatable | None = None
    ) -> SeriesRecord:
        """Accept a series. The same request again gives the first one back; KeyReusedError for another with its key."""
        slot, digest = (repeatable.slot(origin.owner), repeatable.digest) if repeatable else ("", "")
        told = [series_id, order, total, slot, digest, REMEMBERED_S, *astuple(origin)]
        with translated(self._client):
            what, found = cast(list[bytes], self._scripts["create"](args=told))
        if what == b"conflict":
            raise KeyReusedError(
                f"this Idempotency-Key came before with another request, which became series {found.decode()}: use a "
                "new key"
            )
        return self.get(found.decode())

    def get(self, series_id: str) -> SeriesRecord:
        """The record of a series."""
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            for part in ("", ":jobs"):
                pipe.hgetall(f"{_KEY}:{series_id}{part}")
            held, jobs = cast(list[dict[bytes, bytes]], pipe.execute())
        if not held:
            raise UnknownSeriesError(f"there is no series {series_id}: the id is wrong, or the series has expired")
        return SeriesRecord(
            series_id=series_id,
            sequence=int(held[b"sequence"]),
            origin=Origin(**{part: held.get(part.encode(), b"").decode() for part in _ORIGIN}),
            created=float(held[b"created"]),
            total=int(held[b"total"]),
            order=held[b"order"],
            cancelled=b"cancelled" in held,
            cancelled_by=held.get(b"cancelled_by", b"").decode(),
            jobs={int(scan): job.decode() for scan, job in jobs.items()},
        )

    def page(self, party: Party | None, cursor: str | None, limit: int) -> tuple[list[SeriesRecord], str | None]:
        """Series, newest first, of one party or of all; and the cursor of the next page."""
        indexes = (_KEY,) if party is None else party_indexes(_KEY, party)
        ids = newest(self._client, indexes, f"({int(cursor)}" if cursor else "+inf", limit)
        found = []
        for name, _ in ids:
            try:
                found.append(self.get(name.decode()))
            except UnknownSeriesError:
                continue  # it expired while we looked
        return found, str(found[-1].sequence) if found and len(ids) == limit else None

    def exists(self, series_id: str) -> bool:
        """Whether there is such a series."""
        with translated(self._client):
            return bool(self._client.exists(f"{_KEY}:{series_id}"))

    def open(self) -> list[str]:
        """Series whose scans have not all become jobs, the oldest first."""
        with translated(self._client):
            ids = cast(set[bytes], self._client.smembers(f"{_KEY}:open"))
            pipe = self._client.pipeline(transaction=False)
            for name in ids:
                pipe.zscore(_KEY, name)
            order = pipe.execute()
        return [name.decode() for _, name in sorted(zip((score or 0.0 for score in order), ids, strict=True))]

    def ended_before(self, moment: float) -> list[str]:
        """Series that were created before this time, whose scans all became jobs, and whose jobs are all forgotten."""
        with translated(self._client):
            ids = cast(Sequence[bytes], self._client.zrange(_KEY, 0, -1))
            still = cast(set[bytes], self._client.smembers(f"{_KEY}:open"))
        found = []
        for name in (name.decode() for name in ids if name not in still):
            with translated(self._client):
                left = self._client.zcard(f"{PREFIX}jobs:series:{name}")
                created = cast(bytes | None, self._client.hget(f"{_KEY}:{name}", "created"))
            if not left and created is not None and float(created) < moment:
                found.append(name)
        return found

    def close_series(self, series_id: str) -> None:
        """All scans have become jobs."""
        with translated(self._client):
            self._client.srem(f"{_KEY}:open", series_id)

    def cancel(self, series_id: str, by: str = "") -> bool:
        """From here on no job joins the series. False where it was cancelled before. by: who asks."""
        with translated(self._client):
            return bool(self._scripts["cancel"](args=[series_id, by]))

    def remove(self, series_id: str) -> None:
        """Forget a series."""
        self._run("remove", series_id)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run(self, name: str, *args: str) -> Any:
        with translated(self._client):
            return self._scripts[name](args=args)


_SCRIPTS: Final = {
    "create": f"""
local id, order, total, slot, request, kept_s, owner, proposal, api_key, request_id, traceparent = unpack(ARGV)
local key = '{_KEY}:' .. id
if redis.call('EXISTS', key) == 1 then return {{'created', id}} end
if slot ~= '' then
    local earlier = redis.call('HMGET', slot, 'request', 'series')
    if earlier[1] and earlier[2] and redis.call('EXISTS', '{_KEY}:' .. earlier[2]) == 1 then
        if earlier[1] == request then return {{'replayed', earlier[2]}} else return {{'conflict', earlier[2]}} end
    end
    redis.call('HSET', slot, 'request', request, 'series', id)
    redis.call('EXPIRE', slot, kept_s)
end
local sequence = redis.call('INCR', '{PREFIX}sequence')
redis.call('HSET', key, 'order', order, 'total', total, 'owner', owner, 'proposal', proposal, 'key', api_key,
    'request_id', request_id, 'traceparent', traceparent, 'sequence', sequence, 'created', now())
redis.call('ZADD', '{_KEY}', sequence, id)
redis.call('ZADD', '{_KEY}:owner:' .. owner, sequence, id)
if proposal ~= '' then redis.call('ZADD', '{_KEY}:proposal:' .. proposal, sequence, id) end
redis.call('SADD', '{_KEY}:open', id)
return {{'created', id}}
""",
    "cancel": f"""
local key = '{_KEY}:' .. ARGV[1]
redis.call('SREM', '{_KEY}:open', ARGV[1])
if redis.call('HSETNX', key, 'cancelled', now()) == 0 then return 0 end
redis.call('HSET', key, 'cancelled_by', ARGV[2])
return 1
""",
    "remove": f"""
local key = '{_KEY}:' .. ARGV[1]
local held = redis.call('HMGET', key, 'owner', 'proposal')
redis.call('DEL', key, key .. ':jobs')
redis.call('ZREM', '{_KEY}', ARGV[1])
if held[1] then redis.call('ZREM', '{_KEY}:owner:' .. held[1], ARGV[1]) end
if held[2] and held[2] ~= '' then redis.call('ZREM', '{_KEY}:proposal:' .. held[2], ARGV[1]) end
redis.call('SREM', '{_KEY}:open', ARGV[1])
""",
}
