"""What a network answers. Apart from the runtime, so that a worker needs no onnxruntime."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """A network's object on the model grid (N0, N1, N2) float32, centred: amplitude, and phase in radians."""

    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]
