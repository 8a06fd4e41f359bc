"""A model's card: what its network expects, what it answers, and what is known of it (docs/reference/models.md).

One type for each family, told apart by the key `family`. Keys beyond these are for the card's readers.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from inphase.features import FEATURES

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class CommonCard(msgspec.Struct, frozen=True, kw_only=True, tag_field="family"):
    """What the cards of networks for a single pattern have in common.

    grid, box: voxels per axis of the pattern and of the predicted object, which lies centre on centre in the grid.
    oversampling: lowest and highest that the network was trained for. inputs: names of `inphase.features`.
    outputs: smallest and largest value of each. support_threshold: of the largest predicted amplitude.
    """

    name: Name
    version: Annotated[int, Meta(ge=1)]
    domain: Annotated[list[Literal["counts", "modulus"]], Meta(min_length=1)]
    features: Literal["inphase.features.volume_features"]
    dc: Literal["N//2"]
    grid: tuple[int, ...]
    box: tuple[int, ...]
    oversampling: tuple[float, float]
    inputs: Annotated[list[str], Meta(min_length=1)]
    outputs: dict[str, tuple[float, float]]
    support_threshold: Annotated[float, Meta(gt=0, lt=1)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    licence: str
    training: dict[str, Any]
    metrics: dict[str, Any]

    def __post_init__(self) -> None:
        if len(self.grid) != len(self.box) or any(n < 2 or n % 2 for n in (*self.grid, *self.box)):
            raise ValueError("grid and box have the same number of sides, and all of them are even")
        if any(b > g for b, g in zip(self.box, self.grid, strict=True)):
            raise ValueError("the box lies inside the grid")
        if unknown := sorted(set(self.inputs) - set(FEATURES)):
            raise ValueError(f"inputs are {', '.join(FEATURES)}; {', '.join(unknown)} is not known")
        if not {"amplitude", "phase"} <= self.outputs.keys():
            raise ValueError("outputs must name amplitude and phase")


class VolumeCard(CommonCard, frozen=True, kw_only=True, tag="volume"):
    """A network for three-dimensional patterns of one Bragg peak."""

    grid: tuple[int, int, int]
    box: tuple[int, int, int]


class ImageCard(CommonCard, frozen=True, kw_only=True, tag="image"):
    """A network for two-dimensional patterns: one detector frame, or a slice through a Bragg peak."""

    grid: tuple[int, int]
    box: tuple[int, int]


Card = VolumeCard | ImageCard


def card_of(content: object) -> Card:
    """A card from the content of its YAML file. Raises msgspec.ValidationError, which names the key."""
    card: Card = msgspec.convert(content, type=Card)
    return card
