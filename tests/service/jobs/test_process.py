"""The compute process and the worker's end of it: real processes with the stand-in for the refinement."""

import io
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from service.jobs import worker
from service.jobs.compute import Assignment, Failed, Halted, Succeeded, Told
from service.jobs.errors import WorkerError
from service.jobs.process import ComputeProcess, ProcessDiedError
from service.jobs.record import Records
from service.jobs.settings import ComputeSettings
from service.jobs.state import JobState, Progress
from service.jobs.store import Store
from service.jobs.worker import Watch

STAND_IN = "tests.system.jobs_worker"


@pytest.fixture
def settings(tmp_path: Path) -> ComputeSettings:
    """Bounded to a gibibyte, checkpoints at every step."""
    return ComputeSettings(tmp_path, "cpu", 1, 2**30, 0.0)


@pytest.fixture
def compute(settings: ComputeSettings) -> Iterator[ComputeProcess]:
    """A warm compute process."""
    made = started(settings)
    yield made
    made.close()


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


@pytest.mark.parametrize(
    ("how", "killed", "account"),
    [
        ("segfault", False, "crashed with SIGSEGV"),
        ("abort", False, "crashed with SIGABRT"),
        ("exit", False, "ended itself with exit code 7"),
        ("kill", True, "was killed"),
    ],
)
def test_every_end_is_told_apart(settings: ComputeSettings, how: str, killed: bool, account: str) -> None:
    """The worker's end sees how the process died, does not die itself, and can start another one."""
    compute = started(settings)
    compute.assign(assignment(settings.store, end=how))
    with pytest.raises(ProcessDiedError, match=account) as caught:
        end(compute)
    assert caught.value.killed is killed
    assert not compute.alive
    with pytest.raises(ProcessDiedError) if compute.pid else pytest.raises(AssertionError):
        compute.assign(assignment(settings.store))
    compute.close()


def test_a_dead_process_is_replaced(compute: ComputeProcess, tmp_path: Path) -> None:
    """After a death, `start` makes another one that works."""
    compute.assign(assignment(tmp_path, end="exit"))
    with pytest.raises(ProcessDiedError):
        end(compute)
    compute.start()
    compute.await_ready(threading.Event())
    compute.assign(assignment(tmp_path))
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
    from service.jobs.compute import Attempt

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
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write", slow)
    begun = time.monotonic()
    while time.monotonic() - begun < 1.0:
        made._keep(lambda: {})
        time.sleep(0.001)
    assert 1 <= len(writes) <= 4  # one in 0.4 s


def test_a_revision_lies_in_the_store_before_it_is_told_and_never_changes(tmp_path: Path) -> None:
    """The worker hears its name; another attempt that comes as far again leaves what is there."""
    from service.jobs.compute import Attempt, Revised

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


def test_without_the_worker_there_is_no_process(settings: ComputeSettings) -> None:
    """When the worker's end of the pipe closes, a process in mid-computation ends."""
    compute = started(settings)
    compute.assign(assignment(settings.store, end="hang"))
    process = compute._process
    assert process is not None
    assert compute._pipe is not None
    compute._pipe.close()
    assert process.wait(5) == 0


def test_a_terminal_signal_leaves_it_to_the_worker(compute: ComputeProcess, tmp_path: Path) -> None:
    """SIGTERM and SIGINT reach the whole process group; the job at hand goes on."""
    compute.assign(assignment(tmp_path, steps=10, step_s=0.02))
    assert compute._process is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        compute._process.send_signal(number)
    assert isinstance(end(compute), Succeeded)


def test_a_process_that_cannot_start_says_so(settings: ComputeSettings) -> None:
    """A module that does not import is an error of the worker, with a hint where to look."""
    compute = ComputeProcess(settings, "no.such.module")
    compute.start()
    with pytest.raises(WorkerError, match="exit code 1; its log says why"):
        compute.await_ready(threading.Event())


def running(records: Records, job_id: str) -> None:
    """A job in its first attempt."""
    records.create(job_id, b"{}")
    assert records.claim(job_id, job_id, "w") == 1


def watch(records: Records, folder: Path, job_id: str, attempt: int = 1, limit_s: float = 60.0) -> Watch:
    """A watch of an attempt."""
    return Watch(records, Store(folder), job_id, attempt, limit_s, threading.Event())


def test_reasons_to_stop(compute: ComputeProcess, records: Records, tmp_path: Path) -> None:
    """Cancellation, a newer attempt, the time limit and the worker's leaving each stop the job under their name."""
    leaving = threading.Event()
    leaving.set()
    wanted = assignment(tmp_path, steps=1000, step_s=0.01)
    job_id = wanted.job_id
    running(records, job_id)
    records.request_cancel(job_id)
    for made, reason in (
        (watch(records, tmp_path, job_id), "cancelled"),
        (watch(records, tmp_path, job_id, attempt=2), "stale"),
        (watch(records, tmp_path, job_id, limit_s=0.0), "time limit"),
        (Watch(records, Store(tmp_path), job_id, 1, 60.0, leaving), "leaving"),
    ):
        compute.assign(wanted)
        assert made.over(compute) == Halted()
        assert made.stop_reason == reason
    assert not Store(tmp_path).has(job_id, "result-1")


def test_progress_reaches_the_record(compute: ComputeProcess, records: Records, tmp_path: Path) -> None:
    """What the process tells is in the record, its picture in the store, and the progress says that it is there."""
    wanted = assignment(tmp_path, steps=30, step_s=0.02)
    running(records, wanted.job_id)
    compute.assign(wanted)
    assert isinstance(watch(records, tmp_path, wanted.job_id).over(compute), Succeeded)
    progress = records.get(wanted.job_id).progress
    assert progress is not None
    assert (progress.total, progress.preview) == (30, True)
    picture = Store(tmp_path).preview(wanted.job_id, 1)
    assert picture is not None
    assert Image.open(io.BytesIO(picture)).size == (24, 16)


def test_a_preview_that_cannot_be_written_harms_nothing(records: Records, tmp_path: Path) -> None:
    """Without room for the picture the progress is told without it."""
    job_id = uuid4().hex  # no folder in the store
    running(records, job_id)
    watch(records, tmp_path, job_id)._tell(Progress(1, 2), (np.ones((4, 4), np.complex64),))
    assert records.get(job_id).progress == Progress(1, 2)


def test_redis_away_does_not_stop_a_job(compute: ComputeProcess, away: str, tmp_path: Path) -> None:
    """While Redis is away the computation goes on."""
    compute.assign(assignment(tmp_path, steps=30, step_s=0.02))
    assert isinstance(watch(Records(away), tmp_path, uuid4().hex).over(compute), Succeeded)


def test_a_computation_that_hangs_is_ended(
    compute: ComputeProcess, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to stop by the time limit and deaf to it, a job is stopped all the same, with its process."""
    monkeypatch.setattr(worker, "_UNWIND_S", 0.2)
    wanted = assignment(tmp_path, end="hang")
    running(records, wanted.job_id)
    compute.assign(wanted)
    made = watch(records, tmp_path, wanted.job_id, limit_s=0.1)
    assert made.over(compute) == Halted()
    assert made.limit_text.startswith("time limit: the job ran longer than 0.1 s")
    assert not compute.alive
    assert records.get(wanted.job_id).state is JobState.RUNNING  # the refiner ends it
