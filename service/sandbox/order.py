"""What a reading process is asked to do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inphase.formats import Limits, Reading
from inphase.pattern import Domain

# what is said on the channel of a reading, by the template and by the process
BEGAN: Final = b"began"
DECLARES: Final = b"declares"
DONE: Final = b"done"
ENDED: Final = b"ended"

ANYWHERE: Final = (Path("/"),)  # whoever reads their own files may read what they may read


_BASE_BYTES: Final = 512 * 2**20  # for libraries, and for what a file holds beside its arrays
_COPIES: Final = 3  # of an array at its largest, the answer apart: as stored, in this machine's order, and its mask


def reading_bytes(array_bytes: int) -> int:
    """Memory that a process may take beyond what it has at its start, for a measurement of so many bytes."""
    return _BASE_BYTES + _COPIES * array_bytes


@dataclass(frozen=True)
class Terms:
    """What one reading may use up.

    seconds: of the clock, and of the processor. memory_bytes: beyond what the process has at its start. folders: in
    which it may open files; files may stand among them.
    """

    seconds: float
    memory_bytes: int
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class FileOrder:
    """Read a file or a folder of frames."""

    path: Path
    reading: Reading = field(default_factory=Reading)
    domain: Domain = Domain.COUNTS
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class BodyOrder:
    """Read a file that was sent and lies alone in a folder of its own, which nobody is told of."""

    path: Path
    reading: Reading = field(default_factory=Reading)
    domain: Domain = Domain.COUNTS
    limits: Limits = field(default_factory=Limits)


Order = FileOrder | BodyOrder


def where(order: Order) -> str:
    """How errors name what was to be read."""
    match order:
        case FileOrder(path):
            return str(path)
        case BodyOrder(path):
            return path.name
