"""Reads every file of a folder, each in a process of its own that may die: `python -m tests.hostile.child FOLDER`.

Prints one line of JSON a file: [name, outcome]. Outcomes: read; refused; unforeseen (refused by the last resort, as one
of inphase itself); escaped (another exception); hang; signal.
"""

import faulthandler
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from inphase.errors import InphaseError
from inphase.formats import Limits, beamline, read
from inphase.formats.fio import read_fio
from inphase.formats.maps import read_map
from inphase.formats.reconstruction import read_reconstruction
from inphase.formats.spec import read_scan

LONGEST_S: Final = 10
MEMORY: Final = 2**32
_LIMITS: Final = Limits(2**26)


def _measurement(path: Path) -> None:
    scan = read(path, limits=_LIMITS)
    assert scan.array.nbytes <= _LIMITS.max_bytes
    assert scan.mask is None or scan.mask.shape == scan.array.shape
    assert scan.geometry is None or bool(np.isfinite(scan.geometry.q_steps).all())
    (scan.source + scan.chosen).encode()


READERS: Final[dict[str, Callable[[Path], Any]]] = {
    "scan": _measurement,
    "map": read_map,
    "spec": lambda path: read_scan(path, 7),
    "fio": read_fio,
    "beamline": beamline.load,
    "reconstruction": lambda path: read_reconstruction(path, limits=_LIMITS),
}


def outcome(path: Path) -> str:
    """What becomes of one file, here and now."""
    try:
        READERS[path.name.partition("-")[0]](path)
    except InphaseError as error:
        return "unforeseen" if "This is a fault of inphase" in str(error) else "refused"
    except Exception as error:
        return f"escaped {type(error).__name__}: {error}"
    return "read"


def apart(path: Path) -> str:
    """The same in a process of its own, of bounded memory and time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.disable()  # its death is what is asked, and no news
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(
                signal.SIGALRM, signal.SIG_DFL
            )  # it ends the process, also where a test has its own use for it
            signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
            os.write(writing, outcome(path).encode("utf-8", "replace")[:2000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        told = stream.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "hang" if number == signal.SIGALRM else f"signal {signal.Signals(number).name}"
    return told or f"escaped: ended itself with code {os.WEXITSTATUS(status)}"


if __name__ == "__main__":
    for each in sorted(Path(sys.argv[1]).iterdir()):
        sys.stdout.write(json.dumps([each.name, apart(each)]) + "\n")
        sys.stdout.flush()  # what is left in it would be written again by every child
