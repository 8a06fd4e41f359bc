"""Readers and writers of files, picked by the name's ending. A folder is a sequence of TIFF frames."""

from dataclasses import replace
from pathlib import Path

from inphase.errors import DataError
from inphase.formats import cxi, described, hdf5, matlab, npy, npz, tiff
from inphase.formats.scan import Limits, Place, RawScan, Reader, Request
from inphase.pattern import Domain

__all__ = ["READERS", "Limits", "Place", "RawScan", "Request", "read"]

_DEFAULT_LIMITS = Limits()
_ANYWHERE = Place()
_WITH_SPEC = "34-ID-C"  # what a folder of TIFF frames with a SPEC file is read as

READERS: dict[str, Reader] = {
    ".npy": npy.read,
    ".npz": npz.read,
    **dict.fromkeys(tiff.SUFFIXES, tiff.read_stack),
    **dict.fromkeys(hdf5.SUFFIXES, hdf5.read),
    ".cxi": cxi.read,
    matlab.SUFFIX: matlab.read,
}


def read(
    path: Path,
    *,
    dataset: str | None = None,
    domain: Domain = Domain.COUNTS,
    limits: Limits = _DEFAULT_LIMITS,
    place: Place = _ANYWHERE,
) -> RawScan:
    """Reads a measurement: a file of a known suffix, or a folder of TIFF frames.

    dataset: HDF5 path, .npz key, or the beginning of the frames' names; None takes the largest volume and says which.
    place: the beamline whose description says where frames, mask and motors are. A folder of TIFF frames with a SPEC file
        in it, or named by `place.spec`, is read as one of 34-ID-C.
    domain: with MODULUS a .npz that has an array `modulus` gives that one, so that a result file can be read back.

    Raises DataError saying what is wrong with which file, TooLargeError before allocating more than `limits` allow.
    """
    try:
        guessed = place.beamline is None and path.is_dir() and any(path.glob("*.spec"))
        if guessed or (place.beamline is None and place.spec is not None):
            place = replace(place, beamline=_WITH_SPEC)
        request = Request(path, dataset, domain, limits, place)
        if place.beamline is not None and (path.is_dir() or path.is_file()):
            return described.read(request, _plain, guessed=guessed and place.spec is None)
        return _plain(request)
    except PermissionError as error:
        raise DataError(f"{path}: may not be read by this user: {error.strerror}") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into this machine's memory") from error


def _plain(request: Request) -> RawScan:
    """By the name's ending alone."""
    path = request.path
    if path.is_dir():
        return tiff.read_folder(request)
    if not path.is_file():
        raise DataError(f"{path}: {'is not a regular file' if path.exists() else 'no such file or folder'}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: unknown file type '{path.suffix}'; known are {', '.join(READERS)}, and a folder of TIFF frames"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    return reader(request)
