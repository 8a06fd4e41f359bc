"""Which patterns can be used, and which of their pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.preprocess import marks
from inphase.preprocess.corrections import Response
from inphase.ptycho.positions import listed

DIM = 0.01  # of the median frame's counts: below it the beam was off
UNKNOWN = 0.5  # share of a frame's valid pixels: where more are no numbers, the frame is none
MOST_LEFT_OUT = 0.5
NOT_COUNTED = "most of its pixels are no counts"


@dataclass(frozen=True)
class Usable:
    """patterns: (n, y, x), 0 where masked. mask: (n, y, x) uint8. keep: (n,) bool. notes: in sentences."""

    patterns: NDArray[Any]
    mask: NDArray[np.uint8]
    keep: NDArray[np.bool_]
    notes: tuple[str, ...]


def usable(
    patterns: NDArray[Any],
    mask: NDArray[np.uint8],
    ids: NDArray[np.int64],
    source: str,
    response: Response | None = None,
) -> Usable:
    """Frames that hold counts. Pixels that are not finite or negative, that the detector marks as none, or at the end
    of its counter, are masked, and all masked ones set to 0. response: of the detector's pixels; by it the counts of a
    frame are judged, and the frames stay as they were.

    The array is copied only where it has to be altered. Raises DataError where most frames hold nothing.
    """
    wrong = no_counts(patterns)
    known = mask == MaskState.VALID
    share = np.zeros(len(patterns)) if wrong is None else share_of(wrong, known)
    marked = _marked(patterns, known if wrong is None else known & ~wrong)
    if marked is not None:
        wrong = marked if wrong is None else wrong | marked
    bad = None if wrong is None else known & wrong
    if wrong is not None:
        known = known & ~wrong
    altered = not known.all()
    cleaned = np.where(known, patterns, patterns.dtype.type(0)) if altered else patterns
    totals = _totals(cleaned, response)
    lost = share > UNKNOWN
    median = float(np.median(totals[~lost])) if not lost.all() else 0.0
    dim = ~lost & (totals <= DIM * median)
    notes = []
    for frames, why in ((lost, NOT_COUNTED), (dim, "it holds next to no counts")):
        if frames.any():
            notes.append(f"Frames left out ({listed(ids[frames])}), because of each: {why}.")
    keep = ~lost & ~dim
    if np.count_nonzero(keep) < max(1, (1 - MOST_LEFT_OUT) * len(patterns)):
        raise DataError(
            f"{source}: {len(patterns) - np.count_nonzero(keep)} of {len(patterns)} frames hold no counts or no "
            "numbers: nothing can be reconstructed from the rest"
        )
    if bad is not None and bad[keep].any():
        notes.append(_told(patterns[keep][bad[keep]]))
    states = np.where(known, np.uint8(MaskState.VALID), np.uint8(MaskState.MASKED)) if wrong is not None else mask
    return Usable(cleaned, states, keep, tuple(notes))


def _totals(patterns: NDArray[Any], response: Response | None) -> NDArray[np.float64]:
    """(n,): counts of frames (n, y, x)."""
    if response is None or not response.alters:
        found: NDArray[np.float64] = patterns.sum(axis=(1, 2), dtype=np.float64)
        return found
    return np.array([response.counts(frame).sum(dtype=np.float64) for frame in patterns])


def no_counts(patterns: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Pixels of frames (..., y, x) that are not finite, negative, or at the end of the counter of their type, where
    detectors stop to count and mark their gaps; None where there are none.
    """
    parts: list[NDArray[np.bool_]] = []
    if patterns.dtype.kind != "u":
        parts.append(~(patterns >= 0) | ~np.isfinite(patterns))
    if patterns.dtype.itemsize > (2 if patterns.dtype.kind == "f" else 1):  # 255 counts are common
        end = patterns.dtype.type(marks.counter_end(patterns.dtype))
        if not patterns.max(initial=0) < end:  # most have none, and cost no memory; of NaN nothing is known
            parts.append(patterns == end)
    wrong = None if not parts else parts[0] if len(parts) == 1 else parts[0] | parts[1]
    return wrong if wrong is not None and wrong.any() else None


def _marked(patterns: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """(n, y, x): pixels at a mark of a narrower type, as 65535 is in 32 bits, or at the end of its counter; None where
    there are none.
    """
    high = float(patterns.max(where=known, initial=0))
    if high < marks.LEAST_MARK:
        return None
    found = marks.find(patterns, high)
    ends = marks.ends(patterns, ~known, found, high)
    wrong = np.broadcast_to(found.pixels, patterns.shape)
    for part in (ends.at_end, ends.wrapped):
        wrong = wrong if part is None else wrong | part
    return wrong if (wrong & known).any() else None


def _told(values: NDArray[Any]) -> str:
    """What was masked, by its values."""
    endless = int(np.count_nonzero(~np.isfinite(values)))
    negative = int(np.count_nonzero(values < 0)) - int(np.count_nonzero(np.isneginf(values)))
    end = len(values) - endless - negative
    at = f" (up to {values[np.isfinite(values)].max():.10g})" if end else ""
    return (
        f"Pixels masked: {len(values)}, of which {endless} are not finite, {negative} negative, and {end} marked by "
        f"the detector or at the end of its counter{at}."
    )


def share_of(wrong: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(...): the share of the valid pixels of frames (..., y, x) that are `wrong`; 0 where none is valid."""
    share: NDArray[np.float64] = (wrong & valid).sum(axis=(-2, -1)) / np.maximum(valid.sum(axis=(-2, -1)), 1)
    return share
