"""What this process may use of the machine: processors and memory, within its control groups (a container's limits)."""

import os
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/proc/self/cgroup")
_MOUNTED: Final = Path("/sys/fs/cgroup")


def cores() -> int:
    """Processors that this process may keep busy: those that it may run on, or what its control groups grant, rounded
    down, where that is less.
    """
    found = [float(_allowed()), *(quota for folder in _folders("cpu") if (quota := _quota(folder)) is not None)]
    return max(1, int(min(found)))


def threads(processes: int = 1) -> int | None:
    """Threads for each of `processes` that compute side by side: equal parts of `cores`.

    None for a single one that has the whole machine: libraries then count physical cores, which is what suits them, and
    know neither of affinity nor of control groups.
    """
    if processes == 1 and cores() >= (os.cpu_count() or 1):
        return None
    return max(1, cores() // processes)


def machine_bytes() -> int:
    """The machine's memory, or the control group's (a container's) where that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _folders("memory"):
        limits = (_numbers(folder / name) for name in ("memory.max", "memory.limit_in_bytes"))
        found += [limit[0] for limit in limits if limit]
    return min(found)


def _allowed() -> int:
    """Processors that the scheduler may put this process on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(folder: Path) -> float | None:
    """Processors that a control group grants; None where it sets no limit."""
    numbers = _numbers(folder / "cpu.max") or (
        _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
    )
    if len(numbers) != 2 or min(numbers) <= 0:  # version 1 writes -1 for no limit, version 2 "max"
        return None
    return numbers[0] / numbers[1]


def _folders(controller: str) -> list[Path]:
    """The control groups of this process, from its own one up: those of version 2, and of a controller of version 1."""
    found = []
    for line in _text(_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        own = Path(path.lstrip("/"))
        mounted = _MOUNTED / controller if controllers else _MOUNTED
        found += [mounted / group for group in (own, *own.parents)]
    return found


def _numbers(path: Path) -> list[int]:
    """The numbers of a file; none where it is not there or says that there is no limit."""
    try:
        return [int(word) for word in _text(path).split()]
    except ValueError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
