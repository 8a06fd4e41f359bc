"""From grid to grid: an object found on the model grid is refined in windows that grow up to the whole measurement.

The model grid cuts off what lies outside its window and averages over its bins: finer detail is in the counts all the
same. Each level is the central part of the finest grid, so the counts are binned once and never resampled; object and
support are carried from level to level, and what no level has seen begins as zero. (docs/decisions/0034)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from inphase.ambiguity import to_centre
from inphase.free import free_cells
from inphase.pattern import MaskState
from inphase.preprocess.pipeline import Prepared
from inphase.preprocess.placement import Placement
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Kind, Starts

GROWTH: Final = 16  # times as many voxels from one level to the next, at most
VOLUMES: Final = 8  # complex64 volumes that a level takes, at most
BLURRED: Final = 11  # the same with a kernel of partial coherence
ROOM: Final = 1.0  # times the extent of the support: how far it may grow on a level
MARGIN: Final = 4  # voxels more on either side, so that what the shrink-wrap smears does not come in on the other
COHERENT: Final = 0.25  # voxels, standard deviation: a narrower kernel is that of coherent light

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Ladder:
    """problem: the measurement on the finest grid, its peak at the DC voxel N // 2. way: from the model grid to it."""

    problem: Problem
    way: Placement

    @classmethod
    def of(cls, finest: Prepared, model: Prepared, free: NDArray[np.bool_] | None, seed: int) -> "Ladder":
        """Both of one measurement. free: of the model grid; what was hidden there stays hidden, each over its bin.

        Beyond the model's window no network and no level has seen anything: there voxels are hidden anew.
        """
        way = model.transform.onto(finest.transform)
        hidden = None
        if free is not None:
            valid = finest.pattern.mask == MaskState.VALID
            beyond = ~np.asarray(way.place(np.ones(free.shape, bool)), bool)
            hidden = np.asarray(way.place(free), bool) & valid | free_cells(valid & beyond, seed)
        return cls(Problem(finest.pattern.modulus, finest.pattern.mask, hidden, finest.padding_bound), way)

    @property
    def first(self) -> Shape:
        """The model's window in voxels of the finest grid."""
        last = self.problem.modulus.shape
        return tuple(min(n * b, size) for n, b, size in zip(self.way.shape_out, self.way.bins, last, strict=True))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The grids of the levels, in steps of one ratio along each axis; the last one is the finest."""
        first, last = self.first, self.problem.modulus.shape
        count = max(1, math.ceil(math.log(math.prod(last) / math.prod(first)) / math.log(GROWTH)))
        return tuple(
            tuple(2 * round(a * (z / a) ** (k / count) / 2) for a, z in zip(first, last, strict=True))
            for k in range(1, count + 1)
        )

    def parts(self) -> Iterator[Shape]:
        """Ever smaller grids of even sides, from the finest down to the model's window, which is none of them."""
        for share in range(32, 0, -1):
            yield tuple(
                a + 2 * round(share * (z - a) / 64) for a, z in zip(self.first, self.problem.modulus.shape, strict=True)
            )

    def reduced(self, shape: Shape) -> "Ladder":
        """The same up to a central part of the finest grid."""
        return Ladder(self.level(shape), self._way(self.way.shape_out, shape))

    def level(self, shape: Shape) -> Problem:
        """The measurement on the central part of the finest grid."""
        whole = self.problem
        part = tuple(slice((n - k) // 2, (n + k) // 2) for n, k in zip(whole.modulus.shape, shape, strict=True))
        free = None if whole.free is None else np.ascontiguousarray(whole.free[part])
        return Problem(
            np.ascontiguousarray(whole.modulus[part]), np.ascontiguousarray(whole.mask[part]), free, whole.padding_bound
        )

    def start(
        self, obj: NDArray[np.complex64], support: NDArray[np.bool_], shape: Shape, kind: Kind = "network"
    ) -> Starts:
        """A result on the model grid or on a level, (N, ...) complex64 and its support, as one start on a level.

        As it was refined, or in its canonical form: both have the far field's modulus. Its voxels become finer by
        binning undone outside the object, and by far field beyond the window that begins as zero. It is brought to the
        centre, and what lies outside a box around it is left out: there it is to stay empty.
        """
        way, axes = self._way(obj.shape, shape), tuple(range(obj.ndim))
        shift = to_centre(support.astype(np.float32))
        obj, support = np.roll(obj, shift, axes), np.roll(support, shift, axes)
        box = _box(support, way)
        finer = way.support_to_measured(support, box)
        return Starts(np.where(finer, way.to_measured(obj, box), 0).astype(np.complex64)[None], finer[None], kind)

    def _way(self, shape: Shape, onto: Shape) -> Placement:
        whole = self.problem.modulus.shape
        first = tuple((n - k) // 2 for n, k in zip(whole, onto, strict=True))
        if shape == self.way.shape_out:
            offset = tuple(o - f for o, f in zip(self.way.offset, first, strict=True))
            return Placement(onto, offset, self.way.bins, shape)
        return Placement(onto, tuple((n - k) // 2 for n, k in zip(onto, shape, strict=True)), (1,) * len(onto), shape)


def _box(support: NDArray[np.bool_], way: Placement) -> Shape:
    """Even sides, on the finer grid, of the box in which a centred support has room."""
    sides = []
    for axis, (n, b, full) in enumerate(zip(way.shape_out, way.bins, way.shape_in, strict=True)):
        inside = np.flatnonzero(support.any(axis=tuple(a for a in range(support.ndim) if a != axis)))
        half = max(n // 2 - inside[0], inside[-1] - n // 2) + 0.5
        sides.append(min(2 * next_fast_len(math.ceil(ROOM * half * full / (n * b)) + MARGIN), full))
    return tuple(sides)


def needed_bytes(shape: Shape, *, coherent: bool = True) -> int:
    """The most memory that a level takes beside the measurement."""
    return (VOLUMES if coherent else BLURRED) * np.dtype(np.complex64).itemsize * math.prod(shape)


def width(kernel: NDArray[np.float32] | None, bins: Shape) -> float | None:
    """Standard deviation of a kernel of partial coherence, in voxels that are `bins` times finer; None where on those
    the light is as good as coherent.
    """
    if kernel is None:
        return None
    squares = 0.0
    for axis, (n, b) in enumerate(zip(kernel.shape, bins, strict=True)):
        profile = kernel.sum(axis=tuple(a for a in range(kernel.ndim) if a != axis), dtype=np.float64)
        # a bin smears its own width, which the finer voxels do not have
        squares += max(float(profile @ (np.arange(n) - n // 2) ** 2) * b * b - (b * b - 1) / 12, 0.0)
    found = math.sqrt(squares / kernel.ndim)
    return found if found >= COHERENT else None


def recipe(*, last: bool, sigma: float | None) -> str:
    """What is done on a level. Below the last one, where an iteration is cheap, everything that takes off stripes and
    draws the edges; on the last one only what the far field beyond the window before needs.

    sigma: of the kernel of partial coherence to begin with, None for coherent light.
    """
    steps = "10*HIO+12*AER" if last else "60*HIO+10*ER+AF+19*ER+10*AER"
    shrink = f"SW(every=5,threshold=0.2,sigma={'1' if last else '1.5..1'})"
    coherence = ""
    if sigma is not None:
        size = max(9, 2 * math.ceil(3 * sigma) + 1)
        coherence = f" | PC(start=0,hold=10,kernel=gauss,size={size},sigma={sigma:.2f})"
    return f"{steps} | {shrink}{coherence}"
