"""All that a reconstruction of a scan needs to go on: taken while it runs, stored, and handed to `engine.reconstruct`
after a crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError


@dataclass(frozen=True)
class Checkpoint:
    """A run between two iterations.

    iteration: how many are done. recipe, seed: those of the run. object: (Y, X) complex64. probe: (modes, y, x)
    complex64. positions: (n, 2) float64 on the object. history: (iteration,) float64. generator: JSON, the state of the
    random numbers.

    ePIE and rPIE go on exactly. Solvers that remember more (exit waves of RAAR and DM, moments of ADAM and LBFGS) begin
    anew from the object and the probe.
    """

    iteration: int
    recipe: str
    seed: int
    object: NDArray[np.complex64]
    probe: NDArray[np.complex64]
    positions: NDArray[np.float64]
    history: NDArray[np.float64]
    generator: str

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For a store of arrays."""
        return {entry.name: np.asarray(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse. Raises DataError where something is missing or does not fit."""
        try:
            found = cls(
                iteration=int(arrays["iteration"]),
                recipe=str(arrays["recipe"]),
                seed=int(arrays["seed"]),
                object=arrays["object"],
                probe=arrays["probe"],
                positions=arrays["positions"],
                history=arrays["history"],
                generator=str(arrays["generator"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no checkpoint of a ptychographic reconstruction: {error}") from error
        if found.history.shape != (found.iteration,):
            raise DataError("the arrays of this checkpoint do not belong together")
        return found
