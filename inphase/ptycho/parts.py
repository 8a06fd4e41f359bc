"""A measurement in parts, arrays by name and text beside them, as it passes from process to process."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inphase.formats.maps import corrections_of, map_arrays
from inphase.pattern import MaskState
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.optics import FarField, NearField, Optics
from inphase.ptycho.prediction import Drawn

TOLD: Final = "told"  # name of the text among the arrays


def parts_of(measured: Measurement) -> dict[str, NDArray[Any]]:
    """Its arrays: patterns, positions_px, mask (one frame where all have the same), ids, and probe, optics, dark and
    flat where they are known. Source and notes are not among them.
    """
    mask = measured.mask
    found: dict[str, NDArray[Any]] = {
        "patterns": measured.patterns,
        "positions_px": measured.positions_px,
        "mask": mask[:1] if mask.strides[0] == 0 else mask,
        "ids": measured.ids,
    }
    if measured.probe is not None:
        found["probe"] = measured.probe
    if measured.optics is not None:
        found["optics"] = _numbers(measured.optics)
    return found | map_arrays(measured.corrections)


def measurement_of(parts: Mapping[str, NDArray[Any]], source: str, notes: Sequence[str]) -> Measurement:
    """The inverse. Raises ValueError for parts that no measurement has, KeyError where one is missing."""
    patterns, positions, ids, probe = parts["patterns"], parts["positions_px"], parts["ids"], parts.get("probe")
    n, *shape = patterns.shape
    _require(patterns.ndim == 3 and patterns.dtype.kind in "uif" and patterns.size > 0, "patterns")
    _require(positions.shape == (n, 2) and positions.dtype == np.float64, "positions")
    _require(bool(np.isfinite(positions).all()), "positions")
    _require(ids.shape == (n,) and ids.dtype == np.int64, "ids")
    mask = parts["mask"]
    _require(mask.dtype == np.uint8 and mask.shape in ((n, *shape), (1, *shape)), "mask")
    _require(int(mask.max()) <= max(MaskState), "mask")
    if probe is not None:
        fits = probe.ndim == 3 and probe.shape[1:] == tuple(shape) and probe.dtype == np.complex64
        _require(fits and len(probe) > 0 and bool(np.isfinite(probe).all()), "probe")
    corrections = corrections_of(parts, source)
    if corrections is not None:
        maps = (chip for chip in (corrections.dark, corrections.flat) if chip is not None)
        _require(all(chip.shape == tuple(shape) and chip.dtype.kind in "uif" for chip in maps), "maps")
    return Measurement(
        patterns,
        positions,
        mask if len(mask) == n else np.broadcast_to(mask, patterns.shape),
        probe,
        _optics(parts["optics"]) if "optics" in parts else None,
        ids,
        source,
        tuple(notes),
        corrections,
    )


@dataclass(frozen=True)
class _Told:
    """What is no array."""

    source: str
    notes: tuple[str, ...]


def arrays_of(measured: Measurement) -> dict[str, NDArray[Any]]:
    """All of a measurement as arrays: its parts, and TOLD (JSON)."""
    told = _Told(measured.source, measured.notes)
    return parts_of(measured) | {TOLD: np.array(msgspec.json.encode(told).decode())}


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Measurement:
    """The inverse. Raises as `measurement_of`."""
    told = msgspec.json.decode(str(arrays[TOLD]), type=_Told)
    return measurement_of(arrays, told.source, told.notes)


def arrays_of_drawn(drawn: Drawn) -> dict[str, NDArray[Any]]:
    """What a network has drawn of a measurement, to lie beside the arrays of that."""
    found: dict[str, NDArray[Any]] = {
        "drawn": drawn.parts, "drawn_frames": drawn.frames, "drawn_by": np.array(drawn.label),
    }  # fmt: skip
    return found if drawn.positions_px is None else found | {"drawn_positions_px": drawn.positions_px}


def drawn_of(arrays: Mapping[str, NDArray[Any]]) -> Drawn | None:
    """The inverse, None where there is nothing of the kind."""
    if "drawn" not in arrays:
        return None
    label, positions = str(arrays["drawn_by"]), arrays.get("drawn_positions_px")
    return Drawn(arrays["drawn"], arrays["drawn_frames"], label, positions)


def _require(holds: bool, name: str) -> None:
    if not holds:
        raise ValueError(f"the {name} of a measurement are not valid")


def _numbers(optics: Optics) -> NDArray[np.float64]:
    """Wavelength, distance, detector pixel (row, column), focus; NaN: the detector stands in the far field."""
    focus = optics.focus_m if isinstance(optics, NearField) else math.nan
    return np.array([optics.wavelength_m, optics.distance_m, *optics.detector_pixel_m, focus])


def _optics(numbers: NDArray[Any]) -> Optics:
    _require(numbers.shape == (5,) and numbers.dtype == np.float64, "optics")
    wavelength, distance, row, column, focus = numbers.tolist()
    if math.isnan(focus):
        return FarField(wavelength, distance, (row, column))
    return NearField(wavelength, distance, (row, column), focus)
