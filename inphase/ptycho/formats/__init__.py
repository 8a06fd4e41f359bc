"""Ptychographic measurements from files, and reconstructions into files."""

from os import PathLike
from pathlib import Path

from inphase.errors import DataError
from inphase.formats.boundary import boundary
from inphase.formats.scan import Limits
from inphase.ptycho.formats import hdf5, npz
from inphase.ptycho.formats.contents import Given, assembled
from inphase.ptycho.measurement import Measurement

READERS = {".npz": npz.read} | dict.fromkeys((".cxi", ".h5", ".hdf5", ".hdf", ".nxs", ".nx5", ".ptyd"), hdf5.read)
_DEFAULT_LIMITS = Limits()


def read(
    path: str | PathLike[str],
    *,
    energy_kev: float | None = None,
    distance_m: float | None = None,
    detector_pixel_m: float | None = None,
    focus_m: float | None = None,
    unit: str | None = None,
    dark: str | PathLike[str] | None = None,
    flat: str | PathLike[str] | None = None,
    roi: str | None = None,
    limits: Limits = _DEFAULT_LIMITS,
) -> Measurement:
    """Reads a ptychographic measurement: CXI, NeXus, PtyPy and ptychodus files in HDF5, and npz.

    energy_kev, distance_m (sample to detector), detector_pixel_m: what the file lacks, or has wrong. focus_m: from the
    focus to the sample, where the detector stands in the near field; inf for a parallel beam. unit: of the positions,
    "pixel" of the object, "m", "mm", "um" or "nm", where the file does not tell it or has it wrong.
    docs/reference/formats.md says which names are looked for.
    dark, flat: maps of the detector, TIFF or npy, in place of those that an npz holds: the first is subtracted, by the
    second the counts are divided. roi: the rows and columns of them that the frames show, r0:r1,c0:c1.

    Raises DataError saying what is wrong with which file, TooLargeError before allocating more than `limits` allow.
    """
    dark, flat = (None if chip is None else Path(chip) for chip in (dark, flat))
    given = Given(energy_kev, distance_m, detector_pixel_m, focus_m, unit, dark, flat, roi)
    return read_as(Path(path), given, limits)


def read_as(path: Path, given: Given, limits: Limits = _DEFAULT_LIMITS) -> Measurement:
    """`read` with the record of what the caller says."""
    with boundary(path):
        if not path.is_file():
            raise DataError(f"{path}: {'is not a regular file' if path.exists() else 'no such file'}")
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise DataError(
                f"{path}: unknown file type '{path.suffix}'; ptychography is read from {', '.join(READERS)}"
            )
        return assembled(reader(path, limits), given)
