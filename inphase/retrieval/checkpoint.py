"""All that a run needs to go on: taken while it runs, stored, and handed to `engine.retrieve` after a crash."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.retrieval.starts import Starts
from inphase.retrieval.terms import Recipe


@dataclass(frozen=True)
class Checkpoint:
    """The state of B starts between two iterations; arrays are centred.

    iteration: how many are done. recipe: canonical text of the recipe that made them.
    objects: (B, N, ...) complex64, in the units of the data once iteration > 0. supports: (B, N, ...) bool.
    sums: (B, N, ...) complex64, what AVERAGE has summed up so far. kernels: (B, k, ...) float32 of PC; moduli: (B, N,
        ...) float32, the coherent modulus that it holds for several iterations. Each is None unless the recipe has that
        clause.
    sampled: (n,) int64, iterations of the history; chi2: (n, B) float64; voxels: (n, B) int64.

    A descent (AER) forgets its direction: it begins anew from the gradient. Everything else goes on exactly.
    """

    iteration: int
    recipe: str
    objects: NDArray[np.complex64]
    supports: NDArray[np.bool_]
    sums: NDArray[np.complex64] | None
    kernels: NDArray[np.float32] | None
    moduli: NDArray[np.float32] | None
    sampled: NDArray[np.int64]
    chi2: NDArray[np.float64]
    voxels: NDArray[np.int64]

    @classmethod
    def beginning(cls, recipe: Recipe, starts: Starts) -> Self:
        """Before the first iteration."""
        n = len(starts.objects)
        return cls(
            iteration=0,
            recipe=recipe.text,
            objects=starts.objects,
            supports=starts.supports,
            sums=None,
            kernels=None,
            moduli=None,
            sampled=np.zeros(0, np.int64),
            chi2=np.zeros((0, n)),
            voxels=np.zeros((0, n), np.int64),
        )

    def start(self, b: int) -> Self:
        """The part of one start, as a batch of one."""
        one = slice(b, b + 1)
        return type(self)(
            iteration=self.iteration,
            recipe=self.recipe,
            objects=self.objects[one],
            supports=self.supports[one],
            sums=None if self.sums is None else self.sums[one],
            kernels=None if self.kernels is None else self.kernels[one],
            moduli=None if self.moduli is None else self.moduli[one],
            sampled=self.sampled,
            chi2=self.chi2[:, one],
            voxels=self.voxels[:, one],
        )

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """The starts of several batches that stand at the same iteration, in order."""

        def together(name: str, axis: int) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays, axis)

        return cls(
            iteration=parts[0].iteration,
            recipe=parts[0].recipe,
            objects=together("objects", 0),
            supports=together("supports", 0),
            sums=together("sums", 0),
            kernels=together("kernels", 0),
            moduli=together("moduli", 0),
            sampled=parts[0].sampled,
            chi2=together("chi2", 1),
            voxels=together("voxels", 1),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """For a store of arrays."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: np.asarray(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of to_arrays. Raises DataError where something is missing or does not fit."""
        try:
            checkpoint = cls(
                iteration=int(arrays["iteration"]),
                recipe=str(arrays["recipe"]),
                objects=arrays["objects"],
                supports=arrays["supports"],
                sums=arrays.get("sums"),
                kernels=arrays.get("kernels"),
                moduli=arrays.get("moduli"),
                sampled=arrays["sampled"],
                chi2=arrays["chi2"],
                voxels=arrays["voxels"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no checkpoint of a phase retrieval: {error}") from error
        history = (len(checkpoint.sampled), len(checkpoint.objects))
        if (
            checkpoint.objects.shape != checkpoint.supports.shape
            or checkpoint.chi2.shape != history
            or checkpoint.voxels.shape != history
        ):
            raise DataError("the arrays of this checkpoint do not belong together")
        return checkpoint
