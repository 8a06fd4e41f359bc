"""A model's card: what its network expects, what it answers, and what is known of it (docs/reference/models.md).

One type for each family, told apart by the key `family`. Keys beyond these are for the card's readers.
"""

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from inphase.errors import DataError
from inphase.features import FEATURES

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[float, Meta(gt=0)]


class CommonCard(msgspec.Struct, frozen=True, kw_only=True, tag_field="family"):
    """What all cards have in common.

    grid, box: voxels per axis of a pattern and of the object that is predicted of it, centre on centre. oversampling:
    lowest and highest that the network was trained for. inputs: what the graph takes. outputs: smallest and largest
    value of each.
    """

    name: Name
    version: Annotated[int, Meta(ge=1)]
    domain: Annotated[list[Literal["counts", "modulus"]], Meta(min_length=1)]
    dc: Literal["N//2"]
    grid: tuple[int, ...]
    box: tuple[int, ...]
    oversampling: tuple[float, float]
    inputs: Annotated[list[str], Meta(min_length=1)]
    outputs: dict[str, tuple[float, float]]
    sha256: Digest
    licence: str
    training: dict[str, Any]
    metrics: dict[str, Any]

    def __post_init__(self) -> None:
        if len(self.grid) != len(self.box) or any(n < 2 or n % 2 for n in (*self.grid, *self.box)):
            raise ValueError("grid and box have the same number of sides, and all of them are even")
        if any(b > g for b, g in zip(self.box, self.grid, strict=True)):
            raise ValueError("the box lies inside the grid")
        if not {"amplitude", "phase"} <= self.outputs.keys():
            raise ValueError("outputs must name amplitude and phase")


class PatternCard(CommonCard, frozen=True, kw_only=True):
    """What the cards of networks for a single pattern have in common.

    inputs: names of `inphase.features`. support_threshold: of the largest predicted amplitude.
    """

    features: Literal["inphase.features.volume_features"]
    support_threshold: Annotated[float, Meta(gt=0, lt=1)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(set(self.inputs) - set(FEATURES)):
            raise ValueError(f"inputs are {', '.join(FEATURES)}; {', '.join(unknown)} is not known")


class VolumeCard(PatternCard, frozen=True, kw_only=True, tag="volume"):
    """A network for three-dimensional patterns of one Bragg peak."""

    grid: tuple[int, int, int]
    box: tuple[int, int, int]


class ImageCard(PatternCard, frozen=True, kw_only=True, tag="image"):
    """A network for two-dimensional patterns: one detector frame, or a slice through a Bragg peak."""

    grid: tuple[int, int]
    box: tuple[int, int]


class ScanCard(CommonCard, frozen=True, kw_only=True, tag="scan"):
    """A network for groups of neighbouring patterns of a ptychographic scan, in one beam.

    shown: what becomes of the counts before the scale: their square root, or themselves; the graph is given (shown -
    offset) / scale. photons: mean counts of a training pattern. offsets_px: where the frames of a group lie from their
    mean, (row, column) in pixels of the object, in the order of the channels. probe_sha256: of the beam
    (`inphase.ptycho.prediction.digest`), None where it was not recorded. pixel_m: of the object, (row, column), None
    for a network that was trained on simulated scans, which knows no metres.
    """

    grid: tuple[int, int]
    box: tuple[int, int]
    shown: Literal["modulus", "counts"]
    offset: float
    scale: Positive
    photons: Positive
    offsets_px: Annotated[list[tuple[float, float]], Meta(min_length=1)]
    probe_sha256: Digest | None
    pixel_m: tuple[Positive, Positive] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inputs != ["patterns"]:
            raise ValueError("the one input of a network of scans is patterns")
        if not all(math.isfinite(n) for n in (self.offset, self.scale, self.photons, *sum(self.offsets_px, ()))):
            raise ValueError("offset, scale, photons and offsets_px are finite")


Card = VolumeCard | ImageCard | ScanCard


def card_of(content: object) -> Card:
    """A card from the content of its YAML file. Raises msgspec.ValidationError, which names the key."""
    card: Card = msgspec.convert(content, type=Card)
    return card


def of_patterns(card: Card) -> PatternCard:
    """The card of a network for single patterns. Raises DataError for one of scans."""
    if isinstance(card, ScanCard):
        raise DataError(
            f"{card.name}@{card.version} draws parts of ptychographic scans, of the family scan, and a Bragg peak or "
            "a single frame is none: name a network of the family volume or image; `inphase ptycho --model` takes this "
            "one"
        )
    return card
