"""MATLAB files: version 5 (scipy) and 7.3 (HDF5).

MATLAB counts a volume as (row, column, frame), the last index slowest. Read here: a version 5 array keeps its axes as
MATLAB shows them, and is turned to (frame, row, column); a version 7.3 file stores them in reverse, (frame, column,
row).
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.io
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.atomic import replacing
from inphase.formats.boundary import damaged
from inphase.formats.regular import open_regular
from inphase.formats.result import Arrays, Result
from inphase.formats.scan import FileReading, RawScan, admit, most_axes, native, three_axes
from inphase.formats.tree import is_hdf5, is_real, opened

SUFFIX: Final = ".mat"
_PREFERRED: Final = ("data", "I", "intensity")
_CLASSES: Final = {
    "double": "f8", "single": "f4", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8", "logical": "u1",
}  # fmt: skip


def read(request: FileReading) -> RawScan:
    """Reads `dataset`, else `data`, `I` or `intensity`, else the largest three-dimensional variable,
    or image where there is none.

    The variable is (row, column, frame) in MATLAB; what comes back is (frame, row, column).
    """
    if is_hdf5(request.path):
        return _read_hdf5(request)
    where = str(request.path)
    with damaged(f"{where}: truncated, damaged, or not a MATLAB file"), open_regular(request.path) as file:
        stream: Any = file  # scipy's types know of names alone
        declared = {name: (tuple(shape), kind) for name, shape, kind in scipy.io.whosmat(stream)}
        stream.seek(0)
        name = _choose({n: s for n, (s, kind) in declared.items() if kind in _CLASSES}, request, str(sorted(declared)))
        shape, kind = declared[name]
        sides = admit(_turned_shape(shape), np.dtype(_CLASSES[kind]), f"{where}, variable '{name}'", request.limits)
        loaded = scipy.io.loadmat(stream, variable_names=[name])[name]
    array = native(
        loaded.reshape(sides) if len(sides) == 2 else np.moveaxis(loaded.reshape(*sides[1:], sides[0]), 2, 0)
    )
    admit(array.shape, array.dtype, f"{where}, variable '{name}'", request.limits)
    return RawScan(array, None, where, f"variable '{name}' {loaded.shape} (row, column, frame) {array.dtype}")


def write(path: Path, arrays: Arrays) -> None:
    """A version 5 file of the result's arrays; the volumes as MATLAB counts them, (row, column, frame)."""
    result = Result.of(arrays)
    volumes: dict[str, NDArray[Any]] = {
        "object": result.object,
        "support": result.support.astype(np.uint8),
        "phase_flat": result.phase_flat,
        "modulus": result.modulus,
        "mask": result.mask,
        **result.derived,
    }
    content: dict[str, Any] = {name: _turned(volume) for name, volume in volumes.items()}
    content["document"] = str(arrays["document"])
    content["phase_sign"] = "F(q) = sum o(r) exp(-i q.r), as MATLAB's fftn"
    if result.coherence_kernel is not None:
        content["coherence_kernel"] = _turned(result.coherence_kernel)
    if result.voxel_basis_m is not None:
        content["voxel_basis_m"] = result.voxel_basis_m
    elif result.voxel_size_m is not None:
        content["voxel_size_m"] = np.asarray(result.voxel_size_m)
    with replacing(path) as partial:
        scipy.io.savemat(partial, content, appendmat=False)


def _turned(array: NDArray[Any]) -> NDArray[Any]:
    """(frame, row, column) -> (row, column, frame); an image as it is."""
    return np.moveaxis(array, 0, 2) if array.ndim == 3 else array


def _read_hdf5(request: FileReading) -> RawScan:
    where = str(request.path)
    with opened(request.path) as tree:
        volumes = {path: item for path, item in tree.datasets() if not path.startswith("#refs#")}
        shapes = {path: item.shape or () for path, item in volumes.items() if is_real(item)}
        name = _choose(shapes, request, tree.listing())
        item = volumes[name]
        sides = admit(
            _turned_shape((item.shape or ())[::-1]), item.dtype, f"{where}, variable '{name}'", request.limits
        )
        stored = tree.array(item, request.limits).reshape(*sides[:-2], sides[-1], sides[-2])
        array = native(np.swapaxes(stored, -1, -2))
    return RawScan(array, None, where, f"variable '{name}' {item.shape[::-1]} (row, column, frame) {array.dtype}")


def _choose(shapes: dict[str, tuple[int, ...]], request: FileReading, listing: str) -> str:
    if request.reading.dataset is not None:
        if request.reading.dataset not in shapes:
            raise DataError(f"{request.path}: has no numeric variable '{request.reading.dataset}'; it holds {listing}")
        return request.reading.dataset
    volumes = most_axes({name: shape for name, shape in shapes.items() if min(shape, default=0) > 1 or len(shape) > 2})
    if not volumes:
        raise DataError(f"{request.path}: holds no real variable with two or three axes; it holds {listing}")
    for name in _PREFERRED:
        if name in volumes:
            return name
    largest = max(volumes.values())
    names = sorted(name for name, size in volumes.items() if size == largest)
    if len(names) > 1:
        raise DataError(f"{request.path}: {', '.join(names)} are equally large; name the measurement with dataset=")
    return names[0]


def _turned_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(row, column, frame) -> (frame, row, column); other numbers of axes as they are, for the message.

    Axes of length 1 beyond three are dropped before: the third of MATLAB's (row, column, 1, frame), for example.
    """
    sides = three_axes(shape)
    return (sides[2], sides[0], sides[1]) if len(sides) == 3 else sides
