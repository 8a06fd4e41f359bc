"""How much memory a computation may take: its own share, so that a job too large fails and the host lives on."""

import resource
from pathlib import Path
from typing import Final

from inphase.retrieval.memory import machine_bytes

_PART: Final = 0.8  # of the machine's memory, for all compute processes together
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
    try:
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))
    except OSError:
        return  # not Linux, or not allowed: the kernel chooses without our advice
