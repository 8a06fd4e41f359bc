"""HDF5 and NeXus: the rocking curve of a file, or the dataset that is named,
with what the detector says of its pixels.
"""

import re
from collections import defaultdict

import h5py

from inphase.errors import DataError
from inphase.formats import detector, entries
from inphase.formats.pieces import Found, joined, sides, stacked
from inphase.formats.reading import Reading
from inphase.formats.scan import FileReading, RawScan, geometry_of, three_axes
from inphase.formats.scanned import refuse_tree
from inphase.formats.tree import Tree, is_real, opened

SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs", ".nx5")
# never the measurement itself, though some have its shape
_AUXILIARY = re.compile(r"mask|flat|dark|background|white|error|weight|efficiency|support", re.IGNORECASE)


def read(request: FileReading) -> RawScan:
    """Reads `dataset`, else the rocking curve: of several entries the one that is one, of its volumes the largest one
    that is not a mask or a correction. The reading may name scan, sample and detector.

    `q_steps` (3, 3) and `q_centre` (3,), in 1/m, at the root of the file give the geometry. Pixels that the detector's
    pixel mask names are masked; where it stops counting goes into the scan's saturation.
    """
    where = str(request.path)
    with opened(request.path) as tree:
        if request.reading.dataset is None:
            refuse_tree(tree)
        found, note = (
            named(tree, request.reading.dataset)
            if request.reading.dataset is not None
            else chosen(tree, request.reading)
        )
        groups = detector.groups(tree, found.path, found.pieces[0])
        loaded = found.load(tree, request, lambda: detector.bad_pixels(tree, groups, request.limits))
        scan = RawScan(
            loaded.array,
            loaded.geometry(geometry_of(tree.small, where)),
            where,
            f"dataset '{found.path}' {loaded.where}{note}",
            mask=loaded.mask,
            region=loaded.region,
        )
        return detector.applied(scan, tree, groups, request.limits)


def named(tree: Tree, path: str) -> tuple[Found, str]:
    """The dataset of that path."""
    return Found(path.strip("/"), (tree.dataset(path),)), ""


def chosen(tree: Tree, reading: Reading) -> tuple[Found, str]:
    """The rocking curve, or the image where there is none, and a word on what was passed over. Raises DataError."""
    volumes = measurements(tree)
    if not volumes:
        path, _ = image(tree)
        return named(tree, path)
    note = ""
    by_entry: dict[str, list[Found]] = defaultdict(list)
    for volume in volumes:
        by_entry[entries.name_of_entry(volume.path)].append(volume)
    try:
        names = entries.named(list(by_entry), reading)
        if len(names) > 1:
            one, note = entries.choose(
                tree, {name: max(volume.shape[0] for volume in by_entry[name]) for name in names}
            )
            names = names if one is None else [one]
    except DataError as error:
        raise DataError(f"{tree.path}: {error}") from error
    volumes = [volume for name in names for volume in by_entry[name]]
    if reading.detector is not None:
        by_name = [volume for volume in volumes if reading.detector in volume.path.split("/")]
        if not by_name:
            paths = ", ".join(volume.path for volume in volumes[:8])
            raise DataError(f"{tree.path}: has no frames of detector={reading.detector}; it has {paths}")
        volumes = by_name
    best, others = largest(tree, volumes)
    if others:
        note = f"{f'; {note}' if note else ''}; passed over {', '.join(others)}"
    elif note:
        note = f"; {note}"
    return best, note


def measurements(tree: Tree) -> list[Found]:
    """Every volume of the file that is no mask or correction; without any, images that lie apart, put together."""
    real = [(name, item) for name, item in tree.datasets() if is_real(item) and len(item.shape or ()) >= 2]
    volumes = joined(tree, [(name, item) for name, item in real if len(three_axes(item.shape)) == 3])
    several = [volume for volume in volumes if volume.shape[0] > 1]
    if not several:
        several = stacked(tree, [(name, item) for name, item in real if sides(item)[0] == 1]) or volumes
    return [volume for volume in several if not _AUXILIARY.search(volume.path)] or several


def largest(tree: Tree, volumes: list[Found]) -> tuple[Found, list[str]]:
    """The largest volume, and the paths of the others that were passed over. Raises DataError."""
    volumes = sorted(volumes, key=lambda volume: (-volume.size, not volume.path.endswith("data"), volume.path))
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


def image(tree: Tree) -> tuple[str, h5py.Dataset]:
    """The image of a file that holds one: the largest that is no mask or correction. Raises DataError."""
    images = [
        (name, item)
        for name, item in tree.datasets()
        if is_real(item) and len(item.shape or ()) >= 2 and sides(item)[0] == 1 and item.size
    ]
    images = [(name, item) for name, item in images if not _AUXILIARY.search(name)] or images
    if not images:
        raise DataError(f"{tree.path}: holds no rocking curve and no image of real numbers; {tree.listing()}")
    return min(images, key=lambda each: (-each[1].size, not each[0].endswith("data"), each[0]))
