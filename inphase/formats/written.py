"""What of an HDF5 dataset was ever written: HDF5 gives fill values for the rest,
which look like a measurement of nothing.
"""

import math
from collections.abc import Iterator

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.tree import Part, Tree, name_of

Places = tuple[NDArray[np.intp], ...]  # the indices along each axis


def unwritten(tree: Tree, dataset: h5py.Dataset, depth: int = 0) -> NDArray[np.bool_] | None:
    """Voxels (the dataset's shape, bool) that nothing was ever written to, or None where there are none.

    Of a chunked dataset the chunks that the file does not have, of a virtual one what no source gives, be it that the
    source is missing, is shorter than it was meant to be, or was not written itself. Raises DataError where a source
    may not be read.
    """
    parts = tree.parts(dataset, depth)
    if dataset.is_virtual:
        return _unmapped(tree, dataset, parts, depth)
    if dataset.chunks is None:
        blank = dataset.size and dataset.id.get_storage_size() == 0
        return np.ones(dataset.shape, bool) if blank else None
    return _without_chunk(dataset)


def _without_chunk(dataset: h5py.Dataset) -> NDArray[np.bool_] | None:
    counts = [math.ceil(side / chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    if dataset.id.get_num_chunks() >= math.prod(counts):
        return None
    absent = np.ones(counts, bool)

    def found(chunk: h5py.h5d.StoreInfo) -> None:
        place = tuple(begin // side for begin, side in zip(chunk.chunk_offset, dataset.chunks, strict=True))
        if all(index < count for index, count in zip(place, counts, strict=True)):
            absent[place] = False

    dataset.id.chunk_iter(found)
    for axis, side in enumerate(dataset.chunks):
        absent = absent.repeat(side, axis=axis)
    return absent[tuple(slice(side) for side in dataset.shape)]


def _unmapped(tree: Tree, dataset: h5py.Dataset, parts: list[Part], depth: int) -> NDArray[np.bool_] | None:
    pieces = [(place, missing) for part in parts for place, missing in _given(tree, dataset, part, depth)]
    if sum(math.prod(map(len, place)) for place, missing in pieces if missing is None) == dataset.size:
        return None  # each voxel once: nothing large is allocated for what is whole
    absent = np.ones(dataset.shape, bool)
    for place, missing in pieces:
        absent[np.ix_(*place)] &= False if missing is None else missing
    return absent if absent.any() else None


def _given(
    tree: Tree, dataset: h5py.Dataset, part: Part, depth: int
) -> Iterator[tuple[Places, NDArray[np.bool_] | None]]:
    """Where the source stands in a virtual dataset, and which of these voxels it lacks: None, none."""
    if part.source is None:
        return
    blank = unwritten(tree, part.source, depth + 1)  # which also refuses what may not be read
    place, origin = _indices(part.place, dataset.shape), _indices(part.place_in_source, part.source.shape)
    if place is not None and origin is not None and [*map(len, place[1:])] == [*map(len, origin[1:])]:
        most = min(len(place[0]), len(origin[0]))  # they differ where both have no end and one is still growing
        place, origin = (place[0][:most], *place[1:]), (origin[0][:most], *origin[1:])
    if place is None or origin is None or math.prod(map(len, place)) != math.prod(map(len, origin)):
        raise DataError(
            f"{tree.path}: the virtual dataset '{name_of(dataset)}' takes irregular pieces of {part.file}; write it as "
            "an ordinary dataset (h5repack), or name the source with dataset="
        )
    written = [index < side for index, side in zip(origin, part.source.shape, strict=True)]
    missing = None
    if blank is not None and blank.size:
        inside = [np.minimum(index, side - 1) for index, side in zip(origin, blank.shape, strict=True)]
        missing = blank[np.ix_(*inside)] | ~_outer(written)
    elif not all(axis.all() for axis in written):
        missing = ~_outer(written)
    yield place, None if missing is None else missing.reshape([len(index) for index in place])


def _outer(along: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """True where every axis is."""
    inside = np.ones((), bool)
    for axis in along:
        inside = inside[..., None] & axis
    return inside


def _indices(space: h5py.h5s.SpaceID, shape: tuple[int, ...]) -> Places | None:
    """What a selection takes along each axis of a dataset of `shape`, maybe beyond its end;
    None where it is irregular.
    """
    kind = space.get_select_type()
    if kind == h5py.h5s.SEL_ALL:
        return tuple(np.arange(side) for side in shape)
    if kind != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    found = []
    for start, stride, count, block, side in zip(*space.get_regular_hyperslab(), shape, strict=True):
        if block == h5py.h5s.UNLIMITED:
            count, block = 1, max(0, side - start)
        elif count == h5py.h5s.UNLIMITED:
            count = max(0, math.ceil((side - start) / stride))
        found.append((start + stride * np.arange(count)[:, None] + np.arange(block)).reshape(-1))
    return tuple(found)
