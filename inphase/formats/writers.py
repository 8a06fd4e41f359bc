"""Writers of results, chosen by the ending of the output's name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from inphase.errors import DataError
from inphase.formats import cohere, cxi, matlab, npz, vtk
from inphase.formats.atomic import replacing_folder
from inphase.formats.result import Arrays

_DOCUMENT: Final = "document.json"


@dataclass(frozen=True)
class Writer:
    """How a result becomes a file or a folder; `path` then holds all of it, or what it held before."""

    write: Callable[[Path, Arrays], None]
    what: str
    folder: bool = False


def _write_folder(path: Path, arrays: Arrays) -> None:
    with replacing_folder(path) as partial:
        for name, array in arrays.items():
            if name == "document":
                (partial / _DOCUMENT).write_text(str(array), encoding="utf-8")
            else:
                np.save(partial / f"{name}.npy", array, allow_pickle=False)


WRITERS: Final[dict[str, Writer]] = {
    ".npz": Writer(npz.write_result, "every array and the job document"),
    ".cxi": Writer(cxi.write, "CXI 1.6 for h5py, PyNX and cdiutils"),
    ".vti": Writer(vtk.write_vti, "image data for ParaView, orthogonal axes"),
    ".vts": Writer(vtk.write_vts, "structured grid for ParaView, sheared as measured"),
    ".mat": Writer(matlab.write, "MATLAB 5"),
    ".cohere": Writer(cohere.write, "a folder with cohere's image.npy and support.npy", folder=True),
    "/": Writer(_write_folder, "a folder with one npy for each array", folder=True),
}


def writer_for(output: str | Path) -> Writer:
    """The writer that a name's ending asks for; a name that ends in / or names a folder asks for a folder.

    Asks nothing of the result, so that a mistyped name is told before anything is computed. Raises DataError that lists
    the known endings, or says what stands in the way.
    """
    path = Path(output)
    ending = path.suffix.lower()
    if path.name == cohere.FOLDER:
        ending = ".cohere"
    elif str(output).endswith("/") or (ending not in WRITERS and path.is_dir()):
        ending = "/"
    writer = WRITERS.get(ending)
    if writer is None:
        raise DataError(
            f"{output}: results are not written as '{ending or path.name}'; known endings: {known_endings()}"
        )
    if not path.absolute().parent.is_dir():
        raise DataError(f"the folder of {output} does not exist: make it first, or choose another output")
    if path.exists() and path.is_dir() != writer.folder:
        what = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
        raise DataError(f"{output} is {what[0]}: name {what[1]} to write")
    if writer.folder and path.is_dir() and not _ours(path):
        raise DataError(
            f"{output} is a folder that holds other files: name a new folder, or one that holds a result and nothing "
            "else"
        )
    return writer


def known_endings() -> str:
    """For messages and help."""
    return ", ".join(f"{ending} ({writer.what})" for ending, writer in WRITERS.items())


def write_result(output: str | Path, arrays: Arrays) -> None:
    """Writes a result in the format that the ending asks for. Raises DataError, OSError; nothing half-written stays."""
    writer_for(output).write(Path(output), arrays)


def _ours(folder: Path) -> bool:
    """Whether a folder is empty or a result of ours, which a new one may replace as a whole;
    measurements are neither.
    """
    names = {entry.name for entry in folder.iterdir()}
    if names <= {cohere.IMAGE, cohere.SUPPORT}:
        return True
    return _DOCUMENT in names and all(name.endswith(".npy") for name in names - {_DOCUMENT})
