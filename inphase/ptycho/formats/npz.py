"""npz with the keys of ptychodus, PtychoPINN, tike and PtychoNN."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.maps import corrections_of
from inphase.formats.npz import read_arrays
from inphase.formats.scan import Limits
from inphase.formats.scanned import COORDINATES, PAIRS
from inphase.ptycho.formats.contents import CURVE, Contents, positive

PATTERNS = ("diff3d", "diffraction", "patterns", "data", "reciprocal")
OF_MODULI = ("diff3d", "diffraction")  # PtychoPINN's rules: fractional numbers are square roots of counts
PROBES = ("probeGuess", "probe_array", "probe")


def read(path: Path, limits: Limits) -> Contents:
    """The arrays of a file. Raises DataError that lists its keys where patterns or positions are missing."""
    arrays = read_arrays(path, limits)
    source = str(path)
    key = _first(PATTERNS, arrays)
    if key is None:
        raise DataError(
            f"{source}: holds no patterns under {', '.join(PATTERNS)}; it holds {_listing(arrays)}; {CURVE}"
        )
    positions, unit = _positions(arrays, source)
    probe = _first(PROBES, arrays)
    masked = arrays.get("bad_pixels", arrays.get("mask"))
    energy_ev = _number(arrays, "probe_energy_eV")
    object_pixel = (_number(arrays, "object_pixel_height_m"), _number(arrays, "object_pixel_width_m"))
    return Contents(
        source=source,
        patterns=arrays[key],
        positions=positions,
        unit=unit,
        mask=masked,
        probe=None if probe is None else arrays[probe],
        energy_kev=None if energy_ev is None else energy_ev / 1e3,
        distance_m=_number(arrays, "detector_distance_m"),
        object_pixel_m=(object_pixel[0], object_pixel[1]) if object_pixel[0] and object_pixel[1] else None,
        modulus=key in OF_MODULI,
        notes=(f"Patterns were read from the key '{key}'" + (f", the probe from '{probe}'." if probe else "."),),
        corrections=corrections_of(arrays, source),
    )


def _positions(arrays: dict[str, NDArray[Any]], source: str) -> tuple[NDArray[Any], str | None]:
    for rows, columns, unit in COORDINATES:
        if rows in arrays and columns in arrays:
            y, x = arrays[rows].reshape(-1), arrays[columns].reshape(-1)
            if len(y) != len(x):
                raise DataError(f"{source}: {rows} holds {len(y)} numbers and {columns} {len(x)}")
            return np.column_stack([y, x]), unit
    key = _first(PAIRS, arrays)
    if key is None:
        named = ", ".join([*(f"{rows} and {columns}" for rows, columns, _ in COORDINATES), *PAIRS])
        raise DataError(f"{source}: holds no positions under {named}; it holds {_listing(arrays)}; {CURVE}")
    found = arrays[key]
    while found.ndim > 2 and found.shape[0] == 1:
        found = found[0]
    if found.ndim != 2 or found.shape[1] != 2:
        raise DataError(f"{source}, key '{key}': positions have the shape (n, 2), found {arrays[key].shape}")
    return found, None


def _first(names: tuple[str, ...], arrays: dict[str, NDArray[Any]]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _number(arrays: dict[str, NDArray[Any]], key: str) -> float | None:
    found = arrays.get(key)
    return (
        positive(float(found.reshape(-1)[0]))
        if found is not None and found.size and found.dtype.kind in "uif"
        else None
    )


def _listing(arrays: dict[str, NDArray[Any]]) -> str:
    return ", ".join(f"{key} {array.shape} {array.dtype}" for key, array in sorted(arrays.items())[:20])
