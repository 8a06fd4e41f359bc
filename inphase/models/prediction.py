"""What goes into a network's session and comes out of it, and what that means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]  # by name, the batch axis first


@dataclass(frozen=True)
class Prediction:
    """A network's object on the grid of its pattern (N, ...) float32, centred: amplitude, and phase in radians."""

    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]
