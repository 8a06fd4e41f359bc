"""Readers of files, picked by the name's ending. A folder is a sequence of frames, TIFF or HDF5."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats import cxi, described, hdf5, images, matlab, npy, npz, survey, tiff
from inphase.formats.boundary import as_text, boundary
from inphase.formats.frames import ArrayFrames
from inphase.formats.maps import corrections
from inphase.formats.masks import boxes_of, mask_of, with_boxes, with_mask
from inphase.formats.reading import Reading
from inphase.formats.scan import FileReading, Limits, RawScan, Reader, frames_out, native
from inphase.pattern import Domain, MaskState
from inphase.preprocess.corrections import Corrections, unlit

_DEFAULT_LIMITS = Limits()
_NOTHING: Mapping[str, float] = MappingProxyType({})
_WITH_SPEC = "34-ID-C"  # what a folder of TIFF frames with a SPEC file is read as

READERS: dict[str, Reader] = {
    ".npy": npy.read,
    ".npz": npz.read,
    **dict.fromkeys(tiff.SUFFIXES, tiff.read_stack),
    **dict.fromkeys(hdf5.SUFFIXES, hdf5.read),
    ".cxi": cxi.read,
    matlab.SUFFIX: matlab.read,
}
_ENTRIES = frozenset({"dataset", "scan", "sample", "detector"})
_CHOICES: dict[str, frozenset[str]] = {
    ".npz": frozenset({"dataset"}),
    **dict.fromkeys((*hdf5.SUFFIXES, ".cxi"), _ENTRIES),
    matlab.SUFFIX: frozenset({"dataset"}),
}
"""What a caller may choose in a file of a kind; in any other there is one array. A beamline takes all of them."""
_OF_A_FOLDER = frozenset({"dataset"})


def read(
    path: str | PathLike[str],
    *,
    domain: Domain | str = Domain.COUNTS,
    limits: Limits = _DEFAULT_LIMITS,
    dataset: str | None = None,
    dark: str | PathLike[str] | None = None,
    flat: str | PathLike[str] | None = None,
    mask: str | PathLike[str] | None = None,
    masked: str | None = None,
    roi: str | None = None,
    region: str | None = None,
    beamline: str | PathLike[str] | None = None,
    spec: str | PathLike[str] | None = None,
    scan: int | None = None,
    sample: str | None = None,
    detector: str | None = None,
    set: Mapping[str, float] = _NOTHING,
) -> RawScan:
    """Reads a measurement: a file of a known suffix, or a folder of frames.

    domain: with MODULUS a .npz that has an array `modulus` gives that one, so that a result file can be read back.
    dataset: HDF5 path, .npz key, or the beginning of the frames' names; None takes the largest volume and says which.
    dark, flat: detector maps, TIFF or npy: above 1 in the first a pixel is bad, by the second the counts are divided.
        roi: the rows and columns of them that the frames show, r0:r1,c0:c1.
    mask: what is not zero in this file (TIFF, npy, EDF, CXI) is masked, of the frames or of the scan.
    masked: boxes that are masked too, r0:r1,c0:c1 of every frame or f0:f1,r0:r1,c0:c1, several with ; between them.
    region: only these rows and columns of every frame are read, r0:r1,c0:c1; "whole": all of them. By default all, and
        of a measurement of more than 134 million voxels the region around the Bragg peak (docs/reference/formats.md).
    beamline: where it was measured, a built-in name or a YAML file, which says where frames, mask and motors are.
    spec: the SPEC or FIO file with the motors, where it is not beside the frames. A folder of TIFF frames with a SPEC
        file in it, or named by `spec`, is read as one of 34-ID-C.
    scan, sample, detector: which one is meant, where there are several.
    set: numbers that the file lacks or has wrong, by name: a motor (deg), energy (keV), distance (m), pixel_row,
        pixel_column (m), direct_beam_row, direct_beam_column (pixels of the whole frame).

    Raises DataError saying what is wrong with which file, TooLargeError before allocating more than `limits` allow;
    nothing else, whatever a library makes of the file. TypeError is for an argument of another type.
    """
    reading = Reading(
        dataset=dataset,
        dark=None if dark is None else Path(dark),
        flat=None if flat is None else Path(flat),
        mask=None if mask is None else Path(mask),
        masked=masked,
        roi=roi,
        region=region,
        beamline=None if beamline is None else fspath(beamline),
        spec=None if spec is None else Path(spec),
        scan=scan,
        sample=sample,
        detector=detector,
        set=dict(set),
    )
    return read_as(Path(path), reading, Domain(domain), limits)


def read_as(path: Path, reading: Reading, domain: Domain, limits: Limits = _DEFAULT_LIMITS) -> RawScan:
    """`read` with the record of what was asked."""
    named = f", dataset '{reading.dataset}'" if reading.dataset is not None else ""
    with boundary(f"{path}{named}"):
        maps = corrections(reading.dark, reading.flat, reading.roi)
        guessed = reading.beamline is None and path.is_dir() and any(path.glob("*.spec"))
        if guessed or (reading.beamline is None and reading.spec is not None):
            reading = replace(reading, beamline=_WITH_SPEC)
        if reading.set and reading.beamline is None:
            raise DataError(
                f"{path}: the numbers of set= belong to a beamline, whose description knows their names: give beamline="
            )
        if reading.beamline is None and (path.is_dir() or (path.is_file() and path.suffix.lower() in READERS)):
            _check_choices(path, reading)
        request = FileReading(path, reading, domain, limits)
        request = replace(
            request,
            limits=replace(limits, kept=lambda shape: survey.kept(request, shape)),
            unmeasured=lambda shape: _unmeasured(reading, maps, limits, shape),
        )
        if reading.beamline is not None and (path.is_dir() or path.is_file()):
            scan = described.read(request, _plain, guessed=guessed and reading.spec is None)
        else:
            scan = _plain(request)
        scan = _in_region(scan, request)
        if reading.mask is not None:
            scan = with_mask(scan, reading.mask, limits)
        if reading.masked is not None:
            scan = with_boxes(scan, reading.masked)
        if maps is not None:
            scan = replace(scan, corrections=maps if scan.region is None else scan.region.corrections(maps))
        return _printable(scan)


def _unmeasured(
    reading: Reading, maps: Corrections | None, limits: Limits, shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """The pixels of every frame that mask, boxes and maps of the caller take out; None where nothing was given."""
    named: list[NDArray[np.bool_]] = []
    if reading.mask is not None:
        named.append(frames_out(mask_of(reading.mask, shape, limits)))
    if reading.masked is not None:
        named.append(frames_out(boxes_of(reading.masked, shape)))
    if maps is not None:
        named.append(unlit(maps, shape[-2:]))
    return np.logical_or.reduce(named) if named else None


def _in_region(scan: RawScan, request: FileReading) -> RawScan:
    """The scan cut to its region, unless its reader has read no more; `chosen` says which it is."""
    region = scan.region
    if region is None:
        shape = scan.array.shape
        if survey.wanted(request, shape):
            bad = None if scan.mask is None else frames_out(scan.mask != MaskState.VALID)
            region = survey.found(ArrayFrames(scan.array), survey.unmeasured(request, shape, bad))
        else:
            region = survey.asked(request, shape)
        if region is None:
            return scan
        scan = replace(
            scan,
            array=native(region.of(scan.array)),
            mask=None if scan.mask is None else region.of(scan.mask).copy(),
            geometry=region.geometry(scan.geometry),
            corrections=region.corrections(scan.corrections),
            region=region,
        )
    return replace(scan, chosen=f"{scan.chosen}; {region.told}")


def holds_frames(folder: Path) -> bool:
    """Whether a folder is a sequence of frames and not one of scans: TIFF, or HDF5 files with one image each."""
    if any(entry.suffix.lower() in tiff.SUFFIXES for entry in folder.iterdir()):
        return True
    return images.are_frames(folder)


def _printable(scan: RawScan) -> RawScan:
    """With texts that every encoding takes: names of files and groups need not be UTF-8."""
    metadata = {key: as_text(text) for key, text in scan.metadata.items()}
    return replace(scan, source=as_text(scan.source), chosen=as_text(scan.chosen), metadata=metadata)


def _check_choices(path: Path, reading: Reading) -> None:
    """What would choose nothing is a mistake: the array that is read might not be the one that is meant."""
    given = [name for name in ("dataset", "scan", "sample", "detector") if getattr(reading, name) is not None]
    taken = _OF_A_FOLDER if path.is_dir() else _CHOICES.get(path.suffix.lower(), frozenset())
    for name in given:
        if name not in taken:
            what = "a folder of frames" if path.is_dir() else f"a {path.suffix} file"
            raise DataError(
                f"{path}: {name}= chooses nothing in {what}: leave it out"
                + ("" if name == "dataset" else ", or name the beamline whose paths or motors it belongs to")
            )
    if given[:1] == ["dataset"] and len(given) > 1:
        raise DataError(
            f"{path}: dataset= names the array already, and {given[1]}= another way to it: give one of them"
        )


def _plain(request: FileReading) -> RawScan:
    """By the name's ending alone."""
    path = request.path
    if path.is_dir():
        if not any(entry.suffix.lower() in tiff.SUFFIXES for entry in path.iterdir()) and images.are_frames(path):
            return images.read_folder(request)
        return tiff.read_folder(request)
    if not path.is_file():
        raise DataError(f"{path}: {'is not a regular file' if path.exists() else 'no such file or folder'}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: unknown file type '{path.suffix}'; known are {', '.join(READERS)}, and a folder of frames, TIFF "
            "or HDF5"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    return reader(request)
