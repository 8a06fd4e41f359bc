"""Networks that draw parts of an object from groups of patterns of a ptychographic scan: the family `scan`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.models.card import ScanCard
from inphase.models.prediction import Tensors


def input_shapes(card: ScanCard) -> dict[str, tuple[int, ...]]:
    """Sides of each input for one group, without the batch axis: a channel for each of its patterns."""
    return {name: (len(card.offsets_px), *card.grid) for name in card.inputs}


def output_shapes(card: ScanCard) -> dict[str, tuple[int, ...]]:
    """Sides of each output for one group, without the batch axis: a box for each of its patterns."""
    return dict.fromkeys(card.outputs, (len(card.offsets_px), *card.box))


def features(card: ScanCard, counts: NDArray[Any], known: NDArray[np.bool_]) -> Tensors:
    """The card's input for groups of patterns (B, C, N, N), the DC pixel at N // 2; unknown pixels are shown as dark.

    Of any real type: it is left before anything is squared or subtracted.
    """
    shown = np.where(known, counts, 0).astype(np.float32)
    if card.shown == "modulus":
        np.sqrt(shown, out=shown)
    return {"patterns": (shown - np.float32(card.offset)) / np.float32(card.scale)}


def decode(card: ScanCard, outputs: Tensors) -> NDArray[np.complex64]:
    """The parts (B, C, m, m) of the object that the frames see, centre on centre in their windows."""
    parts: NDArray[np.complex64] = (outputs["amplitude"] * np.exp(1j * outputs["phase"])).astype(np.complex64)
    return parts
