"""The probability that an image is right, by logistic regression on a few signs (`inphase.imaging.signs`).

Right is an image whose complex correlation |sum conj(o) truth| / (|o| |truth|) with the true object is at least 0.95,
modulo twin, position and global phase. The coefficients stand in calibration.json, which benchmarks.trust.fit writes
from simulated measurements whose truth is known (benchmarks/results/trust.md).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec

RIGHT: Final = 0.95  # correlation with the truth
Image = Literal["refined", "network"]  # which images a calibration is for


@dataclass(frozen=True)
class Weight:
    """Of one sign: value * (sign - mean) is added to the log odds, `absent` where a job does not have it."""

    mean: float
    value: float
    absent: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """log odds = bias + sum of what the signs add."""

    bias: float
    weights: Mapping[str, Weight]

    def shares(self, signs: Mapping[str, float | None]) -> dict[str, float]:
        """What each sign adds to the log odds. KeyError where one is not named."""
        added = {}
        for name, weight in self.weights.items():
            sign = signs[name]
            added[name] = weight.absent if sign is None else weight.value * (sign - weight.mean)
        return added

    def probability(self, signs: Mapping[str, float | None]) -> float:
        """Of being right, 0 to 1."""
        odds = self.bias + sum(self.shares(signs).values())
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, odds))))


@cache
def calibration(of: Image) -> Calibration:
    """The one that is delivered."""
    content = (files("inphase") / "calibration.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Calibration])[of]
