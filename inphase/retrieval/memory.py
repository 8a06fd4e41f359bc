"""How much memory is free; and keeps freed memory within the process while a run lasts.

glibc hands every large array back to the kernel when it is freed and faults it in again, page by page, at the next
allocation. torch's FFT allocates its result: at 128^3 the faults cost more than the FFTs themselves.
The pool serves what comes and goes: a volume that stays there leaves holes that the next ones do not fit in.
"""

import ctypes
import platform
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inphase.machine import machine_bytes

# parameters of mallopt(3), malloc.h of glibc, and the defaults that they return to
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_DEFAULTS = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}

_lock = threading.Lock()
_runs = 0


def free_bytes(device: str) -> int:
    """What this process may still allocate on a device: on the host its own limit and what the machine has left."""
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    found = [machine_bytes() - _own_bytes("VmRSS"), _lines("/proc/meminfo").get("MemAvailable", machine_bytes())]
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if limit != resource.RLIM_INFINITY:
        found.append(limit - _own_bytes("VmData"))
    return max(0, min(found))


def _own_bytes(name: str) -> int:
    return _lines("/proc/self/status").get(name, 0)


def _lines(path: str) -> dict[str, int]:
    """The lines `name: n kB` of a file of the kernel, in bytes; none where there is no Linux."""
    try:
        lines = (line.split() for line in Path(path).read_text().splitlines())
    except OSError:
        return {}
    return {line[0].rstrip(":"): 1024 * int(line[1]) for line in lines if len(line) == 3 and line[2] == "kB"}


def keep_pages() -> None:
    """Keep them for as long as the process lives: a training step on a processor saves a fifth of its time."""
    global _runs
    with _lock:
        _runs += 1
        if _runs == 1:
            _set({_TRIM_THRESHOLD: -1, _MMAP_MAX: 0})


@contextmanager
def kept_pages() -> Iterator[None]:
    """No effect on any result, nor on systems without glibc. Runs may overlap; the last one gives the memory back."""
    global _runs
    keep_pages()
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if _runs == 0:
                _set(_DEFAULTS)
                if _glibc is not None:
                    _glibc.malloc_trim(0)


def _set(options: dict[int, int]) -> None:
    if _glibc is not None:
        for option, value in options.items():
            _glibc.mallopt(option, value)


_glibc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
