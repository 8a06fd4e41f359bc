"""Where the windows lie on the object: which positions can be used, and how large the object becomes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from inphase.errors import DataError, TooLargeError
from inphase.ptycho.units import FINEST_PX, Ruler

MOST_LEFT_OUT = 0.2  # of the frames: where more are away from the others, it is the unit or the order that is wrong
MOST_PIXELS = 2**28  # of an object: 2 GiB of complex64
_PIXELS = Ruler()


@dataclass(frozen=True)
class Kept:
    """keep: (n,) bool. notes: what was left out, in sentences."""

    keep: NDArray[np.bool_]
    notes: tuple[str, ...]


def coordinates(positions: ArrayLike, source: str) -> NDArray[np.float64]:
    """Positions as float64. Raises DataError for what holds no real numbers."""
    found = np.asarray(positions)
    if found.dtype.kind not in "uif":
        raise DataError(f"{source}: positions are real numbers, these are {found.dtype}")
    return found.astype(np.float64)


def field(
    positions: NDArray[np.float64],
    shape: tuple[int, int],
    ids: NDArray[np.int64],
    source: str,
    ruler: Ruler = _PIXELS,
) -> Kept:
    """The positions (n, 2) in pixels that belong to one field: finite, and linked by windows that touch.

    ruler: what they were measured with, for a hint where the unit is wrong.

    One stray position would make the object thousands of pixels wide, and a window that meets no other tells nothing.
    Raises DataError where more than a fifth would be left out, or where nothing moves.
    """
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(positions).all(axis=1))
    keep = finite.copy()
    if finite.any():
        keep[finite] = linked(positions[finite], min(shape))
    notes = []
    if not finite.all():
        notes.append(f"{_frames(ids[~finite])} left out: the position is not finite.")
    if (away := finite & ~keep).any():
        notes.append(
            f"{_frames(ids[away])} left out: the position lies more than a window ({min(shape)} pixels) "
            "away from every position of the others."
        )
    if np.count_nonzero(keep) < (1 - MOST_LEFT_OUT) * len(positions):
        if np.count_nonzero(finite) < (1 - MOST_LEFT_OUT) * len(positions):
            raise DataError(f"{source}: only {np.count_nonzero(finite)} of {len(positions)} positions are finite")
        step = typical_step(positions[finite])
        raise DataError(
            f"{source}: only {np.count_nonzero(keep)} of {len(positions)} positions lie together (typical step "
            f"{step:.3g} pixels, windows of {shape[0]} x {shape[1]}): is the unit right, and are energy, distance and "
            f"detector pixel?{ruler.hint(step, shape)}"
        )
    extent = np.ptp(positions[keep], axis=0)
    if len(positions) > 1 and extent.max() < 1:
        raise DataError(
            f"{source}: all positions lie within {extent.max():.2g} pixels: their unit is wrong, as of metres taken "
            f"for pixels, or nothing was scanned.{ruler.hint(typical_step(positions[keep]), shape)}"
        )
    canvas(positions[keep], shape, 0)
    if len(positions) > 1 and (step := typical_step(positions[keep])) < FINEST_PX:
        notes.append(
            f"Neighbouring positions are {step:.2g} pixels of the object apart, which is next to nothing: is their "
            f"unit right, and are energy, distance and detector pixel?{ruler.hint(step, shape)}"
        )
    return Kept(keep, tuple(notes))


def canvas(positions: NDArray[np.float64], shape: tuple[int, int], margin: int) -> tuple[int, int]:
    """Rows and columns of the object that holds every window, with a margin on all sides.

    Raises TooLargeError before anything of that size exists.
    """
    rows, columns = (int(np.ceil(e)) + n + 2 * margin for e, n in zip(np.ptp(positions, axis=0), shape, strict=True))
    if rows * columns > MOST_PIXELS:
        raise TooLargeError(
            f"the object would have {rows} x {columns} pixels, above the limit of {MOST_PIXELS}: bin or crop the "
            "patterns, or check the unit of the positions"
        )
    return rows, columns


def spread_order(positions: NDArray[np.float64], reach: float) -> NDArray[np.intp]:
    """An order of the frames in which neighbours lie near each other: by rows of tiles of `reach` pixels.

    Every b-th frame of it then makes a batch whose windows overlap as little as they can.
    """
    tiles = np.floor((positions - positions.min(axis=0)) / max(reach, 1e-9)).astype(np.int64)
    along = np.where(tiles[:, 0] % 2 == 0, positions[:, 1], -positions[:, 1])
    return np.lexsort((along, tiles[:, 0]))


def linked(positions: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    """(n,) bool: the largest set of positions (n, 2) that are linked by steps of at most `reach` along each axis."""
    parts = _in_cells(positions, reach)
    if parts.any():
        parts = _within(positions, reach, parts)
    largest: NDArray[np.bool_] = parts == np.bincount(parts).argmax()
    return largest


def _in_cells(positions: NDArray[np.float64], reach: float) -> NDArray[np.intp]:
    """Which part each position is of. Cells of half the reach are linked where they are the same or touch: a dense scan
    has thousands of neighbours within the reach, and is one part without any of them being looked at.
    """
    cells, cell = np.unique(np.floor(positions / (reach / 2)), axis=0, return_inverse=True)
    parts: NDArray[np.intp] = _components(len(cells), cKDTree(cells).query_pairs(1.5, p=np.inf, output_type="ndarray"))
    return parts[cell.reshape(-1)]


def _within(positions: NDArray[np.float64], reach: float, parts: NDArray[np.intp]) -> NDArray[np.intp]:
    """The parts when those are one of which two positions lie within the reach.

    From the largest nobody looks: it is seen by the others.
    """
    others = np.flatnonzero(parts != np.bincount(parts).argmax())
    near = cKDTree(positions).sparse_distance_matrix(
        cKDTree(positions[others]), reach, p=np.inf, output_type="coo_matrix"
    )
    links = np.column_stack([parts[near.row], parts[others[near.col]]])
    return _components(int(parts.max()) + 1, np.unique(links, axis=0))[parts]


def _components(count: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """(count,) the number of the component of each."""
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, label = connected_components(links, directed=False)
    return np.asarray(label, np.intp)


def typical_step(positions: NDArray[np.float64]) -> float:
    """Median distance from a position (n, 2) to the nearest other one, of those that differ and are finite; 0 of fewer
    than two.
    """
    each = np.unique(positions[np.isfinite(positions).all(axis=1)], axis=0)
    if len(each) < 2:
        return 0.0
    nearest = np.asarray(cKDTree(each).query(each, k=2)[0])
    return float(np.median(nearest[:, 1]))


def listed(ids: NDArray[np.int64]) -> str:
    """The first eight frames, for people."""
    return ", ".join(str(i) for i in ids[:8]) + (", ..." if len(ids) > 8 else "")


def _frames(ids: NDArray[np.int64]) -> str:
    return f"Frame{'s' * (len(ids) > 1)} {listed(ids)} {'were' if len(ids) > 1 else 'was'}"
