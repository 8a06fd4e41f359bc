"""HDF5 and NeXus: the largest three-dimensional dataset, or the one that is named, with the detector's pixel mask."""

import math
import re
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.scan import Limits, RawScan, Request, admit, geometry_of, native, three_state
from inphase.formats.tree import NUMBERED, Tree, opened

SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs", ".nx5")
# never the measurement itself, though some have its shape
_AUXILIARY = re.compile(r"mask|flat|dark|background|white|error|weight|efficiency|support", re.IGNORECASE)
# Eiger and NXdetector: 0 is a good pixel, every other value a reason why it is none
PIXEL_MASKS = (
    "entry/instrument/detector/detectorSpecific/pixel_mask",
    "entry/instrument/detector/pixel_mask",
)


@dataclass(frozen=True)
class Found:
    """A measurement: one dataset, or the numbered pieces of one along the rocking axis."""

    path: str
    pieces: tuple[h5py.Dataset, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the pieces put together."""
        first = self.pieces[0].shape
        return (sum(piece.shape[0] for piece in self.pieces), *first[1:])

    @property
    def size(self) -> int:
        """Voxels."""
        return math.prod(self.shape)

    def load(self, tree: Tree, limits: Limits) -> NDArray[np.generic]:
        """The pieces in one array. Raises DataError, TooLargeError before allocating."""
        for piece in self.pieces:
            tree.check_sources(piece)
        dtype = self.pieces[0].dtype
        shape = admit(self.shape, dtype, f"{tree.path}, dataset '{self.path}'", limits)
        array = np.empty(shape, dtype.newbyteorder("="))
        row = 0
        for piece in self.pieces:
            piece.read_direct(array, dest_sel=np.s_[row : row + piece.shape[0]])
            row += piece.shape[0]
        return native(array)


def read(request: Request) -> RawScan:
    """Reads `dataset`, else the largest three-dimensional one that is not a mask or a correction.

    `q_steps` (3, 3) and `q_centre` (3,), in 1/m, at the root of the file give the geometry. Pixels that the file's
    pixel mask names are masked.
    """
    where = str(request.path)
    with opened(request.path) as tree:
        found, others = named(tree, request.dataset) if request.dataset is not None else largest(tree)
        array = found.load(tree, request.limits)
        geometry = geometry_of(tree.small, where)
        mask, note = _pixel_mask(tree, array.shape, request.limits)
    chosen = f"dataset '{found.path}' {array.shape} {array.dtype}{note}"
    if others:
        chosen += f"; passed over {', '.join(others)}"
    return RawScan(array, geometry, where, chosen, mask=mask)


def named(tree: Tree, path: str) -> tuple[Found, list[str]]:
    """The dataset of that path."""
    return Found(path.strip("/"), (tree.dataset(path),)), []


def largest(tree: Tree) -> tuple[Found, list[str]]:
    """The largest volume, and the paths of the others that were passed over. Raises DataError."""
    volumes = joined(
        [(name, item) for name, item in tree.datasets() if len(item.shape or ()) == 3 and item.dtype.kind in "uif"]
    )
    volumes = [volume for volume in volumes if not _AUXILIARY.search(volume.path)] or volumes
    if not volumes:
        raise DataError(f"{tree.path}: holds no three-dimensional dataset of real numbers; {tree.listing()}")
    volumes.sort(key=lambda volume: (-volume.size, not volume.path.endswith("data"), volume.path))
    best = volumes[0]
    if (
        len(volumes) > 1
        and volumes[1].size == best.size
        and volumes[1].path.endswith("data") == best.path.endswith("data")
    ):
        raise DataError(
            f"{tree.path}: '{best.path}' and '{volumes[1].path}' are equally large; name the measurement with dataset="
        )
    return best, [volume.path for volume in volumes[1:6]]


def joined(datasets: list[tuple[str, h5py.Dataset]]) -> list[Found]:
    """Puts data_000001, data_000002, ... of one group together where frames and type agree."""
    found = []
    pieces: dict[tuple[str, tuple[int, ...], np.dtype[Any]], list[tuple[int, h5py.Dataset]]] = {}
    for path, dataset in datasets:
        parent, _, name = path.rpartition("/")
        match = NUMBERED.fullmatch(name)
        if match:
            pieces.setdefault((parent, dataset.shape[1:], dataset.dtype), []).append((int(match[2]), dataset))
        else:
            found.append(Found(path, (dataset,)))
    for (parent, _, _), numbered in pieces.items():
        numbered.sort(key=lambda pair: pair[0])
        first, last = numbered[0][0], numbered[-1][0]
        if last - first + 1 != len(numbered):
            missing = next(n for n, (number, _) in enumerate(numbered, first) if n != number)
            raise DataError(f"'{parent}/data_{missing:06d}' is missing or its file is: the scan cannot be put together")
        span = f"data_{first:06d}" + (f"..{last:06d}" if last > first else "")
        found.append(Found(f"{parent}/{span}".lstrip("/"), tuple(dataset for _, dataset in numbered)))
    return found


def _pixel_mask(tree: Tree, shape: tuple[int, ...], limits: Limits) -> tuple[NDArray[np.uint8] | None, str]:
    """The first pixel mask of the file that fits the frames, and a word on it."""
    for path in PIXEL_MASKS:
        item = tree.get(path)
        if not isinstance(item, h5py.Dataset):
            continue
        if item.shape != shape[1:]:
            return None, f"; '{path}' {item.shape} does not fit the frames and is not applied"
        mask = three_state(tree.array(item, limits) != 0, shape, f"{tree.path}, '{path}'")
        return mask, f"; {int(np.count_nonzero(mask[0]))} pixels masked by '{path}'"
    return None, ""
