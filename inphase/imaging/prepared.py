"""A pattern on the grid of its image, with the network's guess: what refinement needs, and how it travels."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase import trust
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.imaging.report import Report
from inphase.metrics import Metrics, measure
from inphase.models.prediction import Prediction
from inphase.pattern import Domain
from inphase.preprocess.placement import Placement
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.ladder import Ladder
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts, from_prediction

SUPPORT_THRESHOLD: Final = 0.1  # of the largest predicted amplitude, where no card says another


@dataclass(frozen=True)
class PreparedPattern:
    """A pattern that is ready to be refined. Arrays are (N, ...), centred.

    prediction: None where no network was asked. problem.free: None where no voxels are hidden (input not counts).
    geometry: of the grid, None where unknown. ladder: to the finest grid, None where this is it.
    earlier: on this grid, the image of the same measurement when it had fewer frames, to compare with; None where there
    is none. No worker needs it.
    """

    problem: Problem
    domain: Domain
    prediction: Prediction | None
    support_threshold: float
    oversampling: tuple[float, ...]
    valid_fraction: float
    noise_chi2: float | None
    geometry: Geometry | None = None
    ladder: Ladder | None = None
    earlier: NDArray[np.complex64] | None = None

    def network_start(self) -> Starts:
        """The prediction as a start. Raises DataError where there is none, or it is empty."""
        if self.prediction is None:
            raise DataError("no network was asked for a start: use start=network or start=auto")
        return from_prediction(self.prediction.amplitude, self.prediction.phase, self.support_threshold)

    @cached_property
    def guess(self) -> Candidate:
        """The network's object with its score, not refined. Raises DataError where it is empty or none was asked."""
        start = self.network_start()
        obj, support = start.objects[0], start.supports[0]
        return Candidate(obj, support, self.measure(obj, support), "network")

    def measure(
        self, obj: NDArray[np.complex64], support: NDArray[np.bool_], kernel: NDArray[np.float32] | None = None
    ) -> Metrics:
        """How well an object fits; kernel: of partial coherence, where the refinement found one."""
        problem = self.problem
        return measure(
            obj, support, problem.modulus, problem.mask, free=problem.free, domain=self.domain, kernel=kernel
        )

    def support_of(self, candidate: Candidate) -> trust.Support:
        """The figures of a candidate's support."""
        return trust.Support.of(candidate.support, self.oversampling)

    def shortfalls(self, candidate: Candidate) -> list[str]:
        """Why a refined candidate is not good enough to stop at; empty where it is."""
        return trust.shortfalls(candidate.metrics, self.noise_chi2, self.support_of(candidate))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What a worker needs beside the report."""
        arrays: dict[str, NDArray[Any]] = {"modulus": self.problem.modulus, "mask": self.problem.mask}
        if self.problem.free is not None:
            arrays["free"] = self.problem.free
        if self.prediction is not None:
            arrays |= {"amplitude": self.prediction.amplitude, "phase": self.prediction.phase}
        if self.ladder is not None:
            finest = self.ladder.problem
            arrays |= {"finest_modulus": finest.modulus, "finest_mask": finest.mask}
            if finest.free is not None:
                arrays["finest_free"] = finest.free
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], report: Report) -> "PreparedPattern":
        """The inverse of to_arrays."""
        done = report.preprocess
        prediction = Prediction(arrays["amplitude"], arrays["phase"]) if "amplitude" in arrays else None
        return cls(
            problem=Problem(arrays["modulus"], arrays["mask"], arrays.get("free"), done.padding_bound),
            domain=Domain(report.input.domain),
            prediction=prediction,
            support_threshold=report.model.support_threshold if report.model else SUPPORT_THRESHOLD,
            oversampling=report.oversampling.after,
            valid_fraction=done.valid_fraction,
            noise_chi2=report.metrics.noise_chi2,
            geometry=done.geometry.geometry() if done.geometry else None,
            ladder=_ladder(arrays, report),
        )


def _ladder(arrays: Mapping[str, NDArray[Any]], report: Report) -> Ladder | None:
    if "finest_modulus" not in arrays:
        return None
    assert report.grid is not None
    assert report.grid.finest is not None
    model, finest = (
        Placement(report.input.shape[-len(done.shape) :], done.offset, done.binning, done.shape)  # or a slice of it
        for done in (report.preprocess, report.grid.finest)
    )
    problem = Problem(
        arrays["finest_modulus"], arrays["finest_mask"], arrays.get("finest_free"), report.grid.finest.padding_bound
    )
    return Ladder(problem, model.onto(finest))
