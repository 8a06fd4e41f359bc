"""Volumes a slab at a time: what was read once is still in the processor's cache for the next look at it, nothing of
the whole volume's size comes and goes, and several threads share the slabs, as numpy gives the interpreter's lock back.

What is found does not depend on the slabs, to the last digit.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from inphase.machine import cores

P = TypeVar("P")
S = TypeVar("S")
T = TypeVar("T")
A = TypeVar("A", bound=np.generic)

SLAB: Final = 2**18  # voxels: as float32 a megabyte, the second cache of a core
THREADS: Final = min(8, cores())  # more of them wait for the memory
PIECE: Final = (
    8192  # values that ndarray.sum adds in pairs when it converts them; the sums of such pieces follow in order
)


def over(work: Callable[[slice], T], planes: int, voxels: int, step: int = 1) -> list[T]:
    """What `work` returns for every slab of a volume of so many planes of so many voxels, in their order.

    step: planes that stay together; every slab but the last holds a multiple of them.
    """
    if planes * voxels <= 2 * SLAB:  # to start threads would cost more than they save
        return [work(slice(0, planes))]
    depth = step * max(1, SLAB // max(1, voxels * step))
    slabs = [slice(first, min(first + depth, planes)) for first in range(0, planes, depth)]
    return each(work, slabs)


def each(work: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """What `work` returns for every part, in their order: this thread and others take them, one after the other."""
    if (threads := min(len(parts), THREADS)) < 2:
        return [work(part) for part in parts]
    found: dict[int, T] = {}
    left = deque(enumerate(parts))

    def share() -> None:
        """Take parts for as long as there are some: a future for each of them would cost more than a look at one."""
        try:
            while (taken := _taken(left)) is not None:
                number, part = taken
                found[number] = work(part)
        finally:
            left.clear()  # where one went wrong nobody goes on

    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(share) for _ in range(threads - 1)]
        share()
        for other in others:
            other.result()
    return [found[number] for number in range(len(parts))]


def _taken(left: deque[S]) -> S | None:
    try:
        return left.popleft()
    except IndexError:  # another thread may have had the last one
        return None


def over_planes(work: Callable[[slice], T], volume: NDArray[Any], step: int = 1) -> list[T]:
    """The same of the planes across the first axis of an array (N, ...)."""
    return over(work, len(volume), volume[:1].size, step)


def copied(volume: NDArray[A]) -> NDArray[A]:
    """A copy of an array (N, ...)."""
    copy = np.empty_like(volume)
    over_planes(lambda slab: np.copyto(copy[slab], volume[slab]), volume)
    return copy


def least(volume: NDArray[np.float32]) -> float:
    """The smallest value of an array (N, ...), NaN if any value is."""
    return float(np.min(over_planes(lambda slab: volume[slab].min(), volume)))


def largest(volume: NDArray[np.float32]) -> float:
    """The largest value of an array (N, ...), NaN if any value is."""
    return float(np.max(over_planes(lambda slab: volume[slab].max(), volume)))


def dark(volume: NDArray[np.float32]) -> bool:
    """Whether all values of an array (N, ...) are zero."""
    return not any(plane.any() for plane in volume)


def number(found: Callable[[slice], NDArray[np.bool_]], volume: NDArray[Any]) -> int:
    """How many voxels of an array (N, ...) are `found`, which is asked slab by slab."""
    return sum(over_planes(lambda slab: int(np.count_nonzero(found(slab))), volume))


def total(volume: NDArray[np.float32]) -> float:
    """The sum of a C-ordered array (N, ...) in float64, added in the order of `volume.sum(dtype=np.float64)`."""
    flat = volume.reshape(-1)
    whole = flat[: flat.size // PIECE * PIECE].reshape(-1, PIECE)
    return _in_order([*over_planes(lambda slab: _sums(whole[slab]), whole), _sums(flat[None, whole.size :])])


def total_of(parts: Iterable[NDArray[np.float32]]) -> float:
    """The same of arrays (n,) as if they lay one after the other."""
    rest, sums = np.empty(0, np.float32), []
    for part in parts:
        flat = np.concatenate([rest, part])
        whole = flat[: flat.size // PIECE * PIECE].reshape(-1, PIECE)
        sums.append(_sums(whole))
        rest = flat[whole.size :]
    return _in_order([*sums, _sums(rest[None])])


def _sums(pieces: NDArray[np.float32]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = pieces.astype(np.float64).sum(axis=1)  # in a third of the time of sum(dtype=np.float64)
    return sums


def _in_order(sums: list[NDArray[np.float64]]) -> float:
    return float(np.add.accumulate(np.concatenate(sums))[-1])
