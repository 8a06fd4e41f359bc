"""A live scan in Redis: which frames have come, and which looks at them became which jobs.

A frame is recorded when it lies on the disk, and acknowledged when it is recorded. Keys, all below `inphase:`:
    scans, scans:owner:<owner>, scans:proposal:<proposal>
                                sorted sets of ids by `sequence`
    scans:open                  set of ids that frames may still come to, or whose last look has not ended
    scan:<id>                   hash: owner, proposal, key, request_id, created, sequence, order (JSON of what was
                                asked), state, reason, ended_by, touched, duplicate, outside, why_outside, ended, and
                                what was told last
    scan:<id>:frames            hash: place -> StoredFrame as JSON
    scan:<id>:positions         hash: place -> [row, column] as JSON, of a ptychographic scan
    scan:<id>:arrived, scan:<id>:placed
                                lists of the places of both, as they came
    scan:<id>:looks             hash: number, or "final" -> LookJob as JSON
    scan:<id>:events            stream, as that of a job
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any, Final, cast

from inphase.live.batch import Position
from service.jobs.connection import connect, connect_async, translated
from service.jobs.entry import REMEMBERED_S, Origin, Party, Repeatable
from service.jobs.errors import KeyReusedError, ScanClosedError, UnknownScanError
from service.jobs.events import Event, stream
from service.jobs.listing import newest, party_indexes
from service.jobs.scripts import COMMON, PREFIX
from service.jobs.state import ScanState

FINAL: Final = "final"  # the field of the last look
_KEY: Final = f"{PREFIX}scan"
_ORIGIN: Final = tuple(part.name for part in fields(Origin))
_EVENTS_KEPT: Final = 1024


@dataclass(frozen=True)
class StoredFrame:
    """Where a frame lies. digest: of its content. batch, index: name of a group in the store, and place in it.

    summary: numbers of it, as its kind of scan wants them.
    """

    place: int
    digest: str
    batch: str
    index: int
    summary: Mapping[str, float]


@dataclass(frozen=True)
class LookJob:
    """The job of a look. frames: that had come when it was asked for."""

    job_id: str
    frames: int


@dataclass(frozen=True)
class Counted:
    """What a scan has received. duplicate: frames that came again with the same content. outside: frames and positions
    that are none of the scan; why_outside: of the last of them. placed, placed_again: the same of positions.
    """

    received: int
    duplicate: int
    outside: int
    why_outside: str
    placed: int = 0
    placed_again: int = 0


@dataclass(frozen=True)
class ScanRecord:
    """One live scan as Redis knows it. created, touched, ended: seconds since the epoch; touched: when the last frame
    came. order: JSON of what was asked. looks: by number; last: the final one, None before the scan is finished.
    ended_by: the owner of the key that finished or aborted it; empty where nobody did. probe: name of the group in the
    store that holds the guess of the probe, empty where none was given.
    """

    scan_id: str
    sequence: int
    origin: Origin
    created: float
    touched: float
    ended: float | None
    order: bytes
    state: ScanState
    reason: str
    counted: Counted
    looks: Mapping[int, LookJob]
    last: LookJob | None
    ended_by: str = ""
    probe: str = ""

    @property
    def owner(self) -> str:
        """Whose scan it is."""
        return self.origin.owner

    @property
    def newest(self) -> LookJob | None:
        """The look that was asked for last."""
        return self.last or (self.looks[max(self.looks)] if self.looks else None)


class FrameConflictError(Exception):
    """A place came again with another content."""

    def __init__(self, place: int) -> None:
        super().__init__(f"place {place}")
        self.place = place


class PositionConflictError(FrameConflictError):
    """A place came again with another position."""


class ScanRecords:
    """The records of all live scans. Blocks and raises as `service.jobs.record.Records`; UnknownScanError for an
    unknown id.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = connect(url)
        self._scripts = {name: self._client.register_script(COMMON + body) for name, body in _SCRIPTS.items()}

    def create(self, scan_id: str, order: bytes, origin: Origin, repeatable: Repeatable | None = None) -> ScanRecord:
        """Open a scan. The same request again gives the first one back; KeyReusedError for another with its key."""
        slot, digest = (repeatable.slot(origin.owner), repeatable.digest) if repeatable else ("", "")
        told = [scan_id, order, slot, digest, REMEMBERED_S, *astuple(origin)]
        what, found = cast(list[bytes], self._run("create", *told))
        if what == b"conflict":
            raise KeyReusedError(
                f"this Idempotency-Key came before with another request, which became scan {found.decode()}: use a "
                "new key"
            )
        return self.get(found.decode())

    def get(self, scan_id: str) -> ScanRecord:
        """The record of a scan, without its frames."""
        with translated(self._client):
            pipe = self._client.pipeline(transaction=False)
            pipe.hgetall(f"{_KEY}:{scan_id}")
            pipe.hgetall(f"{_KEY}:{scan_id}:looks")
            pipe.hlen(f"{_KEY}:{scan_id}:frames")
            pipe.hlen(f"{_KEY}:{scan_id}:positions")
            fields, looks, received, placed = cast(
                tuple[dict[bytes, bytes], dict[bytes, bytes], int, int], pipe.execute()
            )
        if not fields:
            raise unknown_scan(scan_id)
        text = {key.decode(): value.decode() for key, value in fields.items() if key != b"order"}
        jobs = {number.decode(): LookJob(**json.loads(job)) for number, job in looks.items()}
        last = jobs.pop(FINAL, None)
        return ScanRecord(
            scan_id=scan_id,
            sequence=int(text["sequence"]),
            origin=Origin(**{part: text.get(part, "") for part in _ORIGIN}),
            created=float(text["created"]),
            touched=float(text["touched"]),
            ended=float(text["ended"]) if "ended" in text else None,
            order=fields[b"order"],
            state=ScanState(text["state"]),
            reason=text.get("reason", ""),
            counted=Counted(
                received,
                int(text.get("duplicate", 0)),
                int(text.get("outside", 0)),
                text.get("why_outside", ""),
                placed,
                int(text.get("placed_again", 0)),
            ),
            looks={int(number): job for number, job in sorted(jobs.items(), key=lambda item: int(item[0]))},
            last=last,
            ended_by=text.get("ended_by", ""),
            probe=text.get("probe", ""),
        )

    def frames(self, scan_id: str, known: int = 0) -> dict[int, StoredFrame]:
        """All frames that were acknowledged, by place; known: but for so many that came first."""
        return {
            place: _frame(place, held) for place, held in self._arrived(scan_id, "frames", "arrived", known).items()
        }

    def positions(self, scan_id: str, known: int = 0) -> dict[int, Position]:
        """All positions that were acknowledged, by place; known: but for so many that came first."""
        found = self._arrived(scan_id, "positions", "placed", known)
        return {place: _position(held) for place, held in found.items()}

    def _arrived(self, scan_id: str, what: str, order: str, known: int) -> dict[int, bytes]:
        key = f"{_KEY}:{scan_id}"
        with translated(self._client):
            if not known:
                every = cast(dict[bytes, bytes], self._client.hgetall(f"{key}:{what}"))
                return {int(place): held for place, held in every.items()}
            places = cast(list[bytes], self._client.lrange(f"{key}:{order}", known, -1))
            if not places:
                return {}
            found = cast(list[bytes], self._client.hmget(f"{key}:{what}", places))
        return {int(place): held for place, held in zip(places, found, strict=True)}

    def digests(self, scan_id: str, places: Sequence[int]) -> dict[int, str]:
        """Of the content of those of these places that have come."""
        if not places:
            return {}
        with translated(self._client):
            found = cast(
                Sequence[bytes | None],
                self._client.hmget(f"{_KEY}:{scan_id}:frames", [str(place) for place in places]),
            )
        return {place: _frame(place, held).digest for place, held in zip(places, found, strict=True) if held}

    def add(self, scan_id: str, frames: Sequence[StoredFrame], outside: int, why_outside: str) -> list[int]:
        """Record frames that lie in the store; the places of those that are new. All or none.

        outside: further ones that are none of the scan. Raises FrameConflictError, ScanClosedError, UnknownScanError.
        """
        args = [text for frame in frames for text in (str(frame.place), frame.digest, json.dumps(asdict(frame)))]
        return self._added(scan_id, self._run("add", scan_id, outside, why_outside, *args), FrameConflictError)

    def place(
        self, scan_id: str, positions: Sequence[tuple[int, Position]], outside: int, why_outside: str
    ) -> list[int]:
        """Record positions; the places of those that are new. All or none, and raises, as `add`; PositionConflictError
        where a place has another one.
        """
        args = [text for place, position in positions for text in (str(place), json.dumps(position))]
        return self._added(scan_id, self._run("place", scan_id, outside, why_outside, *args), PositionConflictError)

    def give_probe(self, scan_id: str, group: str, digest: str) -> str:
        """Record the guess of the probe, which lies in the store; the name of the group that holds it from now on.

        digest: of its content; where an earlier one was the same, that stays. Raises FrameConflictError where frames
        have come and the probe is another one, ScanClosedError, UnknownScanError.
        """
        what, *told = cast(list[bytes], self._run("give_probe", scan_id, group, digest))
        match what:
            case b"unknown":
                raise unknown_scan(scan_id)
            case b"closed":
                raise closed_scan(scan_id, told[0].decode())
            case b"conflict":
                raise FrameConflictError(0)
        return told[0].decode()

    def _added(self, scan_id: str, answer: list[bytes], conflict: type[FrameConflictError]) -> list[int]:
        match answer[0]:
            case b"unknown":
                raise unknown_scan(scan_id)
            case b"closed":
                raise closed_scan(scan_id, answer[1].decode())
            case b"conflict":
                raise conflict(int(answer[1]))
        return [int(place) for place in answer[1:]]

    def move(self, scan_id: str, state: ScanState, reason: str = "", by: str = "") -> bool:
        """Finish or abort. False where the scan does not go from its state to this one: nothing is changed then.

        by: who asks.
        """
        return bool(self._run("move", scan_id, state.value, reason, by))

    def looked(self, scan_id: str, number: str, job: LookJob) -> None:
        """A look has become a job. number: or FINAL."""
        with translated(self._client):
            self._client.hset(f"{_KEY}:{scan_id}:looks", number, json.dumps(asdict(job)))

    def tell(self, scan_id: str, mark: str, value: str, kind: str, data: Mapping[str, Any]) -> bool:
        """Tell those who follow a scan; once for each value of a mark. False where it was told before."""
        return bool(self._run("tell", scan_id, mark, value, kind, json.dumps(data)))

    def page(self, party: Party | None, cursor: str | None, limit: int) -> tuple[list[ScanRecord], str | None]:
        """Scans, newest first, of one party or of all; and the cursor of the next page."""
        indexes = (f"{_KEY}s",) if party is None else party_indexes(f"{_KEY}s", party)
        ids = newest(self._client, indexes, f"({int(cursor)}" if cursor else "+inf", limit)
        found = []
        for name, _ in ids:
            try:
                found.append(self.get(name.decode()))
            except UnknownScanError:
                continue  # it expired while we looked
        return found, str(found[-1].sequence) if found and len(ids) == limit else None

    def open(self) -> list[str]:
        """Scans that something still happens to."""
        with translated(self._client):
            ids = cast(set[bytes], self._client.smembers(f"{_KEY}s:open"))
        return sorted(name.decode() for name in ids)

    def now(self) -> float:
        """Redis's time: seconds since the epoch."""
        with translated(self._client):
            seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6

    def ended_before(self, moment: float) -> list[str]:
        """Scans that ended before this time."""
        with translated(self._client):
            ids = cast(Sequence[bytes], self._client.zrange(f"{_KEY}s", 0, -1))
            pipe = self._client.pipeline(transaction=False)
            for name in ids:
                pipe.hget(f"{_KEY}:{name.decode()}", "ended")
            ends = pipe.execute()
        return [name.decode() for name, end in zip(ids, ends, strict=True) if end is not None and float(end) < moment]

    def remove(self, scan_id: str) -> None:
        """Forget a scan."""
        self._run("remove", scan_id)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def follow(self, scan_id: str, after: str = "0-0") -> AsyncGenerator[Event | None, None]:
        """What happens to a scan, from the event after `after` to its end; None about every two silent seconds."""
        key = f"{_KEY}:{scan_id}"
        async with connect_async(self._url) as client:
            async for event in stream(client, key, after, float("inf"), lost=unknown_scan(scan_id)):
                yield event

    def _run(self, name: str, *args: str | bytes | float) -> Any:
        with translated(self._client):
            return self._scripts[name](args=args)


def unknown_scan(scan_id: str) -> UnknownScanError:
    """The error for an id that does not exist."""
    return UnknownScanError(f"there is no scan {scan_id}: the id is wrong, or the scan has expired")


def closed_scan(scan_id: str, state: str) -> ScanClosedError:
    """The error for a scan that has ended or is about to."""
    return ScanClosedError(f"scan {scan_id} is {state}: no frame is added to it any more")


def _frame(place: int, held: bytes) -> StoredFrame:
    return StoredFrame(**{**json.loads(held), "place": place})


def _position(held: bytes) -> Position:
    row, column = json.loads(held)
    return float(row), float(column)


_TOLD: Final = f"""
local function told(id, kind, data, reason)
    redis.call('XADD', '{_KEY}:' .. id .. ':events', 'MAXLEN', '~', {_EVENTS_KEPT}, '*',
        'kind', kind, 'data', data, 'reason', reason)
end
"""

_CAME: Final = """
local function came(key, outside, why)
    if outside > 0 then
        redis.call('HINCRBY', key, 'outside', outside)
        redis.call('HSET', key, 'why_outside', why)
    end
    redis.call('HSET', key, 'touched', now())
end
"""

_SCRIPTS: Final = {
    "create": f"""
{_TOLD}
local id, order, slot, request, kept_s, owner, proposal, api_key, request_id, traceparent = unpack(ARGV)
local key = '{_KEY}:' .. id
if redis.call('EXISTS', key) == 1 then return {{'created', id}} end
if slot ~= '' then
    local earlier = redis.call('HMGET', slot, 'request', 'scan')
    if earlier[1] and earlier[2] and redis.call('EXISTS', '{_KEY}:' .. earlier[2]) == 1 then
        if earlier[1] == request then return {{'replayed', earlier[2]}} else return {{'conflict', earlier[2]}} end
    end
    redis.call('HSET', slot, 'request', request, 'scan', id)
    redis.call('EXPIRE', slot, kept_s)
end
local sequence = redis.call('INCR', '{PREFIX}sequence')
redis.call('HSET', key, 'order', order, 'owner', owner, 'proposal', proposal, 'key', api_key, 'request_id', request_id,
    'traceparent', traceparent, 'sequence', sequence, 'created', now(), 'touched', now(), 'state', 'open')
redis.call('ZADD', '{_KEY}s', sequence, id)
redis.call('ZADD', '{_KEY}s:owner:' .. owner, sequence, id)
if proposal ~= '' then redis.call('ZADD', '{_KEY}s:proposal:' .. proposal, sequence, id) end
redis.call('SADD', '{_KEY}s:open', id)
told(id, 'state', 'open', '')
return {{'created', id}}
""",
    "add": f"""
{_CAME}
local id, outside, why = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = '{_KEY}:' .. id
local frames = key .. ':frames'
local state = redis.call('HGET', key, 'state')
if not state then return {{'unknown'}} end
if state ~= 'open' then return {{'closed', state}} end
for i = 4, #ARGV, 3 do
    local there = redis.call('HGET', frames, ARGV[i])
    if there and cjson.decode(there).digest ~= ARGV[i + 1] then return {{'conflict', ARGV[i]}} end
end
local answer = {{'added'}}
for i = 4, #ARGV, 3 do
    if redis.call('HSETNX', frames, ARGV[i], ARGV[i + 2]) == 1 then
        answer[#answer + 1] = ARGV[i]
        redis.call('RPUSH', key .. ':arrived', ARGV[i])
    else
        redis.call('HINCRBY', key, 'duplicate', 1)
    end
end
came(key, outside, why)
return answer
""",
    "place": f"""
{_CAME}
local id, outside, why = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local key = '{_KEY}:' .. id
local positions = key .. ':positions'
local state = redis.call('HGET', key, 'state')
if not state then return {{'unknown'}} end
if state ~= 'open' then return {{'closed', state}} end
local within = {{}}
for i = 4, #ARGV, 2 do
    local there = redis.call('HGET', positions, ARGV[i]) or within[ARGV[i]]
    if there and there ~= ARGV[i + 1] then return {{'conflict', ARGV[i]}} end
    within[ARGV[i]] = ARGV[i + 1]
end
local answer = {{'added'}}
for i = 4, #ARGV, 2 do
    if redis.call('HSETNX', positions, ARGV[i], ARGV[i + 1]) == 1 then
        answer[#answer + 1] = ARGV[i]
        redis.call('RPUSH', key .. ':placed', ARGV[i])
    else
        redis.call('HINCRBY', key, 'placed_again', 1)
    end
end
came(key, outside, why)
return answer
""",
    "give_probe": f"""
local id, group, digest = unpack(ARGV)
local key = '{_KEY}:' .. id
local held = redis.call('HMGET', key, 'state', 'probe', 'probe_digest')
if not held[1] then return {{'unknown'}} end
if held[1] ~= 'open' then return {{'closed', held[1]}} end
if held[3] == digest then return {{'kept', held[2]}} end
if redis.call('EXISTS', key .. ':frames') == 1 then return {{'conflict'}} end
redis.call('HSET', key, 'probe', group, 'probe_digest', digest)
return {{'kept', group}}
""",
    "move": f"""
{_TOLD}
local id, to, reason, by = unpack(ARGV)
local key = '{_KEY}:' .. id
local state = redis.call('HGET', key, 'state')
if state ~= 'open' and not (state == 'finishing' and to ~= 'finishing') then return 0 end
redis.call('HSET', key, 'state', to)
if reason ~= '' then redis.call('HSET', key, 'reason', reason) end
if by ~= '' then redis.call('HSET', key, 'ended_by', by) end
if to ~= 'finishing' then
    redis.call('HSET', key, 'ended', now())
    redis.call('SREM', '{_KEY}s:open', id)
end
told(id, 'state', to, reason)
return 1
""",
    "tell": f"""
{_TOLD}
local id, mark, value, kind, data = unpack(ARGV)
local key = '{_KEY}:' .. id
if redis.call('EXISTS', key) == 0 or redis.call('HGET', key, 'told:' .. mark) == value then return 0 end
redis.call('HSET', key, 'told:' .. mark, value)
told(id, kind, data, '')
return 1
""",
    "remove": f"""
local key = '{_KEY}:' .. ARGV[1]
local held = redis.call('HMGET', key, 'owner', 'proposal')
redis.call('DEL', key, key .. ':frames', key .. ':positions', key .. ':arrived', key .. ':placed', key .. ':looks',
    key .. ':events')
redis.call('ZREM', '{_KEY}s', ARGV[1])
if held[1] then redis.call('ZREM', '{_KEY}s:owner:' .. held[1], ARGV[1]) end
if held[2] and held[2] ~= '' then redis.call('ZREM', '{_KEY}s:proposal:' .. held[2], ARGV[1]) end
redis.call('SREM', '{_KEY}s:open', ARGV[1])
""",
}
