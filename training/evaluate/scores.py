"""How good one image of a pattern is: against the measured data, against what was hidden,
and against the truth where it is known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity, metrics
from inphase.imaging.prepared import PreparedPattern
from inphase.pattern import MaskState
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.problem import Problem
from training.evaluate.sets import Truth

EDGE = 0.1  # of the largest amplitude: where the true support ends, and a predicted one

# "no worse" (`Against.keeps_up`)
SSIM_LOWER = 0.005
PHASE_HIGHER = 0.02  # rad
CHI2_HIGHER = 1.1  # times


@dataclass(frozen=True)
class Against:
    """An image against the truth, modulo twin, sub-voxel shift and global phase.

    clean_chi2: on the noise-free modulus of coherent, unbinned light, all voxels. ssim: `metrics.ssim` of the
    amplitudes.
    phase_error: rms in radians over the part of the support within the crystal. support_ratio: support over the
    crystal's volume.
    correlation: |sum conj(o) truth| / (|o| |truth|).
    """

    clean_chi2: float
    ssim: float
    phase_error: float
    support_ratio: float
    correlation: float

    def keeps_up(self, other: "Against") -> bool:
        """Whether it is no worse than another image of the same crystal, within the stated tolerances."""
        return (
            self.ssim >= other.ssim - SSIM_LOWER
            and self.phase_error <= other.phase_error + PHASE_HIGHER
            and self.clean_chi2 <= other.clean_chi2 * CHI2_HIGHER
        )


@dataclass(frozen=True)
class Score:
    """One image. chi2, r_factor, llk, free_llk as in `inphase.metrics`; free_chi2: chi2 over the hidden voxels.

    llk, free_llk and free_chi2 are None for a modulus; `against` is None where no truth is known.
    history: chi2 over the visible voxels by iteration.
    """

    chi2: float
    r_factor: float
    support_voxels: int
    llk: float | None
    free_llk: float | None
    free_chi2: float | None
    against: Against | None
    history: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Image:
    """A scored object (N, N, N) complex64, aligned to the truth where it is known."""

    score: Score
    object: NDArray[np.complex64]


def scored(
    candidate: Candidate, draft: PreparedPattern, truth: Truth | None, history: tuple[tuple[int, float], ...] = ()
) -> Image:
    """Judge a candidate; PreparedPattern.measure has compared it with the data already."""
    found, obj, against = candidate.metrics, candidate.object, None
    if truth is not None:
        against, obj = compared(obj, candidate.support, truth)
    hidden = free_chi2(candidate.object, draft.problem, candidate.kernel)
    score = Score(
        found.chi2, found.r_factor, found.support_voxels, found.llk, found.free_llk, hidden, against, history
    )  # fmt: skip
    return Image(score, obj)


def compared(
    obj: NDArray[np.complex64], support: NDArray[np.bool_], truth: Truth
) -> tuple[Against, NDArray[np.complex64]]:
    """The comparison, and the object aligned to the truth. The support moves along, to the nearest voxel."""
    aligned, alignment = ambiguity.align(obj, truth.object)
    moved = ambiguity.mirrored(support) if alignment.twin else support
    moved = np.roll(moved, [round(s) for s in alignment.shift_voxels], axis=(0, 1, 2))
    amplitude = np.abs(truth.object)
    everywhere = np.full(truth.clean.shape, int(MaskState.VALID), np.uint8)
    against = Against(
        clean_chi2=metrics.measure(obj, support, np.sqrt(truth.clean), everywhere).chi2,
        ssim=metrics.ssim(aligned, truth.object, moved, amplitude > EDGE * amplitude.max()),
        phase_error=metrics.phase_error(aligned, truth.object, moved & truth.crystal),
        support_ratio=float(support.sum() / truth.crystal.sum()),
        correlation=alignment.score,
    )
    return against, aligned


def free_chi2(obj: NDArray[np.complex64], problem: Problem, kernel: NDArray[np.float32] | None = None) -> float | None:
    """chi2 over the free voxels, with the scale from the others (AutoPhaseNN 2022, supplement);
    None where none are hidden.

    kernel: of partial coherence, as `metrics.measure` has it.
    """
    if problem.free is None or not (hidden := problem.free & (problem.mask == MaskState.VALID)).any():
        return None
    modulus = metrics.far_field_modulus(obj, kernel)
    seen, measured = modulus[problem.visible], problem.modulus[problem.visible].astype(np.float64)
    scale = float(seen @ measured) / float(seen @ seen)
    wanted = problem.modulus[hidden].astype(np.float64)
    residual = scale * modulus[hidden] - wanted
    return float(residual @ residual) / float(wanted @ wanted)


def best(scores: tuple[Score, ...]) -> Score:
    """The lowest chi2 on the measured data: what somebody without the truth would choose."""
    return min(scores, key=lambda score: score.chi2)
