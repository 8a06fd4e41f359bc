"""A folder of HDF5 files with one image each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats import detector, hdf5, sequence, survey
from inphase.formats.frames import ArrayFrame, Frame
from inphase.formats.pieces import sides
from inphase.formats.scan import FileReading, RawScan
from inphase.formats.tree import Tree, is_hdf5, opened
from inphase.formats.written import unwritten
from inphase.pattern import MaskState


def read_folder(request: FileReading) -> RawScan:
    """Reads a folder of numbered HDF5 files, of which each holds one image under the same path.

    Where the folder holds several numbered sequences, `dataset` names the beginning of the wanted one. The detector's
    mask and saturation are taken from the first file. Raises DataError naming the first file that is missing, repeated,
    damaged or unlike the first.
    """
    frames = sequence.find(request.path, hdf5.SUFFIXES, request.reading.dataset, "HDF5")
    first = frames.files[0]
    with opened(first) as tree:
        path, item = hdf5.image(tree)
        groups = detector.groups(tree, path, item)
        taken = survey.read(
            _Frames(tuple(frames.files), path, item),
            request,
            lambda: detector.bad_pixels(tree, groups, request.limits),
        )
        array, blank = taken.array, taken.blank
        if len(blank) == len(array):
            raise DataError(f"{request.path}: no image has been written to any of its {len(array)} files")
        note = f", dataset '{path}' {array.shape} {item.dtype}"
        mask = None
        if blank:
            mask = np.zeros(array.shape, np.uint8)
            mask[blank] = MaskState.MASKED
            note += f"; {len(blank)} images were never written and are masked, the first is frame {blank[0]}"
        scan = RawScan(array, None, str(request.path), f"{frames.chosen}{note}", mask=mask, region=taken.region)
        return detector.applied(scan, tree, groups, request.limits)


@dataclass(frozen=True)
class _Frames:
    """One in each file, under the path of that of the first."""

    files: tuple[Path, ...]
    path: str
    item: h5py.Dataset

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.files), *sides(self.item)[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = self.item.dtype.newbyteorder("=")
        return found

    def open(self, number: int) -> Frame | None:
        frame = np.empty(self.shape[1:], self.dtype)
        with opened(self.files[number]) as tree:
            return ArrayFrame(frame) if _fill(frame, tree, self.path, self.item) else None


def _fill(frame: NDArray[np.generic], tree: Tree, path: str, first: h5py.Dataset) -> bool:
    """Reads the image of one file; False where it was never written."""
    item = tree.dataset(path)
    if item.shape is None or sides(item) != sides(first) or item.dtype != first.dtype:
        raise DataError(
            f"{tree.path}: its image '{path}' is {item.shape} {item.dtype}, but that of the first file {first.shape} "
            f"{first.dtype}; all frames of a scan must be alike"
        )
    missing = unwritten(tree, item)
    tree.check_sources(item)
    tree.fill(frame.reshape(item.shape), item)
    return missing is None or not missing.all()


def are_frames(folder: Path) -> bool:
    """Whether the longest numbered sequence of HDF5 files in a folder are single images;
    the first and the last are opened.
    """
    files = sequence.longest(folder, hdf5.SUFFIXES)
    return len(files) > 1 and all(_is_frame(path) for path in (files[0], files[-1]))


def _is_frame(path: Path) -> bool:
    try:
        if not is_hdf5(path):
            return False
        with opened(path) as tree:
            return not any(volume.shape[0] > 1 for volume in hdf5.measurements(tree)) and bool(hdf5.image(tree))
    except DataError:
        return False
