"""Detector maps: bad pixels (dark) and flat field, from TIFF or npy files,
and the region of them that the frames show.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, TooLargeError
from inphase.formats import npy, tiff
from inphase.formats.boundary import boundary
from inphase.formats.regular import open_regular
from inphase.preprocess.corrections import Corrections
from inphase.sizes import in_words

ROI: Final = "roi"
MAPS: Final = ("dark", "flat", ROI)  # names of its arrays in a container file
MOST_BYTES: Final = 2**30  # of one map
_ROI: Final = re.compile(r"(\d{1,7}):(\d{1,7}),(\d{1,7}):(\d{1,7})")


def corrections(dark: Path | None, flat: Path | None, roi: str | None) -> Corrections | None:
    """Detector maps from files; None where there are none. Raises DataError, also for a region of no map."""
    if dark is None and flat is None:
        if roi is not None:
            raise DataError(f"roi={roi} is the region of dark and flat that the frames show: give one of the two maps")
        return None
    return Corrections(
        dark=None if dark is None else read_map(dark),
        flat=None if flat is None else read_map(flat),
        roi=None if roi is None else parse_roi(roi),
    )


def map_arrays(corrections: Corrections | None) -> dict[str, NDArray[np.generic]]:
    """What `corrections_of` reads, for a container file."""
    if corrections is None:
        return {}
    roi = None if corrections.roi is None else np.array(corrections.roi)
    arrays = zip(MAPS, (corrections.dark, corrections.flat, roi), strict=True)
    return {name: array for name, array in arrays if array is not None}


def corrections_of(arrays: Mapping[str, NDArray[np.generic]], where: str) -> Corrections | None:
    """Detector maps from the optional arrays MAPS of a container file; None where it has neither dark nor flat.

    dark and flat (rows, columns), roi (2, 2): rows and columns from and to. Raises DataError for what cannot be one.
    """
    dark, flat, roi = (arrays.get(name) for name in MAPS)
    if dark is None and flat is None:
        return None
    region = None
    if roi is not None:
        if roi.shape != (2, 2) or roi.dtype.kind not in "ui":
            raise DataError(f"{where}: roi must hold 2 x 2 integers, the rows and the columns from and to")
        top, bottom, left, right = (int(number) for number in roi.reshape(-1))
        region = parse_roi(f"{top}:{bottom},{left}:{right}")
    return Corrections(dark, flat, region)


def parse_roi(text: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """`r0:r1,c0:c1` as ((r0, r1), (c0, c1)). Raises DataError."""
    match = _ROI.fullmatch(text.replace(" ", ""))
    if match is None:
        raise DataError(
            f"the region {text!r} is not understood: write rows and columns as r0:r1,c0:c1, for example 0:256,0:256"
        )
    top, bottom, left, right = (int(part) for part in match.groups())
    if top >= bottom or left >= right:
        raise DataError(f"the region {text!r} is empty: each end lies above its beginning")
    return (top, bottom), (left, right)


def read_map(path: Path) -> NDArray[np.generic]:
    """A detector map (rows, columns) from a TIFF or npy file. Raises DataError, and nothing else."""
    with boundary(path):
        if path.suffix.lower() in tiff.SUFFIXES:
            found = from_tiff(path)
        elif path.suffix.lower() == ".npy":
            with open_regular(path) as stream:
                found = npy.decode_any(stream, os.fstat(stream.fileno()).st_size, str(path), MOST_BYTES)
        else:
            raise DataError(f"{path}: a detector map is a TIFF or npy file")
    if found.ndim != 2 or found.dtype.kind not in "uif":
        raise DataError(f"{path}: a detector map is two-dimensional and real, this is {found.shape} {found.dtype}")
    return found


def from_tiff(path: Path) -> NDArray[np.generic]:
    """The first series of a TIFF file. Raises DataError, TooLargeError."""
    with tiff.opened(path) as file:
        series = file.series[0]
        if series.nbytes > MOST_BYTES:
            raise TooLargeError(f"{path}: the detector map declares {in_words(series.nbytes)}")
        found: NDArray[np.generic] = series.asarray()
        return found
