"""What is asked of a live scan, and as what it is stored: one model a kind."""

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from inphase.ptycho.formats.contents import Given
from inphase.ptycho.units import PositionUnit
from service.intake.options import BeamOptions, JobOptions, PtychoOptions
from service.jobs.state import Priority

KindName = Literal["rocking", "ptycho"]
Frames = Annotated[
    int | None,
    Field(ge=1, le=1_000_000, description="The finished scan has so many frames; without it the end is open."),
]
Name = Annotated[str, Field(max_length=200, description="People know the scan by this name.")]


class RockingFields(JobOptions):
    """What is asked of a live rocking curve. `wait` does not count here."""

    frames: Frames = None
    name: Name = ""
    priority: Priority = Priority.HIGH


class RockingOptions(RockingFields):
    """The same with its kind."""

    kind: Annotated[
        Literal["rocking"],
        Field(description="Frames are those of a rocking curve, and a frame's place is its step on the rocking axis."),
    ] = "rocking"


class Beam(BeamOptions):
    """The same with the unit of the positions."""

    unit: Annotated[
        PositionUnit,
        Field(
            description="Positions are in pixels of the object, or in a length, which needs energy, distance and "
            "detector pixel."
        ),
    ] = "pixel"

    def given(self) -> Given:
        """The same for inphase.ptycho."""
        return Given(**{name: getattr(self, name) for name in Beam.model_fields})


class PtychoScanOptions(PtychoOptions, Beam):
    """What is asked of a live ptychographic scan."""

    model: Annotated[
        str | None,
        Field(
            max_length=100,
            description="The first look and the last image are begun from the image of this network of the family "
            "scan, given as name or name@version; where it does not fit the frames, a note says so, and they are begun "
            "without it.",
        ),
    ] = None
    kind: Annotated[
        Literal["ptycho"],
        Field(description="Frames are those of a ptychographic scan; a frame and its position have the same place."),
    ]
    frames: Frames = None
    name: Name = ""
    priority: Annotated[
        Priority, Field(description="Workers serve jobs of priority high before normal, and normal before low.")
    ] = Priority.HIGH
    webhook: Annotated[
        str | None,
        Field(
            max_length=500, description="This address is told when a look has ended; the operator has named its host."
        ),
    ] = None


class RockingOrder(RockingOptions):
    """What was asked, as it is stored. shape: rows and columns. dtype: of the frames."""

    shape: tuple[int, int]
    dtype: str


class PtychoOrder(PtychoScanOptions):
    """The same of a ptychographic scan."""

    shape: tuple[int, int]
    dtype: str


def _kind(order: Any) -> str:
    """Of an order, or of its JSON; scans of earlier versions are rocking curves, and do not say so."""
    found: str = order.get("kind", "rocking") if isinstance(order, dict) else order.kind
    return found


ScanOrder = RockingOrder | PtychoOrder
_ORDERS: Final[TypeAdapter[ScanOrder]] = TypeAdapter(
    Annotated[
        Annotated[RockingOrder, Tag("rocking")] | Annotated[PtychoOrder, Tag("ptycho")], Discriminator(_kind)
    ]
)  # fmt: skip


def order_of(stored: bytes) -> ScanOrder:
    """What was asked of a scan, from its record."""
    return _ORDERS.validate_json(stored)
