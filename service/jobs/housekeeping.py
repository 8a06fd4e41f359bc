"""What the service does every minute or so, and when the store is full:
hand out what fell between two stools, forget what is old.

How old a job is, Redis's clock says. Arrays without a record have no time but that for which they are seen.
"""

import math
from dataclasses import dataclass
from typing import Final

from service.jobs.broker import Queue
from service.jobs.errors import StoreFullError
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
    store.sweep_abandoned()
    oldest = records.now() - max_age_s
    expired = [*records.finished_before(oldest), *_unrecorded(records, series, store, max_age_s)]
    for job_id in expired:
        forget(records, store, job_id)
    expired += _shrink(records, series, store)
    for series_id in series.ended_before(oldest):
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
        _shrink(records, series, store, nbytes)
        store.admit(nbytes)


def _shrink(records: Records, series: SeriesRecords, store: Store, room: int = 0) -> list[str]:
    """Forget what has no record, then ended jobs, the earliest first, until there is room; their ids."""
    excess = store.excess(room)
    if not excess:
        return []
    sizes = {job.job_id: job.nbytes for job in store.jobs()}
    forgotten = []
    for job_id in (*_unrecorded(records, series, store, 0.0), *records.finished_before(math.inf)):
        if excess > 0 and job_id in sizes:
            forget(records, store, job_id)
            forgotten.append(job_id)
            excess -= sizes[job_id]
    return forgotten


def forget(records: Records, store: Store, job_id: str) -> None:
    """Take a job that has ended out of the store and the records; what has not ended stays recorded."""
    store.delete(job_id)
    records.remove(job_id)


def _unrecorded(records: Records, series: SeriesRecords, store: Store, seconds: float) -> list[str]:
    """Arrays that have been without a record for so long, an hour at least. The frame of a series goes with that."""
    ids = records.without_record(job.job_id for job in store.jobs())
    seen = store.unrecorded.look(job_id for job_id in ids if not series.exists(job_id))
    return [job_id for job_id, since in seen.items() if since >= max(seconds, _UNRECORDED_S)]
