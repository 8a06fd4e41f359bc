"""A worker process for tests: the real one, with a stand-in for the refinement that obeys the job document."""

import ctypes
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import CancelledError, DataError
from service.jobs import worker
from service.jobs.state import RecordedProgress
from service.jobs.task import Outcome, Task

ENDS: dict[str, Callable[[], Any]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(7),
    "hang": lambda: time.sleep(3600),
    "allocate": lambda: np.ones(2**34, np.uint8),
}


def planes(n: int) -> tuple[NDArray[np.complex64], ...]:
    """What the job looks like."""
    return (np.full((n, n), 1j, np.complex64),) * 3


def warm(device: str, threads: int | None) -> None:
    """Nothing to load."""


class Bomb:
    """An array that kills the process when it is written."""

    nbytes = 0

    def __array__(self, *_: object, **__: object) -> NDArray[Any]:
        ENDS["kill"]()
        raise AssertionError


def perform(task: Task) -> Outcome:
    """Sleep `steps` times `step_s`, then return the input times two; or end as the document asks for."""
    order = json.loads(task.document)
    killed_at = order.get("killed_at") if task.attempt == 1 else None
    if killed_at == "begin":
        ENDS["kill"]()
    data = task.store.read(task.job_id, "input")["data"]
    begin = 0 if task.resume is None else int(task.resume["step"])
    if "raise" in order:
        raise DataError(order["raise"])
    if "end" in order:
        ENDS[order["end"]]()
    for step in range(begin, order.get("steps", 0)):
        if task.cancelled():
            raise CancelledError(f"after {step} steps")
        task.progress(RecordedProgress(step + 1, order["steps"], 0.1, 7, "ER"), lambda: planes(order.get("plane", 8)))
        time.sleep(order["step_s"])
        task.checkpoint(lambda step=step: {"step": np.array(step + 1)})
    result = np.zeros(order["result_bytes"], np.uint8) if "result_bytes" in order else 2 * data
    arrays: dict[str, Any] = {"object": result, "attempt": np.array(task.attempt)}
    if killed_at == "write":
        arrays["bomb"] = Bomb()
    return Outcome(
        arrays,
        json.dumps({**order, "done": True, "pid": os.getpid(), "ended": time.time(), "begin": begin}).encode(),
    )


if __name__ == "__main__":
    worker._STORE_LOOK_S = 0.5  # type: ignore[misc]  # the five seconds are for the people who make room on a disk
    worker.supervised("tests.system.jobs_worker")
