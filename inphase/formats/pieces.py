"""A measurement in an HDF5 file: one dataset, numbered pieces of one, or images that lie apart."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats import survey
from inphase.formats.frames import Hdf5Frames, copied
from inphase.formats.region import Region
from inphase.formats.scan import FileReading, admit, native, three_axes
from inphase.formats.tree import NUMBERED, Tree, name_of, names_in, type_of
from inphase.formats.written import unwritten
from inphase.geometry import Geometry
from inphase.pattern import MaskState

_DIGITS = re.compile(r"(\d+)")
_FEWEST = 2  # images that are put together


@dataclass(frozen=True)
class Loaded:
    """What was read of a measurement.

    array: (rocking, row, column). mask: MASKED where nothing was ever written, None where all was. planned: frames that
    the file was laid out for, of which `array` has those up to the last one that was written. stopped: the last frames
    are missing, for whatever reason. note: what to say of it. region: the rows and columns that were read, None where
    that is all of them.
    """

    array: NDArray[np.generic]
    mask: NDArray[np.uint8] | None
    planned: int
    stopped: bool
    note: str
    region: Region | None = None

    def geometry(self, whole: Geometry | None) -> Geometry | None:
        """Of the array, by that of whole frames."""
        return whole if self.region is None else self.region.geometry(whole)

    @property
    def where(self) -> str:
        """Shape and type, and what is missing, for people."""
        return f"{self.array.shape} {self.array.dtype}{self.note}"


@dataclass(frozen=True)
class Found:
    """A measurement: one dataset, or the numbered pieces or single frames of one along the rocking axis.

    lost: what to say of pieces that are missing at its end.
    """

    path: str
    pieces: tuple[h5py.Dataset, ...]
    lost: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the pieces put together, without further axes of length 1."""
        if len(self.pieces) == 1:
            return three_axes(self.pieces[0].shape or ())
        each = [sides(piece) for piece in self.pieces]
        return (sum(frames for frames, *_ in each), *each[0][1:])

    @property
    def size(self) -> int:
        """Voxels."""
        return math.prod(self.shape)

    def load(self, tree: Tree, request: FileReading, bad: Callable[[], NDArray[np.bool_] | None]) -> Loaded:
        """The pieces in one array; of a large measurement, or where it is asked for, a region of every frame.

        bad: asked for the pixels (rows, columns) that the file says do not measure. A region of frames that HDF5 cannot
        give one by one is left to the caller. Raises DataError, TooLargeError before allocating.
        """
        label = f"{tree.path}, dataset '{self.path}'"
        dtype = type_of(self.pieces[0])
        if dtype is None:
            raise DataError(f"{label}: has an element type that is not known here")
        region = self._region(tree, request, bad, dtype)
        if region is None:
            shape = admit(self.shape, dtype, label, request.limits)
        else:
            shape = admit(region.shape_of(self.shape), dtype, label, replace(request.limits, kept=None))
        array = np.empty(shape, dtype.newbyteorder("="))
        blank: NDArray[np.bool_] | None = None
        row = 0
        for piece in self.pieces:
            part = array[row : row + (sides(piece)[0] if len(self.pieces) > 1 else len(array))]
            box = None if region is None else region.box_in(piece.shape)
            absent = unwritten(tree, piece, box)
            _fill(part, tree, piece, absent, box)
            if absent is not None:
                blank = np.zeros(shape, bool) if blank is None else blank
                blank[row : row + len(part)] = absent.reshape(part.shape)
            row += len(part)
        return replace(self._without_blanks(tree, native(array), blank, label), region=region)

    def _region(
        self, tree: Tree, request: FileReading, bad: Callable[[], NDArray[np.bool_] | None], dtype: np.dtype[Any]
    ) -> Region | None:
        """What is read of every frame; None for all of it, and where it is cut out later."""
        if len(self.shape) != 3 or any(piece.shape[-2:] != self.shape[1:] for piece in self.pieces):
            return None
        if not survey.wanted(request, self.shape):
            return survey.asked(request, self.shape)
        frames = Hdf5Frames.of(tree, self.pieces)
        if frames is None or not any(frames.places):
            return None
        survey.admit(self.shape, dtype, f"{tree.path}, dataset '{self.path}'", request.limits)
        return survey.found(frames, survey.unmeasured(request, self.shape, bad()))

    def _without_blanks(
        self, tree: Tree, array: NDArray[np.generic], blank: NDArray[np.bool_] | None, label: str
    ) -> Loaded:
        """Cut after the last frame that was written; masked, where nothing was written before it."""
        planned, note, mask = len(array), self.lost, None
        if blank is not None:
            never: NDArray[np.bool_] = np.asarray(blank.all(axis=(1, 2)))
            lacking = _lacking(tree, self.pieces)
            if never.all():
                raise DataError(f"{label}: {lacking or f'none of its {planned} frames has been written yet'}")
            last = int(np.flatnonzero(~never)[-1]) + 1
            if lacking and blank[:last].any():
                raise DataError(f"{label}: {lacking}: frames in the middle of the scan are missing with it")
            if last < planned:
                cut = f"frames {last} to {planned - 1}" if last < planned - 1 else f"frame {last}"
                note += f"; {cut} of {planned} never written and left out"
                note += f" ({lacking})" if lacking else ""
            array, blank, never = array[:last], blank[:last], never[:last]
            if blank.any():
                mask = np.where(blank, np.uint8(MaskState.MASKED), np.uint8(MaskState.VALID))
                note += f"; {_in_words(never, blank)} never written and masked"
        if tree.writing:
            note += (
                f"; {', '.join(tree.writing)} is still being written, or its writer died: these are the frames so far"
            )
        return Loaded(array, mask, planned, len(array) < planned or bool(self.lost), note)


def _fill(
    part: NDArray[np.generic],
    tree: Tree,
    piece: h5py.Dataset,
    absent: NDArray[np.bool_] | None,
    box: tuple[slice, ...] | None,
) -> None:
    """Reads a dataset, or a box of it, into an array of the same shape but for axes of length 1;
    frames that are absent as a whole stay 0.
    """
    whole = box is None
    one_by_one = part.ndim == 3 and (not whole or piece.shape[-2:] == part.shape[-2:])
    frames = Hdf5Frames.of(tree, [piece]) if one_by_one else None
    box = tuple(slice(0, side) for side in piece.shape) if box is None else box
    view = part.reshape([span.stop - span.start for span in box])
    if frames is not None and frames.direct:
        blank = copied(frames, part, *box[-2:])
        if blank and (absent is None or not absent.reshape(len(part), -1)[blank].all()):
            raise DataError(f"{tree.path}: frame {blank[0]} of '{name_of(piece)}' went away while it was read")
        return
    if absent is None and whole:
        tree.fill(view, piece)
        return
    part[...] = 0
    if piece.ndim != 3 or absent is None:
        piece.read_direct(view, source_sel=box)
    else:  # frame by frame: HDF5 refuses to read a virtual dataset as one that is longer than its sources
        for frame in np.flatnonzero(~absent.all(axis=(1, 2))):
            piece.read_direct(view, source_sel=(frame, *box[1:]), dest_sel=np.s_[frame])
    tree.check_read(piece)


def _in_words(never: NDArray[np.bool_], blank: NDArray[np.bool_]) -> str:
    frames = [str(number) for number in np.flatnonzero(never)]
    if not frames:
        return f"{int(np.count_nonzero(blank))} voxels were"
    named = ", ".join(frames[:8]) + (", ..." if len(frames) > 8 else "")
    return f"frame{'s' * (len(frames) > 1)} {named} {'were' if len(frames) > 1 else 'was'}"


def _lacking(tree: Tree, pieces: Iterable[h5py.Dataset]) -> str:
    """The first source of a virtual dataset that is missing, empty where none is."""
    for piece in pieces:
        for part in tree.parts(piece):
            if part.source is None:
                return part.why
    return ""


def joined(tree: Tree, datasets: list[tuple[str, h5py.Dataset]]) -> list[Found]:
    """Puts data_000001, data_000002, ... of one group together.

    Pieces that are missing at the end were never written, where a run was stopped: the others are the scan, and `lost`
    says so. Raises DataError for one that is missing before others, or of another shape or type.
    """
    found = []
    groups: dict[str, dict[int, h5py.Dataset]] = defaultdict(dict)
    for path, dataset in datasets:
        parent, _, name = path.rpartition("/")
        match = NUMBERED.fullmatch(name)
        if match:
            groups[parent][int(match[2])] = dataset
        else:
            found.append(Found(path, (dataset,)))
    for parent, pieces in groups.items():
        numbers = sorted(pieces)
        kind = (pieces[numbers[0]].shape[1:], pieces[numbers[0]].dtype)
        for number in numbers:
            if (pieces[number].shape[1:], pieces[number].dtype) != kind:
                raise DataError(
                    f"{tree.path}: '{parent}/data_{number:06d}' holds frames {pieces[number].shape[1:]} "
                    f"{pieces[number].dtype}, but the pieces before it {kind[0]} {kind[1]}: name one with dataset="
                )
        lost = _lost(tree, parent, numbers)
        first, last = numbers[0], numbers[-1]
        span = f"data_{first:06d}" + (f"..{last:06d}" if last > first else "")
        found.append(Found(f"{parent}/{span}".lstrip("/"), tuple(pieces[number] for number in numbers), lost))
    return found


def _lost(tree: Tree, parent: str, numbers: list[int]) -> str:
    """What to say of numbered pieces that are linked after the last one that is there."""
    group = tree.get(parent) if parent else tree.root
    assert isinstance(group, h5py.Group)
    listed = {int(match[2]): name for name in names_in(group) if (match := NUMBERED.fullmatch(name)) is not None}
    for number in range(min(listed), numbers[-1]):
        if number not in numbers:
            why = _why_missing(tree, group, listed.get(number), f"{parent}/data_{number:06d}")
            raise DataError(
                f"{tree.path}: {why}: the scan cannot be put together; copy what is missing beside this file"
            )
    after = [name for number, name in sorted(listed.items()) if number > numbers[-1]]
    if not after:
        return ""
    return (
        f"; {_why_missing(tree, group, after[0], f'{parent}/{after[0]}')}{_more(after)}: stopped early, or not copied; "
        f"these are the frames of the {len(numbers)} that are there"
    )


def _why_missing(tree: Tree, group: h5py.Group, name: str | None, path: str) -> str:
    if name is not None:
        item = tree.step(group, name)
        key = f"{name_of(group)}/{name}".lstrip("/")
        if item is None and key in tree.missing:
            return str(tree.missing[key])
        if item is not None:
            return f"'{path}' is no volume of frames like the others"
    return f"'{path}' is missing or its file is"


def stacked(tree: Tree, datasets: list[tuple[str, h5py.Dataset]]) -> list[Found]:
    """Images of one shape and type whose paths differ in one number, in the order of that number.

    Images whose files are missing at the end were never written, where a run was stopped; `lost` says so. Raises
    DataError where no set of them is whole and a number is missing, or there twice, before the last one.
    """
    alike: dict[tuple[tuple[str, ...], tuple[int, ...], np.dtype[Any]], list[_Image]] = defaultdict(list)
    for path, dataset in datasets:
        image = _Image.of(path, dataset)
        alike[image.text, sides(dataset), dataset.dtype].append(image)
    lost = [_Image.of(path) for path in tree.missing]
    found, broken = [], ""
    for images in alike.values():
        varying = [
            place
            for place, numbers in enumerate(zip(*(i.numbers for i in images), strict=True))
            if len(set(numbers)) > 1
        ]
        if len(images) < _FEWEST or len(varying) != 1:
            continue
        place = varying[0]
        images.sort(key=lambda image: image.numbers)
        away = {image.numbers[place]: image.path for image in lost if image.text == images[0].text}
        fault = _hole(tree, images, place, away)
        if fault:
            broken = broken or fault
            continue
        last = images[-1].numbers[place]
        after = sorted(number for number in away if number > last)
        told = f"; {tree.missing[away[after[0]]]}{_more(after)}: stopped early, or not copied" if after else ""
        pieces = tuple(image.dataset for image in images if image.dataset is not None)
        found.append(Found(f"{images[0].path}..{last}", pieces, told))
    if broken and not found:
        raise DataError(f"{tree.path}: {broken}: a rocking curve needs every step")
    return found


@dataclass(frozen=True)
class _Image:
    """A path taken apart into text and numbers, and what lies there."""

    path: str
    text: tuple[str, ...]
    numbers: tuple[int, ...]
    dataset: h5py.Dataset | None

    @classmethod
    def of(cls, path: str, dataset: h5py.Dataset | None = None) -> "_Image":
        parts = _DIGITS.split(path)
        return cls(path, tuple(parts[::2]), tuple(int(number) for number in parts[1::2]), dataset)


def _hole(tree: Tree, images: list[_Image], place: int, away: dict[int, str]) -> str:
    """What is wrong with the numbers of images, empty where nothing is."""
    before = [number for number in away if number < images[0].numbers[place]]
    if before:
        return str(tree.missing[away[min(before)]])
    for one, other in pairwise(images):
        number = one.numbers[place] + 1
        if other.numbers[place] < number:
            return f"image {number - 1} is there twice: '{one.path}' and '{other.path}'"
        if other.numbers[place] > number:
            return (
                str(tree.missing[away[number]]) if number in away else f"image {number} is missing, after '{one.path}'"
            )
    return ""


def _more(names: list[Any]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def sides(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Frames, rows, columns of a piece; an image is one frame."""
    found = three_axes(dataset.shape)
    return (1, *found) if len(found) == 2 else found
