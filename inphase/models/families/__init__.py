"""What the networks of one kind take and answer, a module each: the only place that knows their tensors."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from inphase.models.card import Card, ImageCard, ScanCard, VolumeCard
from inphase.models.families import scan, single


class Family(Protocol):
    """What the modules of this package have in common. Their `features` make the inputs of a network, of a pattern
    (`single`) or of groups of them (`scan`), and `decode` reads its answer.
    """

    def input_shapes(self, card: Any) -> Mapping[str, tuple[int, ...]]:
        """Sides of each input of the network for one pattern, or one group of them, without the batch axis."""
        ...

    def output_shapes(self, card: Any) -> Mapping[str, tuple[int, ...]]:
        """The same of what it answers."""
        ...


# networks for volumes and for images take one pattern and answer one object: what differs is the rank
_FAMILIES: Final[Mapping[type[Card], Family]] = {VolumeCard: single, ImageCard: single, ScanCard: scan}


def family(card: Card) -> Family:
    """The family of a card."""
    return _FAMILIES[type(card)]
