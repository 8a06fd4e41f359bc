"""What a reading process is asked to do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inphase.formats import Limits, Reading
from inphase.pattern import Domain

BODY: Final = Path("body.npz")  # what a body is called where a path is expected

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

    seconds: of the clock, and of the processor. memory_bytes: beyond what the process has at its start.
    """

    seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class FileOrder:
    """Read a file or a folder of frames."""

    path: Path
    reading: Reading = field(default_factory=Reading)
    domain: Domain = Domain.COUNTS
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class BodyOrder:
    """Read an npz archive that was sent. where: how errors name it."""

    where: str
    domain: Domain
    limits: Limits


Order = FileOrder | BodyOrder


def where(order: Order) -> str:
    """How errors name what was to be read."""
    match order:
        case FileOrder(path):
            return str(path)
        case BodyOrder(name):
            return name
