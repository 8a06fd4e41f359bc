"""What one kind of live scan has of its own: how frames are understood, when a look is due, and what is told of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from inphase.formats import RawScan
from inphase.live.awaited import Awaited
from inphase.live.batch import Position
from service.intake.submission import LiveFrames, Submission
from service.jobs.scans import ScanRecord, StoredFrame
from service.scans.document import LookPart, ScanDocument
from service.scans.order import ScanOrder

Order = TypeVar("Order", bound=ScanOrder, contravariant=True)
Summary = Callable[[int, NDArray[Any]], Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Came:
    """What has come of a scan, by place. positions: of a ptychographic one. It is the same object until more comes."""

    frames: Mapping[int, StoredFrame] = field(default_factory=dict)
    positions: Mapping[int, Position] = field(default_factory=dict)


class Kind(Protocol[Order]):
    """One kind; `service.scans.live` has those that there are."""

    def prepare(self, order: Order) -> None:
        """Load what the first look needs, before a scan is accepted. Raises as the loading does."""

    def awaited(self, order: Order, template: RawScan) -> Awaited:
        """What is known of a scan before its frames come. template: one frame. Raises DataError, ApiError."""
        ...

    def summary(self, awaited: Awaited) -> Summary:
        """What is kept of a frame beside its numbers, from its place and itself."""
        ...

    def usable(self, order: Order, came: Came) -> int:
        """How many frames an image can be made of now."""
        ...

    def due(self, order: Order, came: Came, looks: list[LookPart]) -> bool:
        """Whether there is enough that the looks (in order; none is at work) have not seen."""
        ...

    def soon(self, look: LookPart) -> bool:
        """Whether a look at work comes to its end so soon that the last one need not take its place."""
        ...

    def submission(self, order: Order, source: LiveFrames) -> Submission:
        """A look as a job."""
        ...

    def told(self, order: Order, came: Came, looks: list[LookPart]) -> Mapping[str, Any]:
        """What followers of a scan hear beside the counts; its missing places and `words` for people among it."""
        ...

    def document(self, record: ScanRecord, order: Order, came: Came, looks: list[LookPart]) -> ScanDocument:
        """A scan as it stands."""
        ...
