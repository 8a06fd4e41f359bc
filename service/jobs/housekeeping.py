"""What the service does every minute or so, and when the store is full:
hand out what fell between two stools, forget what is old.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.jobs.broker import Queue
from service.jobs.errors import StoreFullError, UnknownJobError
from service.jobs.record import Records
from service.jobs.series import SeriesRecords
from service.jobs.store import Store

_UNRECORDED_S: Final = 3600.0  # arrays are written before their record; without one after this, none will come


@dataclass(frozen=True)
class Swept:
    """Ids of the jobs handed out again, and of those forgotten."""

    recovered: list[str]
    expired: list[str]


def sweep(records: Records, series: SeriesRecords, queue: Queue, store: Store, max_age_s: float) -> Swept:
    """Recover unfinished jobs without a message; expire ended jobs by age and by the store's size, others never."""
    recovered = queue.recover()
    expired = records.finished_before(time.time() - max_age_s)
    for job_id in expired:
        store.delete(job_id)
        records.remove(job_id)
    expired += _shrink(records, series, store, max_age_s)
    for series_id in series.ended_before(time.time() - max_age_s):
        store.delete(series_id)
        series.remove(series_id)
    return Swept(recovered, expired)


def make_room(records: Records | None, series: SeriesRecords | None, store: Store, nbytes: int) -> None:
    """Let `nbytes` more into the store: where they do not fit, the oldest ended jobs go. Raises StoreFullError."""
    try:
        store.admit(nbytes)
    except StoreFullError:
        if records is None or series is None:
            raise
        _shrink(records, series, store, float("inf"), nbytes)
        store.admit(nbytes)


def _shrink(records: Records, series: SeriesRecords, store: Store, max_age_s: float, room: int = 0) -> list[str]:
    """Forget ended jobs that are too old, then the oldest until there is room; their ids."""
    expired = store.expire(max_age_s=max_age_s, deletable=_deletable(records, series, store), room=room)
    for job_id in expired:
        records.remove(job_id)
    return expired


def _deletable(records: Records, series: SeriesRecords, store: Store) -> Callable[[str], bool]:
    """Whether nobody needs a job's arrays any more."""
    now = time.time()
    written = {job.job_id: job.modified for job in store.jobs()}

    def deletable(job_id: str) -> bool:
        try:
            return records.get(job_id).state.final
        except UnknownJobError:
            if series.exists(job_id):
                return False  # the frame that its scans are brought into: goes with the series
            return now - written.get(job_id, now) > _UNRECORDED_S

    return deletable
