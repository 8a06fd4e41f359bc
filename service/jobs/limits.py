"""What a computation may take of the machine: its own share of the memory, so that a job too large fails and the host
lives on, and of the processors what others leave, so that nobody waits for an answer because something is computed.
"""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

from inphase.machine import machine_bytes

_PART: Final = 0.8  # of the machine's memory, for all compute processes together
_NICE: Final = 10  # a tenth of the weight of others; on a processor that nobody else wants it is no slower
_FIRST_TO_GO: Final = 500  # oom_score_adj: the kernel takes a compute process before Redis or the service


def share(processes: int) -> int:
    """Bytes for each of `processes` compute processes: equal parts of what this machine or container has."""
    return int(_PART * machine_bytes() / processes)


def confine(nbytes: int) -> None:
    """Bound this process's private memory: what it asks for beyond is refused, which numpy and torch report as errors.

    RLIMIT_DATA and not RLIMIT_AS: address space that is only reserved, as by CUDA, costs nothing.
    """
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (nbytes if hard == resource.RLIM_INFINITY else min(nbytes, hard), hard))
    with suppress(OSError):  # not Linux, or not allowed: the kernel chooses without our advice
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))


def give_way() -> None:
    """Let every thread of this process, and what they start, have the processors after others."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended
            number = int(thread.name)
            os.setpriority(os.PRIO_PROCESS, number, min(19, os.getpriority(os.PRIO_PROCESS, number) + _NICE))
