"""What a worker hands to the code that refines, and what it gets back. service/refine.py has that code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from service.jobs.state import Progress
from service.jobs.store import Store


@dataclass(frozen=True)
class Task:
    """One attempt at a job.

    document: the job document (JSON) as accepted. store: holds the job's arrays under `job_id`.
    progress: call it as often as you like, it only takes note. cancelled: ask it before every iteration and raise
        inphase.errors.CancelledError when it says so; the worker knows why.
    """

    job_id: str
    attempt: int
    document: bytes
    store: Store
    device: str
    progress: Callable[[Progress], None]
    cancelled: Callable[[], bool]


@dataclass(frozen=True)
class Outcome:
    """A finished refinement: the arrays of the result and the job document (JSON) with what was found."""

    arrays: Mapping[str, NDArray[Any]]
    document: bytes


Perform = Callable[[Task], Outcome]
