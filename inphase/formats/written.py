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


def unwritten(
    tree: Tree, dataset: h5py.Dataset, box: tuple[slice, ...] | None = None, depth: int = 0
) -> NDArray[np.bool_] | None:
    """Voxels of a box, by default the whole dataset, that nothing was ever written to (the box's shape, bool), or None
    where there are none.

    Of a chunked dataset the chunks that the file does not have, of a virtual one what no source gives, be it that the
    source is missing, is shorter than it was meant to be, or was not written itself. Raises DataError where a source
    may not be read.
    """
    parts = tree.parts(dataset, depth)
    box = tuple(slice(0, side) for side in dataset.shape) if box is None else box
    if dataset.is_virtual:
        return _unmapped(tree, dataset, parts, box, depth)
    if dataset.chunks is None:
        blank = dataset.size and dataset.id.get_storage_size() == 0
        return np.ones(_sides(box), bool) if blank else None
    return _without_chunk(dataset, box)


def _sides(box: tuple[slice, ...]) -> tuple[int, ...]:
    return tuple(span.stop - span.start for span in box)


def _without_chunk(dataset: h5py.Dataset, box: tuple[slice, ...]) -> NDArray[np.bool_] | None:
    counts = [math.ceil(side / chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True)]
    if dataset.id.get_num_chunks() >= math.prod(counts):
        return None
    absent = np.ones(counts, bool)

    def found(chunk: h5py.h5d.StoreInfo) -> None:
        place = tuple(begin // side for begin, side in zip(chunk.chunk_offset, dataset.chunks, strict=True))
        if all(index < count for index, count in zip(place, counts, strict=True)):
            absent[place] = False

    dataset.id.chunk_iter(found)
    of_box = [np.arange(span.start, span.stop) // side for span, side in zip(box, dataset.chunks, strict=True)]
    inside = absent[np.ix_(*of_box)]
    return inside if inside.any() else None


def _unmapped(
    tree: Tree, dataset: h5py.Dataset, parts: list[Part], box: tuple[slice, ...], depth: int
) -> NDArray[np.bool_] | None:
    pieces = [(place, missing) for part in parts for place, missing in _given(tree, dataset, part, box, depth)]
    if sum(math.prod(map(len, place)) for place, missing in pieces if missing is None) == math.prod(_sides(box)):
        return None  # each voxel once: nothing large is allocated for what is whole
    absent = np.ones(_sides(box), bool)
    for place, missing in pieces:
        absent[np.ix_(*place)] &= False if missing is None else missing
    return absent if absent.any() else None


def _given(
    tree: Tree, dataset: h5py.Dataset, part: Part, box: tuple[slice, ...], depth: int
) -> Iterator[tuple[Places, NDArray[np.bool_] | None]]:
    """Where in the box of a virtual dataset the source stands, and which of these voxels it lacks: None, none."""
    if part.source is None:
        return
    place, origin = indices(part.place, dataset.shape), indices(part.place_in_source, part.source.shape)
    if place is not None and origin is not None and [*map(len, place[1:])] == [*map(len, origin[1:])]:
        most = min(len(place[0]), len(origin[0]))  # they differ where both have no end and one is still growing
        place, origin = (place[0][:most], *place[1:]), (origin[0][:most], *origin[1:])
    if place is None or origin is None or math.prod(map(len, place)) != math.prod(map(len, origin)):
        raise DataError(
            f"{tree.path}: the virtual dataset '{name_of(dataset)}' takes irregular pieces of {part.file}; write it as "
            "an ordinary dataset (h5repack), or name the source with dataset="
        )
    within = [(span.start <= index) & (index < span.stop) for index, span in zip(place, box, strict=True)]
    inside = tuple(index[axis] - span.start for index, axis, span in zip(place, within, box, strict=True))
    if [*map(len, place)] == [*map(len, origin)]:
        missing = _missing(
            tree, part.source, tuple(index[axis] for index, axis in zip(origin, within, strict=True)), depth
        )
        yield inside, missing
        return
    missing = _missing(tree, part.source, origin, depth)
    yield inside, None if missing is None else missing.reshape([len(index) for index in place])[np.ix_(*within)]


def _missing(tree: Tree, source: h5py.Dataset, origin: Places, depth: int) -> NDArray[np.bool_] | None:
    """Which voxels of a source, by their indices along each axis, were never written, or lie beyond its end."""
    written = [index < side for index, side in zip(origin, source.shape, strict=True)]
    reached = [index[axis] for index, axis in zip(origin, written, strict=True)]
    box = tuple(slice(int(index.min()), int(index.max()) + 1) if index.size else slice(0, 0) for index in reached)
    blank = unwritten(tree, source, box, depth + 1)  # which also refuses what may not be read
    if blank is None and all(axis.all() for axis in written):
        return None
    missing = ~_outer(written)
    if blank is not None and blank.size:
        at = np.ix_(*(index - span.start for index, span in zip(reached, box, strict=True)))
        missing[np.ix_(*map(np.flatnonzero, written))] = blank[at]
    return missing


def _outer(along: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """True where every axis is."""
    inside = np.ones((), bool)
    for axis in along:
        inside = inside[..., None] & axis
    return inside


def indices(space: h5py.h5s.SpaceID, shape: tuple[int, ...]) -> Places | None:
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
