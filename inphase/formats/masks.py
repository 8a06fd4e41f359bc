"""A mask beside a measurement, of the detector or of the whole scan: in a file of its own, or as boxes in words."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import EllipsisType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats import cxi, edf, npy, tiff
from inphase.formats.boundary import boundary
from inphase.formats.hidden import account
from inphase.formats.maps import from_tiff
from inphase.formats.regular import open_regular
from inphase.formats.scan import Limits, RawScan, masked, of_scan
from inphase.formats.tree import opened
from inphase.pattern import MOST_MASKED

_IN_CXI: Final = f"{cxi.DETECTOR}/mask"
_TOLD: Final = 200  # characters of the boxes that provenance repeats
_SIDE: Final = re.compile(r"(\d{1,7}):(\d{1,7})|:")


def with_mask(scan: RawScan, path: Path, limits: Limits) -> RawScan:
    """The scan, with what a mask file names masked as well: a pixel that is not zero, of the frames or of the scan.

    TIFF, npy, EDF, or CXI with its bits. Raises DataError where it does not fit, or is one of good pixels
    (`hidden.account`).
    """
    states = scan.part(mask_of(path, scan.whole, limits))
    said = account(scan.array, states, str(path))
    whole = np.broadcast_to(states.astype(np.uint8), scan.array.shape)
    return masked(scan, whole, f"{int(np.count_nonzero(states))} of its values mask by {path.name} ({said})")


def mask_of(path: Path, shape: tuple[int, ...], limits: Limits) -> NDArray[np.bool_]:
    """What a mask file names of a measurement of that shape: of every frame (rows, columns), or of each. Raises
    DataError.
    """
    with boundary(path):
        return np.asarray(of_scan(_read_mask(path, limits), shape, str(path)) != 0)


def with_boxes(scan: RawScan, text: str) -> RawScan:
    """The scan, with boxes masked as well that are named as `Reading.masked` says: of every frame, or of some.

    Raises DataError where one is not understood, is empty or reaches beyond the scan, or nearly everything is masked.
    """
    shape = scan.array.shape
    boxes = _boxes(text, scan.whole)
    states = _within([box if scan.region is None else scan.region.clipped(box) for box in boxes], shape)
    share = float(np.count_nonzero(states)) / states.size
    if share > MOST_MASKED:
        raise DataError(f"masked={text[:80]!r} masks {share:.0%} of the voxels: leave more of the measurement")
    whole = np.broadcast_to(states.astype(np.uint8), shape)
    named = text if len(text) <= _TOLD else f"{text[:_TOLD]}..."
    return masked(scan, whole, f"{int(np.count_nonzero(whole))} voxels masked by {len(boxes)} boxes: {named}")


def boxes_of(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """What boxes in words name of a measurement of that shape: of every frame (rows, columns), or of each. Raises
    DataError.
    """
    return _within(_boxes(text, shape), shape)


def _boxes(text: str, shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    boxes = [_box(part, shape) for part in text.split(";") if part.strip()]
    if not boxes:
        raise DataError(f"masked={text!r} names no box: write r0:r1,c0:c1 or f0:f1,r0:r1,c0:c1")
    return boxes


def _within(boxes: Sequence[tuple[slice, ...]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.zeros(shape[-max(len(box) for box in boxes) :], bool)
    for box in boxes:
        where: tuple[EllipsisType | slice, ...] = (..., *box)
        inside[where] = True
    return inside


def _box(text: str, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Of the last axes, as many as it names. Raises DataError."""
    parts = text.replace(" ", "").split(",")
    found = [_SIDE.fullmatch(part) for part in parts]
    if not 2 <= len(parts) <= len(shape) or None in found:
        raise DataError(
            f"the box {text[:80]!r} of masked= is not understood: write r0:r1,c0:c1"
            + (" or f0:f1,r0:r1,c0:c1" if len(shape) == 3 else "")
            + ", where : is all of an axis"
        )
    sides = []
    for side, length in zip(found, shape[-len(parts) :], strict=True):
        assert side is not None
        begin, end = (0, length) if side[1] is None else (int(side[1]), int(side[2]))
        if begin >= end:
            raise DataError(f"the box {text[:80]!r} of masked= is empty: each end lies above its beginning")
        if end > length:
            raise DataError(f"the box {text[:80]!r} of masked= reaches beyond the measurement, which is {shape}")
        sides.append(slice(begin, end))
    return tuple(sides)


def _read_mask(path: Path, limits: Limits) -> NDArray[np.uint8]:
    """As MaskState."""
    ending = path.suffix.lower()
    if ending == ".cxi":
        with opened(path) as tree:
            bits = tree.array(tree.dataset(_IN_CXI), limits)
        if bits.dtype.kind not in "uib":
            raise DataError(f"{path}, '{_IN_CXI}': holds {bits.dtype}, and a CXI mask holds bits")
        return cxi.states_of(bits)
    if ending in tiff.SUFFIXES:
        found = from_tiff(path)
    elif ending == edf.SUFFIX:
        found = edf.read(path, limits.max_bytes)
    elif ending == ".npy":
        with open_regular(path) as stream:
            found = npy.decode_any(stream, os.fstat(stream.fileno()).st_size, str(path), limits.max_bytes)
    else:
        raise DataError(f"{path}: a mask is a TIFF, npy, EDF or CXI file")
    if found.dtype.kind not in "buif" or (found.dtype.kind == "f" and np.isnan(found).any()):
        raise DataError(f"{path}: a mask holds whole numbers or bool, this is {found.dtype}")
    return np.asarray(found != 0, np.uint8)
