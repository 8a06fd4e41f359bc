"""What goes on inside the compute process: real ones with the stand-in for the refinement."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.jobs.compute import Attempt, Failed, Revised, Succeeded, Told
from service.jobs.errors import StoreFullError
from service.jobs.process import ComputeProcess
from service.jobs.settings import ComputeSettings
from service.jobs.store import Store
from tests.service.jobs.stand_in import assignment, end


def test_progress_comes_at_most_five_times_a_second(compute: ComputeProcess, tmp_path: Path) -> None:
    """However often a job reports, it is asked for what to tell at most 5 times a second; then the result is stored."""
    begun = time.monotonic()
    wanted = assignment(tmp_path, steps=300, step_s=0.003)
    compute.assign(wanted)
    told = []
    while not isinstance(message := compute.receive(5.0), Succeeded):
        told.append(message)
    assert all(isinstance(message, Told) for message in told)
    assert 2 <= len(told) <= 5 * (time.monotonic() - begun) + 1
    result = Store(tmp_path).read(wanted.job_id, "result-1")
    np.testing.assert_array_equal(result["object"], 2 * np.arange(8.0))


def test_a_worker_that_does_not_listen_holds_up_nothing(compute: ComputeProcess, tmp_path: Path) -> None:
    """While the worker waits for the network, progress and large planes pile up nowhere: the job comes to its end."""
    wanted = assignment(tmp_path, steps=30, step_s=0.05, plane=512)
    compute.assign(wanted)
    deadline = time.monotonic() + 20
    while not Store(tmp_path).has(wanted.job_id, "result-1"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert isinstance(end(compute), Succeeded)


def test_too_much_memory_fails_the_job_alone(compute: ComputeProcess, tmp_path: Path) -> None:
    """A job beyond the memory bound fails with the bound in its reason; the process serves the next one."""
    compute.assign(assignment(tmp_path, end="allocate"))
    answer = end(compute)
    assert isinstance(answer, Failed)
    assert answer.reason.startswith("out of memory: the volume is too large for this worker (bound: 1.0 GiB)")
    compute.assign(assignment(tmp_path))
    assert isinstance(end(compute), Succeeded)


def test_an_attempt_goes_on_where_an_earlier_one_was(compute: ComputeProcess, tmp_path: Path) -> None:
    """It begins at the newest checkpoint of earlier attempts, writes its own, and passes over a damaged one."""
    first = assignment(tmp_path, steps=4, step_s=0.02)
    compute.assign(first)
    end(compute)
    store = Store(tmp_path)
    assert store.names(first.job_id) == ["checkpoint-1", "input", "result-1"]
    store.write(first.job_id, "checkpoint-1", {"step": np.array(2)})
    second = replace(first, attempt=2)
    compute.assign(second)
    answer = end(compute)
    assert isinstance(answer, Succeeded)
    assert json.loads(answer.document)["begin"] == 2
    assert store.read(first.job_id, "checkpoint-2")["step"] >= 3  # written, however slow the disk is
    assert store.read(first.job_id, "checkpoint-1")["step"] == 2  # another attempt's is never touched
    store.path(first.job_id, "checkpoint-2").write_bytes(b"PK half a file")
    compute.assign(replace(first, attempt=3))
    answer = end(compute)
    assert isinstance(answer, Succeeded)
    assert json.loads(answer.document)["begin"] == 2


def test_checkpoints_cost_at_most_a_twentieth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that takes long to write is written less often, and one that cannot be written stops no job."""
    made = Attempt(
        assignment(tmp_path),
        ComputeSettings(tmp_path, "cpu", 1, None, 0.0),
        lambda _: None,
        lambda _: None,
        threading.Event(),
    )
    writes = []

    def slow(*_: object, **__: object) -> None:
        time.sleep(0.02)
        writes.append(time.monotonic())
        raise StoreFullError("No space left on device")

    monkeypatch.setattr(Store, "write", slow)
    begun = time.monotonic()
    while time.monotonic() - begun < 1.0:
        made._keep(lambda: {})
        time.sleep(0.001)
    assert 1 <= len(writes) <= 4  # one in 0.4 s


def test_a_revision_lies_in_the_store_before_it_is_told_and_never_changes(tmp_path: Path) -> None:
    """The worker hears its name; another attempt that comes as far again leaves what is there."""
    job, store, told = assignment(tmp_path), Store(tmp_path), list[tuple[Revised, bool]]()
    made = Attempt(
        job,
        ComputeSettings(tmp_path, "cpu", 1, None, 0.0),
        lambda _: None,
        lambda revised: told.append((revised, store.has(job.job_id, revised.result))),
        threading.Event(),
    )
    for value in (1.0, 2.0):
        made._revise(1, {"object": np.array(value)})
    assert told == [(Revised("level-1"), True)] * 2
    assert store.read(job.job_id, "level-1")["object"] == 1.0
