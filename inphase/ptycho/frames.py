"""Which patterns can be used, and which of their pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.ptycho.positions import listed

DIM = 0.01  # of the median frame's counts: below it the beam was off
UNKNOWN = 0.5  # share of a frame's valid pixels: where more are no numbers, the frame is none
MOST_LEFT_OUT = 0.5


@dataclass(frozen=True)
class Usable:
    """patterns: (n, y, x), 0 where masked. mask: (n, y, x) uint8. keep: (n,) bool. notes: in sentences."""

    patterns: NDArray[Any]
    mask: NDArray[np.uint8]
    keep: NDArray[np.bool_]
    notes: tuple[str, ...]


def usable(patterns: NDArray[Any], mask: NDArray[np.uint8], ids: NDArray[np.int64], source: str) -> Usable:
    """Frames that hold counts. Pixels that are not finite or negative are masked, and all masked ones set to 0.

    The array is copied only where it has to be altered. Raises DataError where most frames hold nothing.
    """
    wrong = no_numbers(patterns)
    known = mask == MaskState.VALID
    share = np.zeros(len(patterns)) if wrong is None else share_of(wrong, known)
    bad = None if wrong is None else known & wrong
    if wrong is not None:
        known = known & ~wrong
    altered = not known.all()
    cleaned = np.where(known, patterns, patterns.dtype.type(0)) if altered else patterns
    totals = cleaned.sum(axis=(1, 2), dtype=np.float64)
    lost = share > UNKNOWN
    median = float(np.median(totals[~lost])) if not lost.all() else 0.0
    dim = ~lost & (totals <= DIM * median)
    notes = []
    for frames, why in ((lost, "most of its pixels are no numbers"), (dim, "it holds next to no counts")):
        if frames.any():
            notes.append(f"Frames left out ({listed(ids[frames])}), because of each: {why}.")
    keep = ~lost & ~dim
    if np.count_nonzero(keep) < max(1, (1 - MOST_LEFT_OUT) * len(patterns)):
        raise DataError(
            f"{source}: {len(patterns) - np.count_nonzero(keep)} of {len(patterns)} frames hold no counts or no "
            "numbers: nothing can be reconstructed from the rest"
        )
    if bad is not None and (count := int(np.count_nonzero(bad[keep]))):
        negative = int(np.count_nonzero(patterns[keep][bad[keep]] < 0))
        notes.append(f"Pixels masked: {count}, of which {count - negative} are not finite and {negative} negative.")
    states = np.where(known, np.uint8(MaskState.VALID), np.uint8(MaskState.MASKED)) if wrong is not None else mask
    return Usable(cleaned, states, keep, tuple(notes))


def no_numbers(patterns: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Pixels of frames (..., y, x) that are not finite or negative, None where there are none."""
    if patterns.dtype.kind == "u":
        return None
    wrong: NDArray[np.bool_] = ~(patterns >= 0) | ~np.isfinite(patterns)
    return wrong if wrong.any() else None


def share_of(wrong: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(...): the share of the valid pixels of frames (..., y, x) that are `wrong`; 0 where none is valid."""
    share: NDArray[np.float64] = (wrong & valid).sum(axis=(-2, -1)) / np.maximum(valid.sum(axis=(-2, -1)), 1)
    return share
