"""What an HDF5 file says of its detector's pixels: which of them do not measure, and where they stop counting.

NeXus (NXdetector), NXmx, the Eiger's detectorSpecific and what writers of other detectors make alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.hidden import account
from inphase.formats.scan import Limits, RawScan, Saturation, frames_out, masked, of_scan, three_state, with_saturation
from inphase.formats.tree import Tree, name_of, names_in
from inphase.pattern import MaskState

_INSIDE: Final = ("detectorSpecific", "detector_specific", "")  # of a detector's group, the more special first
# at and above it a value is no measurement, whatever other values there are
_LIMITS: Final = ("saturation_value", "saturation", "saturated_value", "overload_value", "overload")
# where the counter, or its correction, stops: no value can pass it while it holds for the whole image
_CEILINGS: Final = ("countrate_correction_count_cutoff", "count_cutoff", "countrate_cutoff")
_DEPTHS: Final = ("bit_depth_image", "bit_depth_readout")
_SUMMED: Final = ("nframes_sum", "number_of_frames_summed", "frames_summed", "summed_frames")
_UNDERLOAD: Final = "underload_value"
_MASKS: Final = ("pixel_mask", "bad_pixel_mask", "badpixel_mask")
_MARKS: Final = (2**16 - 1, 2**32 - 1)  # of pixels that do not count, in types that hold more, too
_LEAST_LEVEL: Final = 2.0  # counts: below it nothing can be measured, so that it is a number left unset
_MOST_UNDERLOAD: Final = 0.01  # share of voxels below it; more, and zero counts are meant, which are a measurement


def groups(tree: Tree, path: str, dataset: h5py.Dataset) -> list[str]:
    """The detector's groups, by what is known of the frames:
    the group they lie in, else the only detector of their entry.
    """
    places = dict.fromkeys(place.strip("/") for place in (path, name_of(dataset)))
    near = [place.rpartition("/")[0] for place in places]
    for place in places:
        entry, _, rest = place.partition("/")
        name = rest.rpartition("/")[2]
        near += [
            f"{entry}/instrument/{part}" for part in (name, *rest.split("/")[:-1]) if part not in ("", "instrument")
        ]
    found = [group for group in dict.fromkeys(near) if isinstance(tree.get(group), h5py.Group) and _tells(tree, group)]
    if found:
        return found
    entry = path.strip("/").partition("/")[0]
    alone = [group for group in _detectors(tree, entry) if _tells(tree, group)]
    return alone if len(alone) == 1 else []


def _detectors(tree: Tree, entry: str) -> Iterator[str]:
    for instrument in ("instrument", "instrument_1"):
        group = tree.get(f"{entry}/{instrument}")
        for name in names_in(group) if isinstance(group, h5py.Group) else ():
            if isinstance(tree.step(group, name), h5py.Group):
                yield f"{entry}/{instrument}/{name}"


def _tells(tree: Tree, group: str) -> bool:
    """Whether a group, or the special one inside it, holds any of the names looked for."""
    known = (*_LIMITS, *_CEILINGS, *_DEPTHS, _UNDERLOAD, *_MASKS)
    return any(isinstance(tree.get(path), h5py.Dataset) for name in known for path in _paths([group], name))


def _paths(where: Sequence[str], name: str) -> Iterator[str]:
    for group in where:
        for inside in _INSIDE:
            yield "/".join(part for part in (group, inside, name) if part)


def applied(scan: RawScan, tree: Tree, where: Sequence[str], limits: Limits) -> RawScan:
    """The scan with pixel mask, underload and saturation of the detector's groups;
    `chosen` says what was done and what not.

    Raises DataError where the mask cannot be read, TooLargeError.
    """
    scan = _with_pixel_mask(scan, tree, where, limits)
    scan = _with_underload(scan, tree, where)
    return _with_saturation(scan, tree, where)


def bad_pixels(tree: Tree, where: Sequence[str], limits: Limits) -> NDArray[np.bool_] | None:
    """(rows, columns): what is not 0 in the detector's pixel mask, of every frame where it has several; None where
    there is none.
    """
    for name in _MASKS:
        for path in _paths(where, name):
            item = tree.get(path)
            if isinstance(item, h5py.Dataset) and item.ndim >= 2:
                return frames_out(np.asarray(tree.array(item, limits) != 0))
    return None


def _with_pixel_mask(scan: RawScan, tree: Tree, where: Sequence[str], limits: Limits) -> RawScan:
    """0 is a good pixel, every other value a reason why it is none, in any type of number."""
    for name in _MASKS:
        for path in _paths(where, name):
            item = tree.get(path)
            if not isinstance(item, h5py.Dataset) or not item.shape:
                continue
            bad = np.asarray(tree.array(item, limits) != 0)
            shape = scan.whole
            if bad.ndim >= 3 and bad.shape[-3:] != shape and bad.shape[-2:] == shape[1:] and len(bad) > len(scan.array):
                bad = bad[: len(scan.array)]  # the frames after the last one that was written were cut off
            try:
                bad = scan.part(of_scan(bad, shape, path))
            except DataError:
                told = f"'{path}' {item.shape} does not fit the frames and is not applied"
                return replace(scan, chosen=f"{scan.chosen}; {told}")
            mask = three_state(bad, scan.array.shape, path)
            said = account(scan.array, bad, f"{scan.source}, '{path}'")
            what = f"{np.count_nonzero(bad)} {'pixels' if bad.ndim == 2 else 'voxels'}"
            return masked(scan, mask, f"{what} masked by '{path}' ({said})")
    return scan


def _with_underload(scan: RawScan, tree: Tree, where: Sequence[str]) -> RawScan:
    """Below it a value is no measurement. Where it would take more than single voxels,
    zero counts or noise are meant.
    """
    told = _told(tree, where, _UNDERLOAD)
    if told is None:
        return scan
    counts: NDArray[Any] = scan.array
    below = counts < told.level
    if scan.mask is not None:
        below &= scan.mask == MaskState.VALID
    everywhere = below.all(axis=0)
    if below.mean() - everywhere.mean() > _MOST_UNDERLOAD:
        below = np.broadcast_to(everywhere, below.shape)
    count = int(np.count_nonzero(below))
    if not count:
        return scan
    return masked(scan, three_state(below, below.shape, scan.source), f"{count} voxels masked, below {told.told_by}")


def _with_saturation(scan: RawScan, tree: Tree, where: Sequence[str]) -> RawScan:
    levels = [told for name in _LIMITS if (told := _told(tree, where, name)) is not None and told.level >= _LEAST_LEVEL]
    notes: list[str] = []
    summed = next((told.level for name in _SUMMED if (told := _told(tree, where, name)) is not None), 1.0)
    for told in _ceilings(tree, where):
        if not _passed(scan, told.level):
            levels.append(told)
        elif summed > 1 and not _passed(scan, told.level * summed):
            levels.append(Saturation(told.level * summed, f"{told.told_by} times {summed:g} readouts"))
        else:
            notes.append(f"{told.told_by} is {told.level:g}, which the counts pass: it is not applied")
    depth = _told(tree, where, _DEPTHS[1])
    if depth is not None and 0 < depth.level < 64:  # of one readout, which an image may be a sum of
        full = 2.0**depth.level - 1
        if bool((scan.array == full).any()) and not _passed(scan, full):
            levels.append(Saturation(full, depth.told_by))
    return with_saturation(replace(scan, chosen="; ".join((scan.chosen, *notes))), levels)


def _ceilings(tree: Tree, where: Sequence[str]) -> Iterator[Saturation]:
    """Where the counter of an image stops."""
    for name in _CEILINGS:
        told = _told(tree, where, name)
        if told is not None and told.level >= _LEAST_LEVEL:
            yield told
    depth = _told(tree, where, _DEPTHS[0])
    if depth is not None and 1 < depth.level < 64:
        yield Saturation(2.0**depth.level - 1, depth.told_by)


def _told(tree: Tree, where: Sequence[str], name: str) -> Saturation | None:
    """The first number of that name in the groups; of several in one dataset the smallest.
    None for what is no number.
    """
    for path in _paths(where, name):
        numbers = tree.small(path)
        if numbers is not None and np.isfinite(numbers).all():
            return Saturation(float(numbers.min()), f"'{path}'")
    return None


def _passed(scan: RawScan, level: float) -> bool:
    """Whether counts lie above a level, beside pixels that do so in every frame and values that mark a pixel as bad."""
    counts: NDArray[Any] = scan.array
    above = counts > level
    if not above.any():
        return False
    for mark in _MARKS:
        above &= counts != mark
    if scan.mask is not None:
        above &= scan.mask == MaskState.VALID
    return bool((above & ~above.all(axis=0)).any())
