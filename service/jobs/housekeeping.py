"""What the service does every minute or so: hand out what fell between two stools, forget what is old."""

import time
from dataclasses import dataclass
from typing import Final

from service.jobs.broker import Queue
from service.jobs.errors import UnknownJobError
from service.jobs.record import Records
from service.jobs.store import Store

_UNRECORDED_S: Final = 3600.0  # arrays are written before their record; without one after this, none will come


@dataclass(frozen=True)
class Swept:
    """Ids of the jobs handed out again, and of those forgotten."""

    recovered: list[str]
    expired: list[str]


def sweep(records: Records, queue: Queue, store: Store, max_age_s: float) -> Swept:
    """Recover unfinished jobs without a message; expire ended jobs by age and by the store's size, others never."""
    recovered = queue.recover()
    now = time.time()
    expired = records.finished_before(now - max_age_s)
    for job_id in expired:
        store.delete(job_id)
        records.remove(job_id)

    written = {job.job_id: job.modified for job in store.jobs()}

    def deletable(job_id: str) -> bool:
        try:
            return records.get(job_id).state.final
        except UnknownJobError:
            return now - written.get(job_id, now) > _UNRECORDED_S

    for job_id in store.expire(max_age_s=max_age_s, deletable=deletable):
        records.remove(job_id)
        expired.append(job_id)
    return Swept(recovered, expired)
