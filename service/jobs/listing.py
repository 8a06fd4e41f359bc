"""Lists of jobs and series: which ones are wanted, and where Redis has them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis

from service.jobs.connection import translated
from service.jobs.entry import JobRecord, Party
from service.jobs.scripts import PREFIX
from service.jobs.state import JobState


@dataclass(frozen=True)
class Filter:
    """Which jobs to list. since, until: of their creation, seconds since the epoch. accepts: anything else.

    party: who asks; None for everybody's jobs. owner: only this one's among them.
    """

    state: JobState | None = None
    party: Party | None = None
    owner: str | None = None
    series: str | None = None
    since: float = 0.0
    until: float = math.inf
    accepts: Callable[[JobRecord], bool] = lambda record: True

    def indexes(self) -> tuple[str, ...]:
        """The shortest lists that have them all together."""
        if self.series is not None:
            return (f"{PREFIX}jobs:series:{self.series}",)
        if self.owner is not None:
            return (f"{PREFIX}jobs:owner:{self.owner}",)
        if self.party is not None:
            return party_indexes(f"{PREFIX}jobs", self.party)
        return (f"{PREFIX}jobs:{self.state}" if self.state else f"{PREFIX}jobs",)

    def takes(self, record: JobRecord) -> bool:
        """Whether a job is wanted."""
        return (
            (self.state is None or record.state is self.state)
            and (self.owner is None or record.owner == self.owner)
            and (self.party is None or self.party.has(record.owner, record.proposal))
            and self.since <= record.created <= self.until
            and self.accepts(record)
        )


@dataclass(frozen=True)
class Page:
    """Some jobs, newest first; `cursor` continues the list and is None on its last page.

    A page may be short, even empty, and have a cursor: only so many jobs are looked at for one.
    """

    records: tuple[JobRecord, ...]
    cursor: str | None


def party_indexes(index: str, party: Party) -> tuple[str, ...]:
    """The lists of a party's jobs or series. index: `inphase:jobs` or `inphase:series`."""
    own = (f"{index}:owner:{party.owner}",)
    return (*own, f"{index}:proposal:{party.proposal}") if party.proposal else own


def newest(client: redis.Redis, indexes: Sequence[str], below: str, limit: int) -> list[tuple[bytes, float]]:
    """The ids with the highest sequences below one, from several sorted sets as if they were one; highest first."""
    with translated(client):
        pipe = client.pipeline(transaction=False)
        for index in indexes:
            pipe.zrevrangebyscore(index, below, "-inf", start=0, num=limit, withscores=True)
        found: dict[bytes, float] = {}
        for listed in pipe.execute():
            found.update(listed)
    return sorted(found.items(), key=lambda item: item[1], reverse=True)[:limit]
