"""What a process may use, by its affinity and its control groups."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inphase import machine


@pytest.fixture
def grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process in no control group; the folder holds `cgroup`, the kernel's list of its groups, and `sys`."""
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_MOUNTED", tmp_path / "sys")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    return tmp_path


def written(folder: Path, files: dict[str, str]) -> None:
    """Files of control groups, as the kernel would show them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def test_a_machine_without_limits_is_left_to_the_libraries(grouped: Path) -> None:
    """One that computes alone counts physical cores itself; several get equal parts, and one at least."""
    assert machine.cores() == 16
    assert [machine.threads(n) for n in (1, 2, 3, 40)] == [None, 8, 5, 1]


@pytest.mark.parametrize(
    "files",
    [
        {"cgroup": "0::/box", "sys/box/cpu.max": "350000 100000", "sys/box/memory.max": "1073741824"},
        {"cgroup": "0::/", "sys/cpu.max": "350000 100000", "sys/memory.max": "1073741824"},  # a container's own view
        {  # a limit of the group around counts, "max" is none
            "cgroup": "0::/lab.slice/inphase.service",
            "sys/lab.slice/cpu.max": "350000 100000",
            "sys/lab.slice/inphase.service/cpu.max": "max 100000",
            "sys/lab.slice/memory.max": "1073741824",
            "sys/lab.slice/inphase.service/memory.max": "max",
        },
        {  # version 1, where each controller has a tree of its own; -1 is no limit
            "cgroup": "5:cpu,cpuacct:/box\n4:memory:/other\n0::/",
            "sys/cpu/cpu.cfs_quota_us": "-1",
            "sys/cpu/cpu.cfs_period_us": "100000",
            "sys/cpu/box/cpu.cfs_quota_us": "175000",
            "sys/cpu/box/cpu.cfs_period_us": "50000",
            "sys/memory/box/memory.limit_in_bytes": "1",
            "sys/memory/memory.limit_in_bytes": "9223372036854771712",
            "sys/memory/other/memory.limit_in_bytes": "1073741824",
        },
    ],
    ids=["version 2", "namespace", "nested", "version 1"],
)
def test_control_groups_bound_processors_and_memory(grouped: Path, files: dict[str, str]) -> None:
    """3.5 processors are three threads: a fourth would be stopped half of the time, and the others wait for it."""
    written(grouped, files)
    assert machine.cores() == 3
    assert machine.threads() == 3
    assert machine.threads(2) == 1
    assert machine.machine_bytes() == 2**30


def test_less_than_one_processor_is_one_thread(grouped: Path) -> None:
    """A small container computes slowly, but it computes."""
    written(grouped, {"cgroup": "0::/", "sys/cpu.max": "50000 100000"})
    assert machine.cores() == 1


def test_a_process_that_is_kept_to_one_processor_has_one() -> None:
    """The affinity of this process, as `taskset` or a batch system sets it, and so all transforms have one thread."""
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from inphase import fourier, machine
print(machine.cores(), machine.threads(), fourier.WORKERS)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.split() == ["1", "1" if (os.cpu_count() or 1) > 1 else "None", "1"]
