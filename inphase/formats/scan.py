"""What a reader returns, and what it checks before it allocates anything."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inphase.array import array_of
from inphase.errors import DataError, TooLargeError
from inphase.formats.reading import Reading
from inphase.formats.region import Region
from inphase.geometry import Geometry
from inphase.pattern import Domain, MaskState
from inphase.preprocess.corrections import Corrections
from inphase.sizes import in_words

GEOMETRY: Final = ("q_steps", "q_centre", "sample_rotation")  # names of its arrays in a container file

T = TypeVar("T", bound=np.generic)
_SHORTEST, _LONGEST = 1e-3, 1e15  # 1/m: a voxel's step in q, and q itself


@dataclass(frozen=True)
class Limits:
    """Bounds that hold before a reader allocates memory or opens what it was not told to open.

    max_bytes: size of the decoded array. The default holds a rocking curve of 400 frames of a 4-megapixel detector.
    roots: text files beside the frames are read only below these folders; empty: anywhere.
    declared: told the voxels that are worked on, and the bytes of a measurement, before it is allocated; what it raises
    ends the reading.
    whole_voxels: of a larger measurement only the region around the Bragg peak is read, unless another one is asked
    for.
    kept: how many voxels of a measurement of a shape are worked on; None: all.
    """

    max_bytes: int = 8 * 2**30
    roots: tuple[Path, ...] = ()
    declared: Callable[[int, int], None] | None = None
    whole_voxels: int = 2**27
    kept: Callable[[tuple[int, ...]], int] | None = None


@dataclass(frozen=True)
class Saturation:
    """Where the detector stops counting, as the file tells it.

    level: counts per voxel, of the array as it is; at and above it a voxel is no measurement. told_by: where that
    stands.
    """

    level: float
    told_by: str


@dataclass(frozen=True)
class RawScan:
    """An array as the file holds it; nothing is corrected, scaled or converted.

    array: (rocking, detector row, detector column), or (row, column) of a single frame; native byte order, integer or
    floating.
    geometry: sampling of reciprocal space, None where the file says nothing of it.
    metadata: what else the file says, as text.
    source: the file or folder read.
    chosen: what was taken out of it (dataset, key, frames), and what was passed over; for people and provenance.
    mask: uint8 of MaskState, the array's shape (it may be one frame seen many times); None where the file has none.
    saturation: None where the file tells of none.
    corrections: the maps of the detector that belong to it, not applied yet; None where there are none.
    region: the rows and columns that the array is of whole frames; None where the frames are whole.
    """

    array: NDArray[np.generic]
    geometry: Geometry | None
    source: str
    chosen: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    mask: NDArray[np.uint8] | None = None
    saturation: Saturation | None = None
    corrections: Corrections | None = None
    region: Region | None = None

    @property
    def whole(self) -> tuple[int, ...]:
        """The shape of the array with whole frames."""
        return self.array.shape if self.region is None else (*self.array.shape[:-2], *self.region.frame)

    def part(self, whole: NDArray[T]) -> NDArray[T]:
        """Of an array over whole frames (..., rows, columns) what lies in the region."""
        return whole if self.region is None else self.region.of(whole)

    @property
    def start(self) -> tuple[int, ...]:
        """The voxel of whole frames that is the array's first one."""
        corner = (0, 0) if self.region is None else (self.region.rows[0], self.region.columns[0])
        return (*(0,) * (self.array.ndim - 2), *corner)


def none_named(shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Of `FileReading.unmeasured`: nobody names a pixel."""
    return None


@dataclass(frozen=True)
class FileReading:
    """What to read and how: `domain` decides between arrays of a result file.

    unmeasured: asked, with the shape of the whole measurement, for the pixels (rows, columns) that caller and beamline
    name as not measuring, None where there are none. They do not count where a region is looked for.
    """

    path: Path
    reading: Reading = field(default_factory=Reading)
    domain: Domain = Domain.COUNTS
    limits: Limits = field(default_factory=Limits)
    unmeasured: Callable[[tuple[int, ...]], NDArray[np.bool_] | None] = none_named


Reader = Callable[[FileReading], RawScan]


def scan_of(pattern: ArrayLike) -> RawScan:
    """An array, or what numpy makes one of, as a measurement; the mask of a masked array is its mask.

    Raises TypeError for what is no array of real numbers with two or three axes.
    """
    array, mask = array_of(pattern)
    told = f"{array.shape} {array.dtype}"
    if mask is None:
        return RawScan(array, None, "array", told)
    return RawScan(array, None, "masked array", told, mask=mask.astype(np.uint8))  # True is masked, as in MaskState


def admit(shape: Sequence[int], dtype: np.dtype[Any], where: str, limits: Limits) -> tuple[int, ...]:
    """Checks declared shape and type before anything is allocated; returns the shape without further axes of length 1.

    Raises DataError unless it is a rocking curve or a single frame, non-empty and real-valued, TooLargeError above
    `limits`.
    """
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects (pickled), which are never loaded; save a plain numeric array")
    if dtype.kind not in "uif":
        hint = "; a complex field is a result, not a measurement" if dtype.kind == "c" else ""
        raise DataError(f"{where}: element type {dtype} is not a real number{hint}; store counts as integers or floats")
    sides = three_axes(shape)
    if len(sides) not in (2, 3):
        raise DataError(
            f"{where}: has {len(shape)} dimension{'s' * (len(shape) != 1)}, shape {tuple(shape)}; "
            "a rocking curve has three, (rocking step, detector row, detector column), and a single frame two"
        )
    if any(side <= 0 for side in shape):
        raise DataError(f"{where}: shape {tuple(shape)} holds no data")
    found = tuple(int(side) for side in sides)
    nbytes = math.prod(found) * dtype.itemsize
    if nbytes > limits.max_bytes:
        raise TooLargeError(
            f"{where}: declares {tuple(shape)} of {dtype}, {in_words(nbytes)}, above the limit of "
            f"{in_words(limits.max_bytes)}; crop the detector to the region around the peak, or raise the limit"
        )
    if limits.declared is not None:
        limits.declared(math.prod(found) if limits.kept is None else limits.kept(found), nbytes)
    return found


def most_axes(shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Voxels of the arrays that may be the measurement of a file:
    its volumes, and its images only where it has no volume.
    """
    for rank in (3, 2):
        found = {name: math.prod(shape) for name, shape in shapes.items() if len(three_axes(shape)) == rank}
        if found:
            return found
    return {}


def three_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without axes of length 1 beyond the three of a volume, the first ones first;
    others come back as they are.
    """
    sides = list(shape)
    while len(sides) > 3 and 1 in sides:
        sides.remove(1)
    return tuple(sides)


def of_scan(mask: NDArray[Any], shape: tuple[int, ...], where: str) -> NDArray[Any]:
    """A mask of a file, of any type, as one of the scan's `shape` or of its frames:
    further axes of length 1 are dropped.

    Raises DataError where it fits neither.
    """
    found = np.asarray(mask)
    for fitting in (shape, shape[-2:]):
        if found.shape == fitting or (found.ndim > len(fitting) and _same_sides(found.shape, fitting)):
            return found.reshape(fitting)
    raise DataError(f"{where}: the mask {found.shape} fits neither the scan {shape} nor its frames {shape[-2:]}")


def frames_out(bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows, columns): the pixels that a mask of one frame, or of all of them (..., rows, columns), takes out of every
    frame.
    """
    out: NDArray[np.bool_] = np.logical_and.reduce(bad, axis=tuple(range(bad.ndim - 2)))
    return out


def _same_sides(one: Sequence[int], other: Sequence[int]) -> bool:
    return [side for side in one if side != 1] == [side for side in other if side != 1]


def three_state(mask: NDArray[Any], shape: tuple[int, ...], where: str) -> NDArray[np.uint8]:
    """A mask of a file as MaskState on the measurement's `shape`:
    of one frame or of all, bool (True is masked) or 0, 1, 2 of any type of number.

    Raises DataError where it does not fit or holds other values.
    """
    found = of_scan(mask, shape, where)
    whole = found.dtype.kind in "bui" or (found.dtype.kind == "f" and bool((found == np.rint(found)).all()))
    if not whole or (found.size and not (found.min() >= 0 and found.max() <= max(MaskState))):
        raise DataError(
            f"{where}: a mask holds the numbers 0 (valid), 1 (masked) and 2 (outside the measured range); this one, "
            f"{found.dtype}, does not: write mask != 0 where whatever is not zero is masked, or mask == 0 where that "
            "is what is masked"
        )
    return np.broadcast_to(found.astype(np.uint8), shape)


def masked(scan: RawScan, mask: NDArray[np.uint8], note: str) -> RawScan:
    """The scan with more of it masked, and a word on that."""
    both = mask if scan.mask is None else np.maximum(mask, scan.mask)
    return replace(scan, mask=both, chosen=f"{scan.chosen}; {note}")


def with_saturation(scan: RawScan, levels: Sequence[Saturation]) -> RawScan:
    """The scan with the lowest of several levels, which `chosen` names; as it is where there are none."""
    if not levels:
        return scan
    lowest = min(levels, key=lambda told: told.level)
    note = f"saturated from {lowest.level:.10g} counts on ({lowest.told_by})"
    return replace(scan, saturation=lowest, chosen=f"{scan.chosen}; {note}")


def native(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The array in this machine's byte order and C order."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def geometry_of(small: Callable[[str], NDArray[Any] | None], where: str) -> Geometry | None:
    """Geometry from the optional arrays GEOMETRY of a container file, which `small` reads by name.

    q_steps (3, 3) and q_centre (3,) in 1/m, sample_rotation (3, 3). Raises DataError for what cannot be one.
    """
    steps, centre, rotation = (small(name) for name in GEOMETRY)
    if steps is None:
        return None
    if not _numbers(steps, (3, 3)):
        raise DataError(
            f"{where}: q_steps must hold 3 x 3 finite numbers in 1/m (one row per array axis), found shape "
            f"{np.shape(steps)}"
        )
    _check_lengths(steps, "q_steps", where)
    if centre is not None and _numbers(centre, (3,)) and np.any(centre):
        _check_lengths(centre[None], "q_centre", where)
    if np.linalg.matrix_rank(steps) < 3:
        raise DataError(
            f"{where}: the rows of q_steps do not span three dimensions, so that no voxel size follows from them"
        )
    if centre is not None and not _numbers(centre, (3,)):
        raise DataError(f"{where}: q_centre must hold 3 finite numbers in 1/m, found shape {np.shape(centre)}")
    if rotation is not None and not (_numbers(rotation, (3, 3)) and np.allclose(rotation @ rotation.T, np.eye(3))):
        raise DataError(f"{where}: sample_rotation must hold a rotation, 3 x 3 with orthonormal rows")
    known = [None if array is None else np.asarray(array, np.float64) for array in (centre, rotation)]
    return Geometry(np.asarray(steps, np.float64), *known)


def _check_lengths(vectors: NDArray[Any], name: str, where: str) -> None:
    """In a range beyond any measurement's, within which nothing that follows from them overflows. Raises DataError."""
    lengths = np.linalg.norm(np.asarray(vectors, np.longdouble), axis=1)
    if not ((lengths >= _SHORTEST) & (lengths <= _LONGEST)).all():
        raise DataError(
            f"{where}: {name} holds vectors of {', '.join(f'{length:.3g}' for length in lengths)} 1/m, which no "
            f"measurement has ({_SHORTEST:g} to {_LONGEST:g} 1/m): is the unit 1/m?"
        )


def geometry_arrays(geometry: Geometry | None) -> dict[str, NDArray[Any]]:
    """What `geometry_of` reads, for a container file."""
    if geometry is None:
        return {}
    arrays = (geometry.q_steps, geometry.q_centre, geometry.sample_rotation)
    return {name: array for name, array in zip(GEOMETRY, arrays, strict=True) if array is not None}


def _numbers(array: NDArray[Any], shape: tuple[int, ...]) -> bool:
    return np.shape(array) == shape and np.asarray(array).dtype.kind in "uif" and bool(np.isfinite(array).all())
