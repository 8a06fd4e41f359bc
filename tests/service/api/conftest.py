"""Bodies to send."""

import io

import numpy as np
from numpy.typing import NDArray

NPY = {"Content-Type": "application/x-npy"}
OCTETS = {"Content-Type": "application/octet-stream"}


def npy(array: NDArray[np.generic]) -> bytes:
    """The array as an npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The header of an npy file, of any size, without data."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": dtype})
    return stream.getvalue()
