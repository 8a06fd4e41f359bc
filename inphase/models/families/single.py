"""Networks that draw one object from one pattern: the families `volume` (three axes) and `image` (two)."""

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.features import feature_shape, volume_features
from inphase.models.card import PatternCard
from inphase.models.prediction import Prediction, Tensors
from inphase.pattern import Pattern


def input_shapes(card: PatternCard) -> dict[str, tuple[int, ...]]:
    """Sides of each input for one pattern, without the batch axis."""
    return {name: feature_shape(name, card.grid) for name in card.inputs}


def output_shapes(card: PatternCard) -> dict[str, tuple[int, ...]]:
    """Sides of each output for one pattern, without the batch axis: the predicted box."""
    return dict.fromkeys(card.outputs, card.box)


def features(card: PatternCard, pattern: Pattern, free: NDArray[np.bool_] | None) -> Tensors:
    """The card's inputs for a pattern on its grid.
    Raises DataError where the network was not made for such a pattern.
    """
    if pattern.domain.value not in card.domain:
        raise DataError(
            f"model {card.name}@{card.version} takes {' or '.join(card.domain)}, not {pattern.domain.value}: "
            "choose another model or domain"
        )
    return volume_features(pattern.intensity, pattern.mask, free, card.inputs)


def decode(card: PatternCard, outputs: Tensors) -> list[Prediction]:
    """Amplitude and phase, centre on centre in the card's grid; zero around the predicted box."""
    return [
        Prediction(_framed(amplitude, card.grid), _framed(phase, card.grid))
        for amplitude, phase in zip(outputs["amplitude"], outputs["phase"], strict=True)
    ]


def _framed(box: NDArray[np.float32], grid: tuple[int, ...]) -> NDArray[np.float32]:
    if box.shape == grid:
        return np.ascontiguousarray(box)
    frame: NDArray[np.float32] = np.zeros(grid, np.float32)
    frame[tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(grid, box.shape, strict=True))] = box
    return frame
