"""Readers and writers of files, picked by the name's ending. A folder is a sequence of TIFF frames."""

from pathlib import Path

from inphase.errors import DataError
from inphase.formats import cxi, hdf5, matlab, npy, npz, tiff
from inphase.formats.scan import Limits, RawScan, Reader, Request
from inphase.pattern import Domain

__all__ = ["READERS", "Limits", "RawScan", "Request", "read"]

_DEFAULT_LIMITS = Limits()

READERS: dict[str, Reader] = {
    ".npy": npy.read,
    ".npz": npz.read,
    **dict.fromkeys(tiff.SUFFIXES, tiff.read_stack),
    **dict.fromkeys(hdf5.SUFFIXES, hdf5.read),
    ".cxi": cxi.read,
    matlab.SUFFIX: matlab.read,
}


def read(
    path: Path, *, dataset: str | None = None, domain: Domain = Domain.COUNTS, limits: Limits = _DEFAULT_LIMITS
) -> RawScan:
    """Reads a measurement: a file of a known suffix, or a folder of TIFF frames.

    dataset: HDF5 path, .npz key, or the beginning of the frames' names; None takes the largest volume and says which.
    domain: with MODULUS a .npz that has an array `modulus` gives that one, so that a result file can be read back.

    Raises DataError saying what is wrong with which file, TooLargeError before allocating more than `limits` allow.
    """
    request = Request(path, dataset, domain, limits)
    try:
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
    except PermissionError as error:
        raise DataError(f"{path}: may not be read by this user: {error.strerror}") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into this machine's memory") from error
