"""How the axes of the positions lie on those of the patterns: eight possibilities, of which a file rarely tells.

Motors count in their own directions, and detectors are mounted and read out in theirs. A wrong possibility still gives
an image, of a worse fit. In the far field the patterns of O(r), P(r) and r_k are those of O*(-r), P*(-r) and -r_k: only
what is known of the probe tells a position from its negative, and where nothing is, that is said.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inphase.ptycho.measurement import Measurement

CLEAR = 0.03  # the R factor must fall by this share for positions to be turned
FEWEST = 8  # frames that can tell
FIRST = 64  # frames that are asked
TRIAL = "6*EPIE"


@dataclass(frozen=True)
class Orientation:
    """What is done to positions (row, column): exchanged first, then their signs changed."""

    exchanged: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    def __str__(self) -> str:
        told = [
            text
            for text, done in (
                ("rows and columns exchanged", self.exchanged),
                ("rows reversed", self.rows_reversed),
                ("columns reversed", self.columns_reversed),
            )
            if done
        ]
        return ", ".join(told) or "as given"

    def positions(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 2) of any unit, turned."""
        turned = positions[:, ::-1] if self.exchanged else positions
        return turned * np.where([self.rows_reversed, self.columns_reversed], -1.0, 1.0)

    @property
    def negative(self) -> "Orientation":
        """The one whose positions are the negatives."""
        return Orientation(self.exchanged, not self.rows_reversed, not self.columns_reversed)


ALL = tuple(Orientation(*flags) for flags in product((False, True), repeat=3))


def turned(measured: Measurement, orientation: Orientation) -> Measurement:
    """The measurement with its positions turned, in metres where the pixels are known: they need not be square."""
    pixel = np.asarray(measured.pixel_m or (1.0, 1.0))
    return replace(measured, positions_px=orientation.positions(measured.positions_px * pixel) / pixel)


def between(given: NDArray[np.float64], found: NDArray[np.float64]) -> Orientation:
    """The orientation by which positions (n, 2) became those that were found, which a refinement may have moved a
    little. Both have one length as the unit of both axes.
    """
    return min(ALL, key=lambda orientation: float(np.square(orientation.positions(given) - found).sum()))


def decided(measured: Measurement, scores: dict[Orientation, float]) -> Measurement:
    """The measurement as the R factors of the eight say, with a note where that is not as given, or not clear."""
    given = Orientation()
    best = min(scores, key=lambda orientation: scores[orientation])
    twins = abs(scores[best] - scores[best.negative]) < CLEAR * scores[best]
    if twins and given in (best, best.negative):
        best = given
    if scores[best] > (1 - CLEAR) * scores[given] and not (twins and best is given):
        best = given
    found = measured if best == given else turned(measured, best)
    if best != given:
        found = found.noted(
            f"The positions were turned ({best}): the R factor of the first frames is {scores[best]:.3f} so, and "
            f"{scores[given]:.3f} as given."
        )
    if twins:
        found = found.noted(
            "Positions and their negatives fit alike, since nothing is known of the probe: the object may be the twin "
            "O*(-r). A guess of the probe decides."
        )
    return found
