"""The memory that a measurement of several arrays takes: bounded and declared before each of them is allocated."""

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from inphase.errors import TooLargeError
from inphase.formats.scan import Limits
from inphase.formats.tree import Tree, type_of
from inphase.sizes import in_words


class Room:
    """What is read of one file, or of the pair that belongs together, stays within the limits as a whole."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._elements = self._nbytes = 0

    def array(self, tree: Tree, dataset: h5py.Dataset) -> NDArray[Any]:
        """Any numeric dataset. Raises DataError as `Tree.array`, TooLargeError."""
        dtype = type_of(dataset)
        if dataset.shape is not None and dtype is not None:
            self._take(math.prod(dataset.shape), dtype, str(tree.path))
        return tree.array(dataset, self._limits)

    def _take(self, elements: int, dtype: np.dtype[Any], where: str) -> None:
        self._elements += elements
        self._nbytes += elements * dtype.itemsize
        if self._nbytes > self._limits.max_bytes:
            raise TooLargeError(
                f"{where}: its arrays take {in_words(self._nbytes)} or more, above the limit of "
                f"{in_words(self._limits.max_bytes)}"
            )
        if self._limits.declared is not None:
            self._limits.declared(self._elements, self._nbytes)
