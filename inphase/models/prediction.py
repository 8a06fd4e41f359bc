"""What goes into a network's session and comes out of it, and what that means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inphase.models.repository import ModelVersion

Tensors = Mapping[str, NDArray[Any]]  # by name, the batch axis first


@dataclass(frozen=True)
class Prediction:
    """A network's object on the grid of its pattern (N, ...) float32, centred: amplitude, and phase in radians."""

    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]


class Network(Protocol):
    """Whatever answers for a model version: its session, or a place in the line before it."""

    @property
    def version(self) -> ModelVersion:
        """Which one it is."""
        ...

    @property
    def provider(self) -> str:
        """What it runs on."""
        ...

    def infer(self, tensors: Tensors) -> Tensors:
        """As `inphase.models.session.Session.infer`."""
        ...
