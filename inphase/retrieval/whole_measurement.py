"""Refinement on the whole measurement, where a network and the first refinement saw a binned crop of it.

The model grid cuts off what lies outside its window and averages over its bins: finer detail and the fringes between
bins are in the counts all the same. The object found there starts a refinement on the unbinned grid that holds them
(docs/decisions/0019).
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from inphase.pattern import MaskState, Pattern
from inphase.preprocess.corrections import Corrections
from inphase.preprocess.pipeline import Prepared, preprocess
from inphase.preprocess.placement import Placement
from inphase.preprocess.recipe import PreprocessRecipe
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Kind, Starts


@dataclass(frozen=True)
class WholeMeasurement:
    """A measurement on its own voxels, its peak at the DC voxel N // 2.

    problem: what a refinement there must fit. prepared: how the measurement came there. way: from the model grid to
    this one.
    """

    problem: Problem
    prepared: Prepared
    way: Placement

    @classmethod
    def of(
        cls,
        pattern: Pattern,
        recipe: PreprocessRecipe,
        model: Prepared,
        free: NDArray[np.bool_] | None = None,
        corrections: Corrections | None = None,
    ) -> "WholeMeasurement":
        """Prepare `pattern` with the steps of `recipe` but the binning, on the smallest even grid that holds all of it.

        model: the same measurement on the model grid. free: that grid's free voxels; what was hidden there stays
        hidden. The peak is in the middle, so the grid is larger than the measurement where the peak is not; that is
        padding.
        """
        prepared = preprocess(pattern, replace(recipe, binning=None), _sides(model.transform), corrections)
        way = model.transform.onto(prepared.transform)
        hidden = None
        if free is not None:
            hidden = np.asarray(way.place(free), bool) & (prepared.pattern.mask == MaskState.VALID)
        problem = Problem(prepared.pattern.modulus, prepared.pattern.mask, hidden, prepared.padding_bound)
        return cls(problem, prepared, way)

    def start(self, obj: NDArray[np.complex64], support: NDArray[np.bool_], kind: Kind = "network") -> Starts:
        """A result on the model grid, (N0, N1, N2) complex64 and its support, as one start here.

        As it was refined, or in its canonical form: both have the far field's modulus. Its voxels become finer by
        binning undone outside the object, and by far field beyond the window that begins as zero.
        """
        finer = self.way.support_to_measured(support)
        return Starts(np.where(finer, self.way.to_measured(obj), 0).astype(np.complex64)[None], finer[None], kind)


def _sides(model: Placement) -> tuple[int, int, int]:
    """Even sides, quick to transform, of a grid around the model grid's DC voxel that reaches to both ends of the
    measurement.
    """
    sides = []
    for offset, n, b, full in zip(model.offset, model.shape_out, model.bins, model.shape_in, strict=True):
        centre = offset + n // 2 * b + (b - 1) // 2
        half = max(centre, full - centre)
        sides.append(2 * int(scipy.fft.next_fast_len(half, real=False)))
    a, b, c = sides
    return a, b, c
