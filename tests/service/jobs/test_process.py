"""The worker's end of a compute process: real processes with the stand-in for the refinement."""

import os
import signal
import threading
from pathlib import Path

import pytest

from service.jobs.compute import Succeeded
from service.jobs.errors import WorkerError
from service.jobs.process import ComputeProcess, ProcessDiedError
from service.jobs.settings import ComputeSettings
from tests.service.jobs.stand_in import assignment, end, started


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
    compute.close()  # of nothing: no fault


def test_others_go_first(compute: ComputeProcess) -> None:
    """Every thread of a compute process is 10 nicer than its worker, as soon as it is warm."""
    assert compute._process is not None
    threads = os.listdir(f"/proc/{compute._process.pid}/task")
    assert len(threads) > 1
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads} == {min(19, own + 10)}


def test_a_dead_process_is_replaced(compute: ComputeProcess, tmp_path: Path) -> None:
    """After a death, `start` makes another one that works."""
    compute.assign(assignment(tmp_path, end="exit"))
    with pytest.raises(ProcessDiedError):
        end(compute)
    compute.start()
    compute.await_ready(threading.Event())
    compute.assign(assignment(tmp_path))
    assert isinstance(end(compute), Succeeded)


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
