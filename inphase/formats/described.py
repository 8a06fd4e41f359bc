"""Reading a scan by the description of its beamline: frames, mask, and the geometry from motors and detector."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import h5py

from inphase.diffractometer import Vector, bragg_peak
from inphase.errors import DataError
from inphase.formats import detector, entries, hdf5, spec, template, tiff
from inphase.formats.beamline import Beamline, find, paths
from inphase.formats.motion import ENERGY
from inphase.formats.motors import MissingError, Numbers, check_given, companion_of, rocking_scan, without_positions
from inphase.formats.pieces import Found, joined
from inphase.formats.pixels import DescribedScan, naming_unmeasured, with_mask
from inphase.formats.scan import FileReading, RawScan, Reader, three_axes
from inphase.formats.tree import Tree, is_hdf5, is_real, opened
from inphase.preprocess.corrections import USUAL

_Volumes = dict[tuple[tuple[str, str], ...], list[tuple[str, h5py.Dataset]]]


def read(request: FileReading, plain: Reader, *, guessed: bool = False) -> RawScan:
    """Reads the scan that `request.reading` describes.

    plain: reads frames that are not in the beamline's own layout: a stack or an array made of a folder of TIFFs.

    Where a number is missing the scan comes without geometry, and `chosen` says what to give. Raises DataError where
    the frames cannot be found, several scans fit, or the motors contradict the frames.
    guessed: nobody has named the beamline; what contradicts the frames is then told in `chosen`, too.
    """
    assert request.reading.beamline is not None
    excused = DataError if guessed else MissingError
    beamline = find(request.reading.beamline)
    check_given(beamline, request.reading.set)
    if beamline.frames == "folder":
        return _with_geometry(_from_frames(request, beamline, plain), None, excused)
    if not request.path.is_file() or not is_hdf5(request.path):
        raise DataError(f"{request.path}: {beamline.name} writes HDF5 files, and this is none")
    with opened(request.path) as tree:
        return _with_geometry(_from_tree(request, beamline, tree), tree, excused)


def _from_frames(request: FileReading, beamline: Beamline, plain: Reader) -> DescribedScan:
    names = [request.path.name]
    if request.path.is_dir():
        names += sorted(
            entry.name
            for entry in request.path.iterdir()
            if entry.suffix.lower() in tiff.SUFFIXES and entry.name.startswith(request.reading.dataset or "")
        )[:1]
    known = _from_names(request, beamline, names)
    described = DescribedScan(request, beamline, plain(naming_unmeasured(request, beamline, known, None)), known)
    return replace(described, scan=with_mask(described, None))


def _from_tree(request: FileReading, beamline: Beamline, tree: Tree) -> DescribedScan:
    known = _from_names(request, beamline, [request.path.name])
    if request.reading.dataset is not None:
        found, note = hdf5.named(tree, request.reading.dataset)
        bound = [template.matched_path(text, found.path, known) for text in paths(beamline.frames)]
        known = next((each for each in bound if each is not None), known)
    else:
        found, note, known = _found(tree, beamline, known)
    groups = detector.groups(tree, found.path, found.pieces[0])
    naming = naming_unmeasured(request, beamline, known, tree)
    loaded = found.load(tree, naming, lambda: detector.bad_pixels(tree, groups, request.limits))
    chosen = f"{beamline.name}: dataset '{found.path}' {loaded.where}{note}"
    scan = RawScan(loaded.array, None, str(request.path), chosen, mask=loaded.mask, region=loaded.region)
    scan = detector.applied(scan, tree, groups, request.limits)
    described = DescribedScan(request, beamline, scan, known, stopped=loaded.stopped)
    return replace(described, scan=with_mask(described, tree))


def _from_names(request: FileReading, beamline: Beamline, names: Sequence[str]) -> dict[str, str]:
    """What the names of file or folder tell of the placeholders; what is given counts more."""
    known = request.reading.known()
    for pattern in beamline.names:
        for name in names:
            if (found := template.matched(pattern, name, {})) is not None:
                return {**found, **known}
    return known


def _found(tree: Tree, beamline: Beamline, known: Mapping[str, str]) -> tuple[Found, str, dict[str, str]]:
    """The frames: of the first path that names volumes; all must belong to one scan, sample and detector."""
    asked = paths(beamline.frames)
    for text in asked:
        volumes: _Volumes = {}
        for path, bound, item in template.expanded(tree, text, known):
            if is_real(item) and len(three_axes(item.shape or ())) == 3:
                volumes.setdefault(tuple(sorted(bound.items())), []).append((path, item))
        note = ""
        if len(volumes) > 1:
            volumes, note = _only_curve(tree, volumes)
        if len(volumes) > 1:
            options = "; ".join(", ".join(f"{k} {v}" for k, v in key) for key in sorted(volumes)[:12])
            raise DataError(
                f"{tree.path}: holds several scans: {options}; name one with scan=, sample= or detector={note}"
            )
        for key, members in volumes.items():
            found = sorted(joined(tree, members), key=lambda each: -each.size)
            others = [other.path for other in found[1:6]]
            return found[0], note + (f"; passed over {', '.join(others)}" if others else ""), dict(key)
    stands = ", ".join(f"{key}={value}" for key, value in known.items())
    raise DataError(
        f"{tree.path}: has no frames of {beamline.name} at {' or '.join(asked)}{f' with {stands}' if stands else ''}; "
        f"{tree.listing()}"
    )


def _only_curve(tree: Tree, volumes: _Volumes) -> tuple[_Volumes, str]:
    """Of several scans in entries of their own the one that is a rocking curve; all where none is told from the others.

    And a word on it.
    """
    by_entry = {entries.name_of_entry(members[0][0]): key for key, members in volumes.items()}
    if len(by_entry) < len(volumes):
        return volumes, ""
    frames = {entry: three_axes(volumes[key][0][1].shape)[0] for entry, key in by_entry.items()}
    try:
        one, note = entries.choose(tree, frames)
    except DataError as error:
        return volumes, f" (it {error})"
    return (volumes, "") if one is None else ({by_entry[one]: volumes[by_entry[one]]}, f"; {note}")


def _with_geometry(described: DescribedScan, tree: Tree | None, excused: type[DataError]) -> RawScan:
    """The scan with its geometry, or with a word on what is missing for it."""
    scan, circles = described.scan, described.beamline.circles
    if described.beamline.usual_maps:
        usual = {"beamline": described.beamline.name, USUAL: ", ".join(described.beamline.usual_maps)}
        scan = replace(scan, metadata={**scan.metadata, **usual})
    if circles is None:
        return scan
    remarks: tuple[str, ...] = ()
    try:
        companion = companion_of(described)
        remarks = companion.remarks if companion is not None else ()
        moved, rocking = rocking_scan(described, circles, Numbers(described, tree, companion), companion)
        geometry = rocking.geometry(_in_whole(scan, bragg_peak(scan.array, scan.mask)))
    except excused as error:
        return replace(scan, chosen="; ".join((scan.chosen, *remarks, f"no geometry: {error}")))
    metadata = {
        "beamline": described.beamline.name,
        **described.known,
        "energy_kev": f"{rocking.energy_kev:.8g}",
        "distance_m": f"{rocking.distance_m:.8g}",
        "pixel_row_m": f"{rocking.pixel_m[0]:.8g}",
        "pixel_column_m": f"{rocking.pixel_m[1]:.8g}",
        "scanned": ", ".join(
            f"{name}, {step:.6g} {'keV' if name == ENERGY else 'deg'} per frame" for name, step in moved.steps.items()
        ),
        **{f"{name}_deg": f"{angle:.8g}" for name, angle in rocking.angles_deg.items()},
    }
    if isinstance(companion, spec.SpecScan):
        named = [quantity.motor for quantity in described.beamline.quantities() if quantity.motor is not None]
        remarks += tuple(f"{motor} moved as well, which is no circle here" for motor in companion.others(named))
    told = replace(scan, chosen="; ".join((scan.chosen, *remarks, *moved.remarks)))
    of_part = geometry if scan.region is None else scan.region.geometry(geometry)
    return replace(without_positions(told, moved.points), geometry=of_part, metadata={**scan.metadata, **metadata})


def _in_whole(scan: RawScan, place: Vector) -> Vector:
    """A voxel counted from N // 2 of the array, counted from that of whole frames."""
    corner = scan.start
    moved = (
        at + n // 2 + c - whole // 2
        for at, n, c, whole in zip(place, scan.array.shape, corner, scan.whole, strict=True)
    )
    frame, row, column = moved
    return frame, row, column
