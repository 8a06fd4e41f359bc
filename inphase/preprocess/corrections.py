"""Detector corrections: bad-pixel map and flat field."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern, as_frames
from inphase.preprocess import marks
from inphase.preprocess.report import Number, StepReport

DARK_LIMIT = 1.0  # a pixel with more than this without beam counts by itself
USUAL = "usual_maps"  # of the metadata: the maps that a detector usually comes with, as `dark, flat`
FLAT_LIMIT = 0.1  # of the median: a pixel that sees less of the light multiplies noise more than it adds information


@dataclass(frozen=True)
class Corrections:
    """Maps of the detector.

    dark: (rows, columns), what a pixel shows without beam, in counts of a frame; above 1 it is bad. None: no map.
    flat: (rows, columns), response to even light, any unit; 0 is a dead pixel, and the end of the counter of its type
        a gap. None: even response.
    roi: ((first row, end), (first column, end)) of the scan on the chip that the maps cover; None: the same area.
    """

    dark: NDArray[np.generic] | None = None
    flat: NDArray[np.generic] | None = None
    roi: tuple[tuple[int, int], tuple[int, int]] | None = None

    def on(self, frame: tuple[int, ...]) -> Self:
        """The maps of the frames alone. Raises DataError where one does not cover them, or holds no real numbers."""
        dark, flat = (
            None if chip is None else _part(chip, frame, self.roi, name)
            for name, chip in (("dark", self.dark), ("flat", self.flat))
        )
        return type(self)(dark, flat)


@dataclass(frozen=True, eq=False)
class Response:
    """How the pixels of a frame answer, where nothing else takes the background away: a pixel that shows s has
    max(s - dark, 0) * gain counts.

    dark: (rows, columns) float32, 0 where bad. gain: (rows, columns) float32, 0 where a pixel is bad.
    """

    dark: NDArray[np.float32]
    gain: NDArray[np.float32]

    @classmethod
    def of(cls, corrections: Corrections, frame: tuple[int, ...]) -> Self:
        """By the maps. What the dark map shows is subtracted. A pixel above 1 in it is bad as long as the median one
        is not: where most pixels show so much, it is the offset of a detector that integrates.

        Raises DataError where a map does not cover the frames, or leaves no pixel.
        """
        bad, dark = np.zeros(frame, bool), np.zeros(frame)
        if corrections.dark is not None:
            dark = on_frame(corrections.dark, frame, corrections.roi, "dark")
            bad = ~np.isfinite(dark)
            if not bad.all() and np.median(dark[~bad]) <= DARK_LIMIT:
                bad |= ~(dark <= DARK_LIMIT)
        bad |= _uneven(corrections, frame)
        gain = _gain(corrections, frame, bad)
        return cls(np.where(bad, 0, dark).astype(np.float32), gain)

    @property
    def bad(self) -> NDArray[np.bool_]:
        """(rows, columns): pixels that measure nothing."""
        found: NDArray[np.bool_] = self.gain == 0
        return found

    @cached_property
    def alters(self) -> bool:
        """Whether any counts of good pixels become others."""
        good = ~self.bad
        return bool(self.dark[good].any() or (self.gain[good] != 1).any())

    def counts(self, shown: NDArray[Any]) -> NDArray[np.float32]:
        """Of frames (..., rows, columns) of real numbers; NaN stays NaN. 0 where a pixel is bad, or shows no more than
        without beam.
        """
        found = shown.astype(np.float32)
        np.subtract(found, self.dark, out=found)
        np.maximum(found, 0, out=found)
        return np.multiply(found, self.gain, out=found)

    def __str__(self) -> str:
        good = ~self.bad
        dark, gain = self.dark[good], self.gain[good]
        said = []
        if dark.any():
            said.append(
                f"The dark field was subtracted (median {np.median(dark):.4g} counts); counts below zero became 0."
            )
        if (gain != 1).any():
            said.append(f"The flat field was divided out (gain {gain.min():.3g} to {gain.max():.3g}).")
        if not good.all():
            said.append(f"Pixels that dark or flat field call bad, and that were masked: {np.count_nonzero(~good)}.")
        return " ".join(said) or "Dark and flat field leave the counts as they are."


def correct(pattern: Pattern, corrections: Corrections) -> tuple[Pattern, StepReport]:
    """Mask bad pixels and divide by the flat field, whose mean over the good pixels is taken as 1.

    Raises DataError where a map does not cover the frames, or leaves no pixel.
    """
    frame = pattern.shape[-2:]
    bad = unlit(corrections, frame)
    gain = _gain(corrections, frame, bad)
    intensity, mask = np.empty_like(pattern.intensity), np.empty_like(pattern.mask)
    counts, states, measured, known = (as_frames(a) for a in (intensity, mask, pattern.intensity, pattern.mask))

    def divide(slab: slice) -> None:
        np.multiply(measured[slab], gain, out=counts[slab])
        states[slab] = np.where(bad, np.uint8(MaskState.MASKED), known[slab])

    slabs.over_planes(divide, counts)
    numbers: dict[str, Number] = {
        "bad_pixels": int(bad.sum()),
        "gain_lowest": float(gain[~bad].min()),
        "gain_highest": float(gain.max()),
    }
    return replace(pattern, intensity=intensity, mask=mask), StepReport("corrections", numbers)


def unlit(corrections: Corrections, frame: tuple[int, ...]) -> NDArray[np.bool_]:
    """(rows, columns): the pixels that the maps call bad. Raises DataError where a map does not cover the frames."""
    bad = np.zeros(frame, bool)
    if corrections.dark is not None:
        bad |= ~(on_frame(corrections.dark, frame, corrections.roi, "dark") <= DARK_LIMIT)
    return bad | _uneven(corrections, frame)


def _uneven(corrections: Corrections, frame: tuple[int, ...]) -> NDArray[np.bool_]:
    """(rows, columns): the pixels that see next to nothing of even light, by the flat field. Raises DataError."""
    if corrections.flat is None:
        return np.zeros(frame, bool)
    flat = on_frame(corrections.flat, frame, corrections.roi, "flat")
    measured = np.isfinite(flat)
    dtype = corrections.flat.dtype
    if dtype.itemsize > (2 if dtype.kind == "f" else 1):  # gaps hold the counter's end, which would be most of the mean
        measured &= flat != float(dtype.type(marks.counter_end(dtype)))
    lit = flat[measured & (flat > 0)]
    if lit.size == 0:
        raise DataError("the flat field has no pixel above zero in the area of the frames")
    return ~(measured & (flat > FLAT_LIMIT * np.median(lit)))


def _gain(corrections: Corrections, frame: tuple[int, ...], bad: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(rows, columns): by what counts are multiplied; 0 where bad. Raises DataError where all are."""
    if bad.all():
        raise DataError(
            f"the maps call every pixel of the frames bad: in the dark map a pixel above {DARK_LIMIT:g} is bad, or one "
            "that is no number, and in the flat field one far below the others"
        )
    if corrections.flat is None:
        return np.where(bad, 0, 1).astype(np.float32)
    flat = on_frame(corrections.flat, frame, corrections.roi, "flat")
    gain = np.where(bad, 1.0, flat[~bad].mean() / np.where(bad, 1.0, flat)).astype(np.float32)
    gain[bad] = 0.0
    return gain


def missing(pattern: Pattern, corrections: Corrections | None) -> StepReport | None:
    """That a map is absent which the detector of the beamline usually comes with (metadata USUAL); None where none is.

    Nothing is wrong with the counts, but they fit worse, and slower: uneven pixels are no Poisson noise.
    """
    maps_of = corrections or Corrections()
    given = {name for name in ("dark", "flat") if getattr(maps_of, name) is not None}
    absent = [name for name in pattern.metadata.get(USUAL, "").split(", ") if name and name not in given]
    if not absent:
        return None
    maps = " and ".join(absent)
    doubt = (
        f"{pattern.metadata.get('beamline', 'this beamline')} usually has a {maps} map of its detector, and none was "
        f"given: without it bad and uneven pixels count as light; give {' and '.join(f'--{name}' for name in absent)}"
    )
    return StepReport("missing_maps", {"missing": maps}, doubts=(doubt,))


def on_frame(
    chip: NDArray[np.generic], frame: tuple[int, ...], roi: tuple[tuple[int, int], tuple[int, int]] | None, name: str
) -> NDArray[np.float64]:
    """The part of a map (rows, columns) under the frames. Raises DataError where it does not cover them, or holds no
    real numbers.
    """
    return _part(chip, frame, roi, name).astype(np.float64)


def _part(
    chip: NDArray[np.generic], frame: tuple[int, ...], roi: tuple[tuple[int, int], tuple[int, int]] | None, name: str
) -> NDArray[np.generic]:
    part = np.asarray(chip)
    if part.dtype.kind not in "uif":
        raise DataError(
            f"the {name} map holds {part.dtype}: a detector map is of real numbers; pixels that are bad are named by "
            "the mask"
        )
    if roi is not None and part.shape != frame:
        (top, bottom), (left, right) = roi
        part = part[top:bottom, left:right]
    if part.shape != frame:
        raise DataError(
            f"the {name} map is {np.shape(chip)}, with the region of interest {roi} it covers {part.shape}, "
            f"but the frames are {frame}: give the region that the frames show"
        )
    return part
