"""One object of many small parts of it, each where its frame saw it."""

from itertools import product

import numpy as np
from numpy.typing import NDArray


def stitched(
    parts: NDArray[np.complexfloating],
    corners: NDArray[np.float64],
    size: tuple[int, int],
    weight: NDArray[np.floating],
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """The weighted mean (Y, X) of the parts (n, m, m), 0 where there is none, and the sum of the weights (Y, X).

    corners: (n, 2) of the parts' first pixels on the object, at fractions of a pixel too: each pixel is shared by the
    four around it, by distance. weight: (m, m) of a part's pixels. All lie on the object. The order of the parts does
    not matter.
    """
    total, cover = np.zeros(size, np.complex128), np.zeros(size)
    whole = np.floor(corners).astype(int)
    fractions = corners - whole
    for part, (row, column), (down, right) in zip(parts * weight, whole, fractions, strict=True):
        rows, columns = part.shape
        for (r, share), (c, more) in product(((0, 1 - down), (1, down)), ((0, 1 - right), (1, right))):
            if share * more:
                here = np.s_[row + r : row + r + rows, column + c : column + c + columns]
                total[here] += share * more * part
                cover[here] += share * more * weight
    return np.divide(total, cover, out=np.zeros_like(total), where=cover > 0), cover
