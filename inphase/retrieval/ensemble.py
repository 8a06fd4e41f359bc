"""Several solutions of one pattern: which is the best, which are the same solution, and how far those agree.

Solutions are only known up to their twin, position and global phase: each is brought onto the best one first
(`ambiguity.align`), and what is another solution, or a twin that cannot be told apart, is never averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inphase import resolution, trust
from inphase.ambiguity import Alignment, align, canonical, to_centre
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.metrics import Metrics
from inphase.resolution import Curve, Resolution, Shells
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import FROM_NETWORK, Kind

Criterion = Literal["free_llk", "chi2"]


@dataclass(frozen=True)
class Rules:
    """What is left out of an average.

    diverged: chi2 above it. worse: free log-likelihood (or chi2) over that of the best. uneven: amplitude variation
    over that of the best, and more than `uneven_by` above it. correlation: with the best, below it it is another
    solution.
    most: solutions averaged, the best ones: they are in memory together. modes: how many are kept.
    """

    diverged: float = 0.5
    worse: float = 1.5
    uneven: float = 1.5
    uneven_by: float = 0.1
    correlation: float = 0.9
    most: int = 20
    modes: int = 3


RULES = Rules()


@dataclass(frozen=True)
class Candidate:
    """One start's result: an object (complex64), its support (bool), how well it fits,
    and the kind of start that led there.

    kernel: of partial coherence (`engine.Solution`), None where the beam was taken for coherent.
    """

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    metrics: Metrics
    kind: Kind
    kernel: NDArray[np.float32] | None = None

    @property
    def origin(self) -> Literal["network", "random"]:
        """Whether a network's prediction stands behind it."""
        return "network" if self.kind in FROM_NETWORK else "random"


@dataclass(frozen=True)
class Member:
    """A candidate among the others.

    alignment: how it was brought onto the best; None for the best itself. rejected: why it is not part of the average;
    empty where it is.
    """

    kind: Kind
    metrics: Metrics
    alignment: Alignment | None
    rejected: tuple[str, ...]

    @property
    def correlation(self) -> float:
        """|sum conj(o) best| / (|o| |best|) after alignment."""
        return 1.0 if self.alignment is None else self.alignment.score


@dataclass(frozen=True)
class Consensus:
    """What at least two accepted solutions have in common, in the frame and the units of the best in canonical form.

    average: (N, ...) complex64, their mean. modes: (k, N, ...) complex64, orthogonal, the strongest first (`_modes`).
    weights: (n,) float64, the share of the intensity that each of all n modes carries, sum 1: the first is 1 where all
    agree.
    prtf: transfer function of the average. fsc: correlation of the means of two halves of the solutions.
    resolutions: where prtf falls below 1/e, and fsc below 0.143 and below half a bit.
    """

    average: NDArray[np.complex64]
    modes: NDArray[np.complex64]
    weights: NDArray[np.float64]
    prtf: Curve
    fsc: Curve
    resolutions: tuple[Resolution, ...]


@dataclass(frozen=True)
class Ensemble:
    """members: one per candidate, in order. best: index of the one to keep.
    ranked_by: what decided, and why not the free llk.
    """

    members: tuple[Member, ...]
    best: int
    ranked_by: Criterion
    why: str
    consensus: Consensus | None

    @property
    def accepted(self) -> int:
        """How many agree with the best, itself included."""
        return sum(not member.rejected for member in self.members)

    @property
    def rivals(self) -> int:
        """How many are another solution that fits as well as the best (`RULES`)."""
        least = _misfit(self.members[self.best].metrics, self.ranked_by)
        return sum(
            member.correlation < RULES.correlation and _misfit(member.metrics, self.ranked_by) <= RULES.worse * least
            for member in self.members
        )


def best_of(
    candidates: Sequence[Candidate], oversampling: tuple[float, ...] | None = None, rules: Rules = RULES
) -> int:
    """Index of the best: by free log-likelihood, by chi2 where there is none;
    one with faults only where all have some.
    """
    _, order = _ranked(candidates, [_faults(c, oversampling, rules) for c in candidates])
    return order[0]


def assess(
    problem: Problem,
    candidates: Sequence[Candidate],
    *,
    oversampling: tuple[float, ...] | None = None,
    geometry: Geometry | None = None,
    rules: Rules = RULES,
) -> Ensemble:
    """Rank the candidates, say which are the same solution as the best one, and average those.

    oversampling: of the pattern, per axis; without it the supports' extents are not judged. geometry: of its grid;
    without it resolutions are in voxels. Raises DataError without candidates.
    """
    if not candidates:
        raise DataError("an ensemble needs at least one solution")
    faults = [_faults(candidate, oversampling, rules) for candidate in candidates]
    criterion, order = _ranked(candidates, faults)
    best = candidates[order[0]]
    frame = canonical(best.object, best.support)
    unit = best.metrics.scale * frame.scale
    members: dict[int, Member] = {}
    kept: list[NDArray[np.complex64]] = []
    for i in order:
        if candidates[i] is best:
            aligned = frame.object * np.float32(frame.scale)
            member = Member(best.kind, best.metrics, None, tuple(faults[i]))
        else:
            aligned, alignment = align(candidates[i].object, frame.object)
            why = faults[i] + _differences(candidates[i], best, alignment, criterion, rules)
            member = Member(candidates[i].kind, candidates[i].metrics, alignment, tuple(why))
        members[i] = member
        if not member.rejected and len(kept) < rules.most:
            aligned *= np.float32(candidates[i].metrics.scale / unit)
            kept.append(aligned)
    consensus = None
    if len(kept) > 1:
        shells = Shells.of(problem.modulus.shape, geometry)
        consensus = _consensus(problem, np.stack(kept), shells, best.metrics.support_voxels, rules)
    reason = "" if criterion == "free_llk" else f"no free log-likelihood: {best.metrics.free_llk_reason}"
    return Ensemble(tuple(members[i] for i in range(len(candidates))), order[0], criterion, reason, consensus)


def _ranked(candidates: Sequence[Candidate], faults: Sequence[Sequence[str]]) -> tuple[Criterion, list[int]]:
    """What decides, and the candidates' indices, best first; those with faults come last."""
    criterion: Criterion = "chi2" if any(c.metrics.free_llk is None for c in candidates) else "free_llk"
    order = sorted(range(len(candidates)), key=lambda i: (bool(faults[i]), _misfit(candidates[i].metrics, criterion)))
    return criterion, order


def _misfit(metrics: Metrics, criterion: Criterion) -> float:
    value = metrics.chi2 if criterion == "chi2" else metrics.free_llk
    assert value is not None  # `_ranked` chose the criterion that all have
    return value


def _faults(candidate: Candidate, oversampling: tuple[float, ...] | None, rules: Rules) -> list[str]:
    """What is wrong with a candidate whatever the others are."""
    found = []
    if candidate.metrics.chi2 > rules.diverged:
        found.append(f"diverged: chi2 {candidate.metrics.chi2:.2g}")
    support = candidate.support
    centred = np.roll(support, to_centre(support.astype(np.float32)), axis=tuple(range(support.ndim)))
    if any(centred.take((0, -1), axis).any() for axis in range(support.ndim)):
        found.append("the support touches the border of the grid")
    return found + trust.Support.of(support, oversampling).faults()


def _differences(
    candidate: Candidate, best: Candidate, alignment: Alignment, criterion: Criterion, rules: Rules
) -> list[str]:
    """What speaks against averaging a candidate with the best."""
    misfit, least = _misfit(candidate.metrics, criterion), _misfit(best.metrics, criterion)
    spread, even = candidate.metrics.amplitude_cv, best.metrics.amplitude_cv
    found = []
    if misfit > rules.worse * least:
        name = "free log-likelihood" if criterion == "free_llk" else "chi2"
        found.append(f"{name} {misfit:.3g} is above {rules.worse:g} times the best, {least:.3g}")
    if spread > max(rules.uneven * even, even + rules.uneven_by):
        found.append(f"the amplitude is uneven: variation {spread:.2f}, that of the best {even:.2f}")
    if alignment.score < rules.correlation:
        found.append(f"another solution: correlation with the best {alignment.score:.3f}")
    elif alignment.undecided:
        found.append(
            f"it cannot be told from its twin: correlations {alignment.score:.3f} and {alignment.score_other:.3f}"
        )
    return found


def _consensus(
    problem: Problem, stack: NDArray[np.complex64], shells: Shells, support_voxels: int, rules: Rules
) -> Consensus:
    average = stack.mean(axis=0)
    transfer = resolution.prtf(average, problem.modulus, problem.mask, shells)
    # the halves take turns in rank, lest one holds the better ones
    correlation = resolution.fsc(stack[::2].mean(axis=0), stack[1::2].mean(axis=0), shells, problem.mask)
    half_bit = resolution.half_bit(correlation, support_voxels / problem.modulus.size)
    modes, weights = _modes(stack, average, rules.modes)
    return Consensus(
        average=average,
        modes=modes,
        weights=weights,
        prtf=transfer,
        fsc=correlation,
        resolutions=(
            transfer.resolution("1/e", resolution.ONE_OVER_E),
            correlation.resolution("0.143", resolution.FIXED),
            correlation.resolution("half-bit", half_bit),
        ),
    )


def _modes(
    stack: NDArray[np.complex64], average: NDArray[np.complex64], most: int
) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
    """Singular value decomposition of the aligned solutions o_i:
    orthogonal modes with sum_k |mode_k|^2 = mean_i |o_i|^2.

    Through the n x n matrix of inner products: the right singular vectors of all n would double the memory.
    """
    rows = stack.reshape(len(stack), -1)
    powers, vectors = np.linalg.eigh((rows.conj() @ rows.T).astype(np.complex128))
    powers, vectors = powers[::-1].clip(min=0), vectors[:, ::-1]
    modes = ((vectors[:, :most].T / np.sqrt(len(rows))).astype(np.complex64) @ rows).reshape(-1, *stack.shape[1:])
    turn = np.angle(np.vdot(modes[0], average))
    modes[0] *= np.complex64(np.exp(1j * turn))
    return modes, powers / powers.sum()
