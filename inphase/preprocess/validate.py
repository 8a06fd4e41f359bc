"""From the array of a file to a Pattern: what cannot be a measurement is refused, what is unknown is masked."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.pattern import Domain, MaskState, Pattern, as_frames, digest
from inphase.preprocess import marks, negatives
from inphase.preprocess.report import Number, StepReport

MIN_SIDE = 8  # voxels; below it no fringe fits
MAX_UNKNOWN = 0.01  # share of voxels that may be NaN or negative outside pixels that are so in every frame
MAX_MARKED = 0.5  # share of detector pixels that may be marked as not measuring
ALIKE = 0.01  # relative: so near to the typical one negative counts have one value
FLOOR = 0.05  # share of the negative counts that lie at the least one: it is what was taken off voxels without light
MAX_MODULUS = 1e18  # its square still fits float32


def pattern_from_array(
    array: NDArray[np.generic],
    domain: Domain = Domain.COUNTS,
    geometry: Geometry | None = None,
    metadata: Mapping[str, str] | None = None,
    mask: NDArray[np.uint8] | None = None,
) -> Pattern:
    """Check an array of counts or moduli, (rocking, row, column) or a single frame (row, column),
    and make a Pattern of it.

    A stack of one frame is that frame.

    mask: uint8 of MaskState, the array's shape: what the file itself says of its voxels; their values are not looked
    at.

    Masked besides: frames filled with one value, detector pixels with a mark in every frame, voxels at the end of a
    counter (see `marks`), detector pixels that are NaN or negative in every frame (a common mark for gaps), and other
    NaN or negative voxels while they are fewer than 1 %. More negative counts are kept, with their sign, where they are
    the noise that subtracting a background leaves (`negatives.noise`). Moduli are squared.

    Raises DataError for wrong dimensions, type or size, too many NaN or negative voxels, and a scan without any count.
    """
    data: NDArray[Any] = np.asarray(array)
    if data.ndim == 3 and len(data) == 1:
        data, mask = data[0], None if mask is None else mask[0]
    if data.ndim not in (2, 3):
        raise DataError(
            f"the array has {data.ndim} dimensions {data.shape}; a rocking curve has 3, (frame, row, column), and a "
            "single frame 2, (row, column)"
        )
    if data.dtype.kind not in "uif":
        raise DataError(f"the array holds {data.dtype}; counts or moduli must be real numbers (integer or float)")
    if min(data.shape) < MIN_SIDE:
        raise DataError(f"the array is {data.shape}; each axis needs at least {MIN_SIDE} voxels")
    with ThreadPoolExecutor(max_workers=1) as hashing:  # hashing releases the interpreter and takes as long as the rest
        identity = hashing.submit(digest, data)
        intensity, states, signed, unknown = _measured(data, domain, mask)
    return Pattern(intensity, states, domain, geometry, dict(metadata or {}), identity.result(), signed, unknown)


def report(pattern: Pattern) -> StepReport:
    """What `pattern_from_array` masked."""
    wrapped = pattern.unknown.get("below_zero_without_sign")
    doubts = (
        ()
        if wrapped is None
        else (
            f"{wrapped} voxels hold counts below zero that lost their sign, and are masked: subtract the dark frame in "
            "a signed type",
        )
    )
    return StepReport("unknown_voxels", pattern.unknown, doubts=doubts)


def _measured(
    data: NDArray[Any], domain: Domain, given: NDArray[np.uint8] | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8], bool, dict[str, Number]]:
    """Intensity, mask, whether some count may be below zero, and what was masked here."""
    intensity, low, high = _converted(data)
    unknown, numbers = _unknown(data, domain, given, low, high)
    mask = np.zeros(data.shape, np.uint8)

    def settle(slab: slice) -> None:
        if unknown is not None:
            mask[slab][unknown[slab]] = MaskState.MASKED
        if given is not None:
            np.maximum(mask[slab], given[slab], out=mask[slab])
        np.copyto(intensity[slab], np.float32(0.0), where=mask[slab] != MaskState.VALID)

    if unknown is not None or given is not None:
        slabs.over_planes(settle, mask)
    peak = slabs.largest(intensity)
    if peak <= 0.0:
        raise DataError(f"the scan is empty: none of its {data.size} voxels has a count above zero")
    if domain is Domain.MODULUS:
        if peak > MAX_MODULUS:
            raise DataError(f"the largest modulus is {peak:.3g}; rescale the array below {MAX_MODULUS:g}")
        intensity *= intensity
    return intensity, mask, not low >= 0, numbers


def _converted(data: NDArray[Any]) -> tuple[NDArray[np.float32], Any, Any]:
    """The data as float32, and their least and largest value as they are, NaN if any voxel is."""
    intensity = np.empty(data.shape, np.float32)

    def convert(slab: slice) -> tuple[np.generic, np.generic]:
        with np.errstate(over="ignore", invalid="ignore"):
            intensity[slab] = data[slab]
        return data[slab].min(), data[slab].max()

    low, high = zip(*slabs.over_planes(convert, data), strict=True)
    return intensity, np.array(low, data.dtype).min(), np.array(high, data.dtype).max()


def _unknown(
    data: NDArray[Any], domain: Domain, given: NDArray[np.uint8] | None, low: Any, high: Any
) -> tuple[NDArray[np.bool_] | None, dict[str, Number]]:
    """Voxels to mask (same shape, bool), or None where there are none, and how many of each kind.

    given: what is masked already does not count against the scan. low, high: of all values. Raises DataError where
    there are too many.
    """
    marked = marks.find(as_frames(data), float(high))
    unknown = marked.voxels.reshape(data.shape) if marked.any else None
    numbers: dict[str, Number] = {
        "filled_frames": [int(frame) for frame in np.flatnonzero(marked.frames)],
        "marked_pixels": int(marked.pixels.sum()),
        "marks": list(marked.values),
    }
    if not (low >= 0 and high < np.inf):
        broken = ~((data >= 0) & (data < np.inf))
        if given is not None:
            broken &= given == MaskState.VALID
        if domain is Domain.COUNTS:
            broken &= ~_noise(data, broken, marked.counting)
        _refuse_if_too_many(data, broken, marked.counting, domain)
        numbers["not_a_number_or_negative"] = int(broken.sum())
        unknown = broken if unknown is None else unknown | broken
    if domain is Domain.MODULUS:
        return unknown, numbers
    masked = unknown
    if given is not None:
        masked = given != MaskState.VALID if unknown is None else unknown | (given != MaskState.VALID)
    ends = marks.ends(data, masked, marked, float(high))
    for name, voxels in (("at_counter_end", ends.at_end), ("below_zero_without_sign", ends.wrapped)):
        if voxels is not None:
            numbers[name] = int(voxels.sum())
            unknown = voxels if unknown is None else unknown | voxels
    return unknown, numbers


def _noise(data: NDArray[Any], broken: NDArray[np.bool_], counting: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Negative counts that are noise about zero, too many to be masked; same shape, bool.
    counting: frames that hold counts.
    """
    loose = broken & (data < 0) & (data > -np.inf)
    frames = as_frames(loose)
    frames &= ~_never_measuring(broken, counting)
    frames[~counting] = False
    number = int(np.count_nonzero(loose))
    if number < MAX_UNKNOWN * data.size:
        return np.zeros_like(loose)
    ceiling = marks.counter_end(data.dtype)
    largest = float(data.max(where=(data < ceiling) & ~broken, initial=0))
    zeros = int(np.count_nonzero((data == 0) & ~broken))
    deviation = negatives.noise(data[loose], zeros, largest, data.size)
    if negatives.amid_bright(data, loose, deviation, ceiling) > negatives.AMID:
        return np.zeros_like(loose)
    small: NDArray[np.bool_] = loose & (data >= -negatives.OUTLIER * deviation)
    return small


def _never_measuring(broken: NDArray[np.bool_], counting: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, columns): pixels that are broken in every one of several frames with counts: a mark, not damage."""
    frames = as_frames(broken)[counting]
    return np.asarray(frames.all(axis=0) & (len(frames) > 1), bool)


def _refuse_if_too_many(
    data: NDArray[Any], broken: NDArray[np.bool_], counting: NDArray[np.bool_], domain: Domain
) -> None:
    """counting: frames that hold counts; what is unknown in others does not count against the scan."""
    frames, marked = as_frames(broken)[counting], _never_measuring(broken, counting)
    loose = int(frames.sum()) - int(marked.sum()) * len(frames)
    if marked.mean() > MAX_MARKED:
        why = f"{marked.mean():.0%} of the detector's pixels never measure; check how the file was saved"
    elif loose >= MAX_UNKNOWN * data.size:
        why = f"more than {MAX_UNKNOWN:.0%} of the scan is unusable; mask detector gaps in every frame"
    else:
        return
    kinds = f"{int(np.isnan(data).sum()) if data.dtype.kind == 'f' else 0} NaN and {int((data < 0).sum())} negative"
    where = tuple(int(i) for i in np.unravel_index(int(broken.argmax()), broken.shape))
    what = "counts" if domain is Domain.COUNTS else "moduli"
    offset = _offset(data, broken) if domain is Domain.COUNTS else ""
    raise DataError(f"{kinds} {what} among {data.size} voxels, the first at {where}: {offset or why}")


def _offset(data: NDArray[Any], broken: NDArray[np.bool_]) -> str:
    """What counts below zero that are too many look like, and what to do; empty where it is others that are too many.

    broken: bool, the voxels that are not usable; negative ones beside them are noise.
    """
    negative = (data < 0) & (data > -np.inf)
    damage = negative & broken
    if 2 * np.count_nonzero(damage) < np.count_nonzero(broken):
        return ""
    mostly = 2 * np.count_nonzero(damage) > np.count_nonzero(negative)
    below = data[negative if mostly else damage]
    least = float(below.min())
    floor = float((np.abs(below - least) <= ALIKE * abs(least)).mean()) > FLOOR
    typical = least if floor else float(np.median(below))
    alike = float((np.abs(below - typical) <= ALIKE * abs(typical)).mean())
    low, high = np.percentile(below, [25, 75])
    spread = (
        f"{alike:.0%} of these at {typical:.4g}"
        if floor or alike > 0.5
        else f"half of these between {low:.4g} and {high:.4g}"
    )
    return (
        f"{below.size / data.size:.1%} of the voxels lie below zero{'' if mostly else ' by more than noise does'}, "
        f"{spread}. Either more was subtracted than there was of background: give the counts as they were measured, of "
        f"which the background is subtracted here, or add {-typical:.4g} to every voxel. Or these are marks of pixels "
        "that do not measure: mask them in every frame, or crop the detector to where it measures"
    )
