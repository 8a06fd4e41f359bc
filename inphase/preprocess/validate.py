"""From the array of a file to a Pattern: what cannot be a measurement is refused, what is unknown is masked."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.pattern import Domain, MaskState, Pattern, digest
from inphase.preprocess import negatives

MIN_SIDE = 8  # voxels; below it no fringe fits
MAX_UNKNOWN = 0.01  # share of voxels that may be NaN or negative outside pixels that are so in every frame
MAX_MARKED = 0.5  # share of detector pixels that may be marked as not measuring
SENTINEL = float(
    2**32 - 1
)  # what 32-bit detectors write where they do not measure, also after conversion to a wider type
MAX_MODULUS = 1e18  # its square still fits float32


def pattern_from_array(
    array: NDArray[np.generic],
    domain: Domain = Domain.COUNTS,
    geometry: Geometry | None = None,
    metadata: Mapping[str, str] | None = None,
    mask: NDArray[np.uint8] | None = None,
) -> Pattern:
    """Check an array (rocking, row, column) of counts or moduli and make a Pattern of it.

    mask: uint8 of MaskState, the array's shape: what the file itself says of its voxels; their values are not looked at.

    Masked besides: voxels at the integer type's maximum (or at 2^32 - 1 in a wider type: gaps and saturation of 32-bit
    detectors), detector pixels that are NaN or negative in every frame (a common mark for gaps), and other NaN or negative
    voxels while they are fewer than 1 %. More negative counts are kept, with their sign, where they are the noise that
    subtracting a background leaves (`negatives.noise`). Moduli are squared.

    Raises DataError for wrong dimensions, type or size, too many NaN or negative voxels, and a scan without any count.
    """
    data: NDArray[Any] = np.asarray(array)
    if data.ndim != 3:
        raise DataError(
            f"the array has {data.ndim} dimensions {data.shape}; a rocking curve has 3: (frame, row, column)"
        )
    if data.dtype.kind not in "uif":
        raise DataError(f"the array holds {data.dtype}; counts or moduli must be real numbers (integer or float)")
    if min(data.shape) < MIN_SIDE:
        raise DataError(f"the array is {data.shape}; each axis needs at least {MIN_SIDE} voxels")
    with ThreadPoolExecutor(max_workers=1) as hashing:  # hashing releases the interpreter and takes as long as the rest
        identity = hashing.submit(digest, data)
        intensity, states = _measured(data, domain, mask)
    return Pattern(intensity, states, domain, geometry, dict(metadata or {}), identity.result())


def _measured(
    data: NDArray[Any], domain: Domain, given: NDArray[np.uint8] | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Intensity and mask."""
    unknown = _unknown(data, domain, given)
    with np.errstate(over="ignore", invalid="ignore"):
        intensity = data.astype(np.float32)
    mask = np.zeros(data.shape, np.uint8)
    if unknown is not None:
        mask[unknown] = MaskState.MASKED
    if given is not None:
        np.maximum(mask, given, out=mask)
    if unknown is not None or given is not None:
        intensity[mask != MaskState.VALID] = 0.0
    peak = float(intensity.max())
    if peak <= 0.0:
        raise DataError(f"the scan is empty: none of its {data.size} voxels has a count above zero")
    if domain is Domain.MODULUS:
        if peak > MAX_MODULUS:
            raise DataError(f"the largest modulus is {peak:.3g}; rescale the array below {MAX_MODULUS:g}")
        intensity *= intensity
    return intensity, mask


def _unknown(data: NDArray[Any], domain: Domain, given: NDArray[np.uint8] | None) -> NDArray[np.bool_] | None:
    """Voxels to mask (same shape, bool), or None where there are none. Raises DataError where there are too many.

    given: what is masked already does not count against the scan.
    """
    low, high = data.min(), data.max()  # NaN if any voxel is NaN
    ceiling = SENTINEL if data.dtype.kind == "f" or data.dtype.itemsize > 4 else float(np.iinfo(data.dtype).max)
    broken: NDArray[np.bool_] | None = None
    if not (low >= 0 and high < np.inf):
        broken = ~((data >= 0) & (data < np.inf))
        if given is not None:
            broken &= given == MaskState.VALID
        if domain is Domain.COUNTS:
            broken &= ~_noise(data, broken, ceiling)
        _refuse_if_too_many(data, broken, domain)
    if data.dtype.itemsize == 1 or domain is Domain.MODULUS or high < ceiling:  # 255 counts are common
        return broken
    at_ceiling: NDArray[np.bool_] = data >= ceiling
    return at_ceiling if broken is None else broken | at_ceiling


def _noise(data: NDArray[Any], broken: NDArray[np.bool_], ceiling: float) -> NDArray[np.bool_]:
    """Negative counts that are noise about zero, too many to be masked; same shape, bool."""
    loose = broken & ~broken.all(axis=0) & (data < 0) & (data > -np.inf)
    number = int(np.count_nonzero(loose))
    if number < MAX_UNKNOWN * data.size:
        return np.zeros_like(loose)
    largest = float(data.max(where=(data < ceiling) & ~broken, initial=0))
    deviation = negatives.noise(data[loose], largest, data.size)
    if negatives.amid_bright(data, loose, deviation, ceiling) > negatives.AMID:
        return np.zeros_like(loose)
    small: NDArray[np.bool_] = loose & (data >= -negatives.OUTLIER * deviation)
    return small


def _refuse_if_too_many(data: NDArray[Any], broken: NDArray[np.bool_], domain: Domain) -> None:
    marked = broken.all(axis=0)  # a pixel that never measures: a mark, not damage
    kinds = f"{int(np.isnan(data).sum()) if data.dtype.kind == 'f' else 0} NaN and {int((data < 0).sum())} negative"
    where = tuple(int(i) for i in np.unravel_index(int(broken.argmax()), broken.shape))
    what = "counts" if domain is Domain.COUNTS else "moduli"
    if marked.mean() > MAX_MARKED:
        raise DataError(
            f"{kinds} {what}: {marked.mean():.0%} of the detector's pixels never measure (the first is voxel {where}); "
            "check the file and how it was saved"
        )
    loose = int(broken.sum()) - int(marked.sum()) * data.shape[0]
    if loose >= MAX_UNKNOWN * data.size:
        raise DataError(
            f"{kinds} {what} among {data.size} voxels, the first at {where}: more than {MAX_UNKNOWN:.0%} of the scan "
            "is unusable; mask detector gaps in every frame, or subtract no more than the background"
        )
