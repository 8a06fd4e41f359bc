"""What a worker hands to the code that refines, and what it gets back. service.jobs.perform has that code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inphase.imaging.clock import Clock
from service.jobs.state import RecordedProgress
from service.jobs.store import Arrays, Store

Planes = tuple[NDArray[np.complex64], ...]  # central slices of the object, one normal to each axis


class ProgressSink(Protocol):
    """Takes note of how far a job is. preview: gives the current planes; called at most 5 times a second."""

    def __call__(self, progress: RecordedProgress, preview: Callable[[], Planes] | None = None) -> None:
        """Return at once; `preview` is called before that or never."""


class Keep(Protocol):
    """Takes what a later attempt would need to go on from here."""

    def __call__(self, make: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
        """Return soon; `make` is called before that where a checkpoint is due, or never."""


class Revise(Protocol):
    """Takes a result that a better one will follow: the network's image is no such, it was there before."""

    def __call__(self, number: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Return when it is kept. number: from 1, the same in every attempt; arrays: with the job document."""


def _unrevised(number: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keeps nothing."""


def _forget(make: Callable[[], Mapping[str, NDArray[Any]]]) -> None:
    """Keeps nothing."""


@dataclass(frozen=True)
class Task:
    """One attempt at a job.

    document: the job document (JSON) as accepted. store: holds the job's arrays under `job_id`.
    resume: what an earlier attempt gave to `checkpoint`, or None; whoever reads it decides whether it still fits.
    progress, checkpoint: call them as often as you like. cancelled: ask it before every iteration and raise
        inphase.errors.CancelledError when it says so; the worker knows why.
    revise: give it every result before the last. time_limit_s: after which the attempt is stopped. clock: of all that
        is done for it. waited_s: how long it waited for a worker.
    """

    job_id: str
    attempt: int
    document: bytes
    store: Store
    device: str
    progress: ProgressSink
    cancelled: Callable[[], bool]
    checkpoint: Keep = _forget
    resume: Arrays | None = None
    revise: Revise = _unrevised
    time_limit_s: float = 600.0
    clock: Clock = field(default_factory=Clock)
    waited_s: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A finished refinement: the arrays of the result and the job document (JSON) with what was found."""

    arrays: Mapping[str, NDArray[Any]]
    document: bytes


class Refiner(Protocol):
    """A module that refines: service.jobs.perform, or a stand-in of a test."""

    def perform(self, task: Task) -> Outcome:
        """Carry out one attempt."""
        ...

    def warm(self, device: str, threads: int | None) -> None:
        """Load and compile what the first job would wait for."""
        ...


def result_name(attempt: int) -> str:
    """Name in the store of the result of an attempt; the record says which attempt's counts."""
    return f"result-{attempt}"


def revision_name(number: int) -> str:
    """Name in the store of a result that a better one follows; it is the same whichever attempt has made it."""
    return f"level-{number}"


def checkpoint_name(attempt: int) -> str:
    """Name in the store of what an attempt has reached. Each writes its own, so a stale one harms no other."""
    return f"checkpoint-{attempt}"
