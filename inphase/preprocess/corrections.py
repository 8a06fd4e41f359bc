"""Detector corrections: bad-pixel map and flat field."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern, as_frames
from inphase.preprocess.report import Number, StepReport

DARK_LIMIT = 1.0  # a pixel with more than this without beam counts by itself
USUAL = "usual_maps"  # of the metadata: the maps that a detector usually comes with, as `dark, flat`
FLAT_LIMIT = 0.1  # of the median: a pixel that sees less of the light multiplies noise more than it adds information


@dataclass(frozen=True)
class Corrections:
    """Maps of the detector.

    dark: (rows, columns), what a pixel shows without beam; above 1 it is bad. None: no map.
    flat: (rows, columns), response to even light, any unit; 0 is a dead pixel. None: even response.
    roi: ((first row, end), (first column, end)) of the scan on the chip that the maps cover; None: the same area.
    """

    dark: NDArray[np.generic] | None = None
    flat: NDArray[np.generic] | None = None
    roi: tuple[tuple[int, int], tuple[int, int]] | None = None


def correct(pattern: Pattern, corrections: Corrections) -> tuple[Pattern, StepReport]:
    """Mask bad pixels and divide by the flat field, whose mean over the good pixels is taken as 1.

    Raises DataError where a map does not cover the frames, or leaves no pixel.
    """
    frame = pattern.shape[-2:]
    bad = unlit(corrections, frame)
    gain = np.ones(frame, np.float32)
    flat = None if corrections.flat is None else on_frame(corrections.flat, frame, corrections.roi, "flat")
    if bad.all():
        raise DataError(
            f"the maps call every pixel of the frames bad: in the dark map a pixel above {DARK_LIMIT:g} is bad, or one "
            "that is no number, and in the flat field one far below the others"
        )
    if flat is not None:
        gain = np.where(bad, 1.0, flat[~bad].mean() / np.where(bad, 1.0, flat)).astype(np.float32)
    gain[bad] = 0.0
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
    if corrections.flat is not None:
        flat = on_frame(corrections.flat, frame, corrections.roi, "flat")
        lit = flat[np.isfinite(flat) & (flat > 0)]
        if lit.size == 0:
            raise DataError("the flat field has no pixel above zero in the area of the frames")
        bad |= ~(np.isfinite(flat) & (flat > FLAT_LIMIT * np.median(lit)))
    return bad


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
    """The part of a map (rows, columns) under the frames."""
    part = np.asarray(chip, np.float64)
    if roi is not None and part.shape != frame:
        (top, bottom), (left, right) = roi
        part = part[top:bottom, left:right]
    if part.shape != frame:
        raise DataError(
            f"the {name} map is {np.shape(chip)}, with the region of interest {roi} it covers {part.shape}, "
            f"but the frames are {frame}: give the region that the frames show"
        )
    return part
