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
    """Read an npz archive that was sent, once its declared bytes are admitted. where: how errors name it."""

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
