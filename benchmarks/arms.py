"""The ways to an image that are compared: all with the same preprocessing, mask, free voxels and shrink-wrap settings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inphase import ambiguity, metrics, trust
from inphase.pattern import MaskState
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.starts import Starts, random
from service import pipeline
from service.pipeline import Draft

CONVENTIONAL = "autophasenn-600"
STARTS = 5


@dataclass(frozen=True)
class Arm:
    """A way to an image and what came of it. Several results where it has several starts."""

    name: str
    results: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        """Lowest chi2 on the measured data."""
        return min(self.results, key=lambda c: c.metrics.chi2)

    @property
    def median(self) -> Candidate:
        """The middle one in chi2."""
        return sorted(self.results, key=lambda c: c.metrics.chi2)[len(self.results) // 2]


def refined(draft: Draft, recipe: str, starts: Starts, name: str) -> Arm:
    """Run a recipe from the given starts."""
    solutions = retrieve(draft.problem, recipes.resolve(recipe), starts)
    kind = "network" if starts.kind == "network" else "random"
    return Arm(name, tuple(Candidate(s.object, s.support, draft.measure(s.object, s.support), kind) for s in solutions))  # type: ignore[arg-type]


def run(draft: Draft, seed: int = 0) -> Iterator[Arm]:
    """Every arm on one drafted pattern: network, network + 50*ER, network + fast, conventional from random starts."""
    start = draft.network_start()
    yield Arm("network", (draft.guess,))
    yield refined(draft, "50*ER", start, "network + 50*ER")
    fast = refined(draft, "fast", start, "network + fast")
    conventional = refined(
        draft, CONVENTIONAL, random(draft.problem, STARTS, seed), f"{CONVENTIONAL}, {STARTS} random starts"
    )
    yield fast
    yield conventional
    yield Arm("start=auto: fast, escalated where it falls short", (automatic(draft, fast, conventional),))


def automatic(draft: Draft, fast: Arm, conventional: Arm) -> Candidate:
    """What the service answers by default: `fast`, or the better of both arms by free log-likelihood (inphase.trust)."""
    found = fast.best
    if not pipeline.shortfalls(draft, found):
        return found
    for other in conventional.results:
        found = other if trust.better(other.metrics, found.metrics) else found
    return found


@dataclass(frozen=True)
class Truth:
    """A simulated crystal: object complex64 on the model grid and the intensity that noise-free, coherent light would give."""

    object: NDArray[np.complex64]
    clean: NDArray[np.float32]

    @property
    def support(self) -> NDArray[np.bool_]:
        """Voxels with at least half of the crystal's density."""
        inside: NDArray[np.bool_] = np.abs(self.object) > 0.5
        return inside


@dataclass(frozen=True)
class Against:
    """A result against the truth after twin-aware alignment. clean_chi2: on the noise-free modulus, every voxel."""

    clean_chi2: float
    ssim: float
    phase_error: float
    support_ratio: float


def against(candidate: Candidate, truth: Truth) -> Against:
    """Compare; the phase error is over the intersection of the supports, in radians."""
    aligned, _ = ambiguity.align(candidate.object, truth.object)
    # the aligned support: moved with the object by the same transform
    support = np.abs(aligned) > 0.2 * np.percentile(np.abs(aligned[np.abs(aligned) > 0]), 99)
    everywhere = np.full(truth.clean.shape, int(MaskState.VALID), np.uint8)
    clean = metrics.measure(candidate.object, candidate.support, np.sqrt(truth.clean), everywhere)
    return Against(
        clean_chi2=clean.chi2,
        ssim=metrics.ssim(aligned, truth.object, support, truth.support),
        phase_error=metrics.phase_error(aligned, truth.object, support & truth.support),
        support_ratio=candidate.metrics.support_voxels / float(truth.support.sum()),
    )
