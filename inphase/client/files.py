"""Where a downloaded result goes."""

import os
from pathlib import Path
from typing import Final

from inphase.errors import DataError

SERVED: Final = ("npz", "cxi", "vti", "vts", "mat")
"""The formats that the service makes; everything else is made here, where the whole of inphase is installed."""


def form_of(path: str | os.PathLike[str]) -> str | None:
    """The format to ask for, None where the result is written here from npz.

    Raises DataError for an unknown ending, or a place where no file can be.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in SERVED:
        _writer(path)
        return None
    if Path(path).is_dir():
        raise DataError(f"{path} is a folder: name a file to write")
    if not Path(path).absolute().parent.is_dir():
        raise DataError(f"the folder of {path} does not exist: make it first, or choose another output")
    return ending


def write_here(path: str | os.PathLike[str], archive: Path) -> None:
    """A result that was fetched as npz, in a format that the service does not make."""
    from inphase.formats.npz import read_arrays
    from inphase.formats.writers import write_result

    write_result(os.fspath(path), read_arrays(archive))


def _writer(path: str | os.PathLike[str]) -> None:
    try:
        from inphase.formats.writers import writer_for
    except ModuleNotFoundError:
        raise DataError(
            f"{path}: the client alone writes .{', .'.join(SERVED)}; install inphase for other formats"
        ) from None
    writer_for(os.fspath(path))
