"""What a worker hands to the code that refines, and what it gets back. service/refine.py has that code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.jobs.state import Progress
from service.jobs.store import Store

Planes = tuple[NDArray[np.complex64], ...]  # central slices of the object, one normal to each axis


class Report(Protocol):
    """Takes note of how far a job is. preview: gives the current planes; called at most 5 times a second."""

    def __call__(self, progress: Progress, preview: Callable[[], Planes] | None = None) -> None:
        """Return at once; `preview` is called before that or never."""


@dataclass(frozen=True)
class Task:
    """One attempt at a job.

    document: the job document (JSON) as accepted. store: holds the job's arrays under `job_id`.
    progress: call it as often as you like. cancelled: ask it before every iteration and raise
        inphase.errors.CancelledError when it says so; the worker knows why.
    """

    job_id: str
    attempt: int
    document: bytes
    store: Store
    device: str
    progress: Report
    cancelled: Callable[[], bool]


@dataclass(frozen=True)
class Outcome:
    """A finished refinement: the arrays of the result and the job document (JSON) with what was found."""

    arrays: Mapping[str, NDArray[Any]]
    document: bytes


Perform = Callable[[Task], Outcome]
