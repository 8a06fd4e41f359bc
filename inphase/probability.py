"""The probability that an image is right, by logistic regression on curves of a few signs (`inphase.imaging.signs`).

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
import numpy as np

RIGHT: Final = 0.95  # correlation with the truth
Image = Literal["refined", "network"]  # which images a calibration is for


@dataclass(frozen=True)
class Curve:
    """What one sign adds to the log odds: lines between the points (at, adds), level beyond the outermost ones, and
    `absent` where a job does not have the sign. at: ascending.
    """

    at: tuple[float, ...]
    adds: tuple[float, ...]
    absent: float = 0.0

    def added(self, sign: float | None) -> float:
        """To the log odds."""
        return self.absent if sign is None else float(np.interp(sign, self.at, self.adds))


@dataclass(frozen=True)
class Calibration:
    """log odds = bias + sum of what the signs add."""

    bias: float
    curves: Mapping[str, Curve]

    def shares(self, signs: Mapping[str, float | None]) -> dict[str, float]:
        """What each sign adds to the log odds. KeyError where one is not named."""
        return {name: curve.added(signs[name]) for name, curve in self.curves.items()}

    def probability(self, signs: Mapping[str, float | None]) -> float:
        """Of being right, 0 to 1."""
        return 1 / (1 + math.exp(-self.bias - sum(self.shares(signs).values())))


@cache
def calibration(of: Image) -> Calibration:
    """The one that is delivered."""
    content = (files("inphase") / "calibration.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Calibration])[of]
