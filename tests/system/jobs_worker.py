"""A worker process for tests: the real one, with a stand-in for the refinement that obeys the job document."""

import json
import os
import signal
import time

import numpy as np

from inphase.errors import CancelledError, DataError
from service.jobs.state import Progress
from service.jobs.task import Outcome, Task
from service.jobs.worker import supervised


def perform(task: Task) -> Outcome:
    """Sleep `steps` times `step_s`, then return the input times two; or do what the document asks for."""
    order = json.loads(task.document)
    data = task.store.read(task.job_id, "input")["data"]
    if order.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if order.get("raise"):
        raise DataError(order["raise"])
    if order.get("hang"):
        time.sleep(3600)
    for step in range(order.get("steps", 0)):
        if task.cancelled():
            raise CancelledError(f"after {step} steps")
        task.progress(Progress(step + 1, order["steps"], 0.1, 7, "ER"))
        time.sleep(order["step_s"])
    return Outcome(
        {"object": 2 * data, "attempt": np.array(task.attempt)},
        json.dumps({**order, "done": True, "pid": os.getpid(), "ended": time.time()}).encode(),
    )


if __name__ == "__main__":
    supervised(perform)
