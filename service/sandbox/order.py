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
