"""The frames of a measurement one at a time, wherever they lie, and of each only the rows that are asked for."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.formats.chunks import Chunks
from inphase.formats.tree import Part, Tree
from inphase.formats.written import indices
from inphase.slabs import THREADS

T = TypeVar("T")

READERS: Final = min(4, THREADS)  # threads: each holds frames of its own, and more of them wait for the memory


class Frame(Protocol):
    """One frame, which may be taken in parts."""

    def rows(self, first: int, end: int, scratch: NDArray[np.generic]) -> NDArray[np.generic]:
        """Some of its rows, not to be written to. They may lie in `scratch`, which has room for a frame (n,) and may be
        written to beside them.
        """
        ...


class Frames(Protocol):
    """shape: frames, rows, columns. Several threads may use them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def open(self, number: int) -> Frame | None:
        """One of them; None where it was never written."""
        ...


@dataclass(frozen=True)
class ArrayFrame:
    """One that is in memory."""

    array: NDArray[np.generic]

    def rows(self, first: int, end: int, scratch: NDArray[np.generic]) -> NDArray[np.generic]:
        return self.array[first:end]


@dataclass(frozen=True)
class ArrayFrames:
    """Those of an array (n, rows, columns)."""

    array: NDArray[np.generic]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def open(self, number: int) -> Frame | None:
        return ArrayFrame(self.array[number])


@dataclass(frozen=True)
class _Place:
    """Where one frame lies. chunks: None where HDF5 reads it. index: all but the last two of its dataset's."""

    dataset: h5py.Dataset
    chunks: Chunks | None
    index: tuple[int, ...]

    def rows(self, first: int, end: int, scratch: NDArray[np.generic]) -> NDArray[np.generic]:
        columns = self.dataset.shape[-1]
        part = scratch[: (end - first) * columns].reshape(end - first, columns)
        self.dataset.read_direct(part, source_sel=(*self.index, slice(first, end), slice(0, columns)))
        return part


@dataclass(frozen=True)
class Hdf5Frames:
    """Those of datasets that follow one another, virtual ones traced to the datasets behind them.

    places: None for a frame that nothing holds.
    """

    places: tuple[_Place | None, ...]
    sides: tuple[int, int]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, tree: Tree, datasets: Iterable[h5py.Dataset]) -> "Hdf5Frames | None":
        """None where a frame is no unit: it is put together from several datasets, or lies in chunks of many frames,
        each of which would be unpacked once for every frame of it.
        """
        places: list[_Place | None] = []
        for dataset in datasets:
            found = _places(tree, dataset)
            if found is None:
                return None
            places += found
        return cls(tuple(places), dataset.shape[-2:], dataset.dtype.newbyteorder("="))

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.sides)

    @property
    def direct(self) -> bool:
        """Whether no frame needs HDF5's own decompression, which one thread at a time may use."""
        return all(place is None or place.chunks is not None for place in self.places)

    def open(self, number: int) -> Frame | None:
        place = self.places[number]
        if place is None or place.chunks is None:
            return place
        return place.chunks.open(place.index) or place


def _places(tree: Tree, dataset: h5py.Dataset) -> list[_Place | None] | None:
    """Of each frame of a dataset; None where they are no units. Raises DataError for what may not be read."""
    parts = tree.parts(dataset)
    if dataset.is_virtual:
        return _behind(tree, dataset, parts)
    if dataset.chunks is not None and math.prod(dataset.chunks[:-2]) > 1:
        return None
    chunks = Chunks.of(dataset)
    written = _written(dataset)
    return [
        _Place(dataset, chunks, index) if written is None or index in written else None
        for index in np.ndindex(*dataset.shape[:-2])
    ]


def _written(dataset: h5py.Dataset) -> set[tuple[int, ...]] | None:
    """The frames that have a chunk; None where all do."""
    if dataset.chunks is None:
        return set() if dataset.size and dataset.id.get_storage_size() == 0 else None
    tiles = math.prod(math.ceil(side / chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    if dataset.id.get_num_chunks() >= tiles:
        return None
    found: set[tuple[int, ...]] = set()
    dataset.id.chunk_iter(lambda chunk: found.add(tuple(chunk.chunk_offset[:-2])))
    return found


def _behind(tree: Tree, dataset: h5py.Dataset, parts: list[Part]) -> list[_Place | None] | None:
    """Of a virtual dataset, where every source gives whole frames."""
    if dataset.ndim != 3:
        return None
    places: list[_Place | None] = [None] * dataset.shape[0]
    for part in parts:
        if part.source is None:
            continue
        given = _frames_of(part, dataset)
        behind = None if given is None else _places(tree, part.source)
        if given is None or behind is None:
            return None
        for number, origin in zip(*given, strict=True):
            if origin < len(behind):  # a source may be shorter than it was meant to be
                places[int(number)] = behind[int(origin)]
    return places


def _frames_of(part: Part, dataset: h5py.Dataset) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Which frames of a virtual dataset, and which of its source they are; None where they are no whole ones."""
    source = part.source
    assert source is not None
    if source.ndim != 3 or source.is_virtual or source.dtype != dataset.dtype or source.shape[1:] != dataset.shape[1:]:
        return None
    place, origin = indices(part.place, dataset.shape), indices(part.place_in_source, source.shape)
    if place is None or origin is None:
        return None
    whole = [np.arange(side) for side in dataset.shape[1:]]
    if not all(
        np.array_equal(axis, all_) for found in (place, origin) for axis, all_ in zip(found[1:], whole, strict=True)
    ):
        return None
    most = min(len(place[0]), len(origin[0]))  # they differ where both have no end and one is still growing
    return place[0][:most], origin[0][:most]


def copied(frames: Frames, array: NDArray[np.generic], rows: slice, columns: slice) -> list[int]:
    """Fills `array` (n, rows, columns) with a part of every frame, 0 where nothing was written; their numbers."""
    count, *sides = frames.shape
    whole = list(array.shape[1:]) == sides

    def copy(numbers: range) -> list[int]:
        blank = []
        scratch = np.empty(() if whole else math.prod(sides), frames.dtype)
        for number in numbers:
            frame = frames.open(number)
            if frame is None:
                array[number] = 0
                blank.append(number)
                continue
            target = array[number]
            part = frame.rows(rows.start, rows.stop, target.reshape(-1) if whole else scratch)[:, columns]
            if not np.may_share_memory(part, target):
                target[...] = part
        return blank

    return sorted(chain.from_iterable(shared(copy, count)))


def shared(work: Callable[[range], T], count: int) -> list[T]:
    """What `work` returns of every part of `count` numbers, in their order, a thread for each; of several errors the
    first.
    """
    threads = min(READERS, count)
    if threads < 2:
        return [work(range(count))]
    ends = [count * number // threads for number in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, map(range, ends, ends[1:])))
