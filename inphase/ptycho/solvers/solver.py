"""What every solver is."""

from typing import Protocol

import numpy as np

from inphase.ptycho.scan import Misfit


class Solver(Protocol):
    """Holds the state that it changes."""

    def advance(self, probe_too: bool, generator: np.random.Generator) -> Misfit:
        """One look at every fitted frame; the misfit is that of the model that each frame met."""
