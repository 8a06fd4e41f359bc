"""Shares of the machine."""

from pathlib import Path

from inphase.machine import cores, machine_bytes, threads
from service.jobs.limits import share
from service.jobs.settings import WorkerSettings


def test_processes_share_memory_and_cores() -> None:
    """Together they stay below the machine's memory; what is set is taken as it is; CUDA is not bounded by default."""
    four = WorkerSettings("", Path(), concurrency=4).compute
    assert four.memory_bytes == share(4)
    assert 0.7 * machine_bytes() < 4 * share(4) <= 0.8 * machine_bytes()
    assert four.threads == max(1, cores() // 4)
    assert WorkerSettings("", Path()).compute.threads == threads()
    assert WorkerSettings("", Path(), memory_bytes=5, threads=7, concurrency=2).compute.memory_bytes == 5
    assert WorkerSettings("", Path(), "cuda:0").compute.memory_bytes is None


def test_memory_is_the_machines_or_less() -> None:
    """At most what the kernel reports, and more than nothing."""
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert 0 < machine_bytes() <= int(total.split()[1]) * 1024
