"""What the networks of one kind take and answer, a module each: the only place that knows their tensors."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inphase.models.card import Card, ImageCard, VolumeCard
from inphase.models.families import single
from inphase.models.prediction import Prediction, Tensors
from inphase.pattern import Pattern


class Family(Protocol):
    """A module of this package."""

    def input_shapes(self, card: Any) -> Mapping[str, tuple[int, ...]]:
        """Sides of each input of the network for one pattern, without the batch axis."""
        ...

    def output_shapes(self, card: Any) -> Mapping[str, tuple[int, ...]]:
        """The same of what it answers."""
        ...

    def features(self, card: Any, pattern: Pattern, free: NDArray[np.bool_] | None) -> Tensors:
        """Network inputs of one pattern on the card's grid, with a batch axis of one. free: voxels to hide."""
        ...

    def decode(self, card: Any, outputs: Tensors) -> list[Prediction]:
        """One prediction for each pattern of the batch."""
        ...


# the networks of both families take one pattern and answer one object: what differs is the rank, which the card tells
_FAMILIES: Final[Mapping[type[Card], Family]] = {VolumeCard: single, ImageCard: single}


def family(card: Card) -> Family:
    """The family of a card."""
    return _FAMILIES[type(card)]
