"""What callers give as a pattern, as an array."""

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def array_of(pattern: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
    """An array, or what numpy makes one of: (rocking, row, column) or (row, column); and the mask of a masked array.

    mask: True is masked; None of an array that has none. Raises TypeError for what is no array of real numbers with two
    or three axes.
    """
    if isinstance(pattern, str | bytes | os.PathLike):
        raise TypeError(
            "a pattern is an array: read a file with inphase.read, send one with reconstruct_upload, or name one of "
            "the service's with reconstruct_file"
        )
    try:
        array: NDArray[Any] = np.asanyarray(pattern) if isinstance(pattern, np.ma.MaskedArray) else np.asarray(pattern)
    except (ValueError, RuntimeError) as error:
        raise TypeError(f"a pattern is an array (rocking, row, column), its rows of one length: {error}") from None
    if array.dtype.kind not in "uif":
        raise TypeError(
            f"a pattern holds real numbers; {type(pattern).__name__} became an array of {array.dtype}, shape "
            f"{array.shape}"
        )
    if array.ndim not in (2, 3):
        raise TypeError(
            "a pattern has three axes (rocking, row, column), or two (row, column); this one has the shape "
            f"{array.shape}"
        )
    if isinstance(array, np.ma.MaskedArray):
        return np.asarray(array.data), np.ma.getmaskarray(array)
    return array, None
