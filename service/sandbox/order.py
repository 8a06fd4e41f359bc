"""What a reading process is asked to do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inphase.formats import Limits, Reading
from inphase.pattern import Domain
from inphase.ptycho.formats.contents import Given

# what is said on the channel of a reading, by the template and by the process
BEGAN: Final = b"began"
DECLARES: Final = b"declares"
DONE: Final = b"done"
ENDED: Final = b"ended"

ANYWHERE: Final = (Path("/"),)  # whoever reads their own files may read what they may read


_BASE_BYTES: Final = 512 * 2**20  # for libraries, and for what a file holds beside its arrays
_COPIES: Final = 3  # of an array at its largest, the answer apart: as stored, in this machine's order, and its mask
# of the arrays of a scan: as stored, as counts, with DC in the centre, without bad pixels, and what is known of each
_COPIES_OF_SCAN: Final = 5


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


@dataclass(frozen=True)
class PtychogramOrder:
    """Read a ptychographic measurement from a file. given: what the file lacks, or has wrong. sent: the file was sent,
    and lies alone in a folder of its own.
    """

    path: Path
    given: Given = field(default_factory=Given)
    limits: Limits = field(default_factory=Limits)
    sent: bool = False


Order = FileOrder | BodyOrder | PtychogramOrder


def is_sent(order: Order) -> bool:
    """Whether nobody is told of the file's folder."""
    return isinstance(order, BodyOrder) or (isinstance(order, PtychogramOrder) and order.sent)


def where(order: Order) -> str:
    """How errors name what was to be read."""
    return order.path.name if is_sent(order) else str(order.path)


def manner(order: Order) -> str:
    """How it is read: the same file read in another way may end otherwise."""
    if isinstance(order, PtychogramOrder):
        return f"ptychogram:{order.given}"
    return f"{order.reading}:{order.domain}"


def reading_bytes(order: Order, array_bytes: int) -> int:
    """Memory that a process may take beyond what it has at its start, for a measurement of so many bytes."""
    return _BASE_BYTES + (_COPIES_OF_SCAN if isinstance(order, PtychogramOrder) else _COPIES) * array_bytes
