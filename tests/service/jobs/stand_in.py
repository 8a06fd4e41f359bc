"""Compute processes with the stand-in for the refinement, and orders for it."""

import json
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np

from service.jobs.compute import Assignment, Told
from service.jobs.process import ComputeProcess
from service.jobs.settings import ComputeSettings
from service.jobs.store import Store

STAND_IN = "tests.system.jobs_worker"


def started(settings: ComputeSettings) -> ComputeProcess:
    """A compute process that is ready."""
    made = ComputeProcess(settings, STAND_IN)
    made.start()
    made.await_ready(threading.Event())
    assert made.alive
    return made


def assignment(folder: Path, attempt: int = 1, job_id: str | None = None, **wanted: object) -> Assignment:
    """An order for the stand-in, its input stored."""
    job_id = job_id or uuid4().hex
    Store(folder).write(job_id, "input", {"data": np.arange(8.0)})
    return Assignment(job_id, attempt, json.dumps(wanted).encode())


def end(compute: ComputeProcess, seconds: float = 20.0) -> object:
    """What the process answers in the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = compute.receive(0.1)
        if message is not None and not isinstance(message, Told):
            return message
    raise AssertionError("no answer")
