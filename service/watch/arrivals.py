"""Which measurements in a folder are complete.

The folder is looked at again and again: the file systems of beamlines do not tell who else writes to them.
"""

import fcntl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.intake.sources import files_of

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_VERSION_AT: Final = 8
_WITH_FLAGS: Final = (2, 3)  # versions of the superblock that tell whether a file is open for writing
_FLAGS_AT: Final = 11
_OPEN: Final = 0b101  # for writing, and for writing while others read


@dataclass(frozen=True)
class State:
    """How a measurement stands; where any of this has changed it is another one.

    files: how many it consists of. size: bytes in all. mtime_ns: of the newest.
    """

    files: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, scan: Path) -> "State":
        """As it is now. Raises OSError where it is gone."""
        found = [file.stat() for file in files_of(scan)]
        return cls(len(found), sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0))


@dataclass(frozen=True)
class Arrival:
    """A measurement that is at rest. writer: what tells that somebody has it open for writing, "" where nothing does.
    since: time.monotonic() when it came to rest.
    """

    scan: Path
    state: State
    since: float
    writer: str

    @property
    def complete(self) -> bool:
        """Whether it can be read."""
        return not self.writer


class Arrivals:
    """Tells which measurements are at rest. rest_s: seconds for which neither size nor time has changed."""

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._seen: dict[Path, tuple[State, float]] = {}

    def at_rest(self, scans: Iterable[Path]) -> list[Arrival]:
        """Those that are at rest now and hold anything."""
        now, before = time.monotonic(), self._seen
        self._seen, found = {}, []
        for scan in scans:
            try:
                state = State.of(scan)
                last, since = before.get(scan, (state, now))
                since = since if state == last else now
                self._seen[scan] = (state, since)
                if state.size and now - since >= self._rest_s:
                    found.append(Arrival(scan, state, since, writer_of(scan)))
            except OSError:  # it was moved away, or may not be read yet
                continue
        return found


def writer_of(scan: Path) -> str:
    """What tells that somebody has a measurement open for writing, "" where nothing does. Raises OSError.

    HDF5 locks a file that it writes, where the file system has locks, and marks it where the file is of the newer
    layout. The mark of a program that has crashed stays.
    """
    for file in files_of(scan):
        with file.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return f"{file.name} is locked by a program that writes it"
            except OSError:  # no locks here
                pass
            head = stream.read(_FLAGS_AT + 1)
        if not head.startswith(_HDF5) or len(head) <= _FLAGS_AT:
            continue
        if head[_VERSION_AT] in _WITH_FLAGS and head[_FLAGS_AT] & _OPEN:
            return f"{file.name} is marked as open for writing; `h5clear -s` removes the mark of a program that crashed"
    return ""
