"""Whether a start is good enough to refine, and how far a result can be relied on. All thresholds stand in `Rules`.

chi2 alone is no measure: with many photons the noise leaves 1e-5 while partial coherence, background and gaps leave a
thousand times more, and a loose support lowers it. So a figure is judged against the noise AND an absolute floor, and
never without the support.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.ambiguity import to_centre
from inphase.metrics import Metrics


class Level(StrEnum):
    """HIGH: nothing speaks against the result. MEDIUM: usable, look at the reasons. LOW: do not rely on it."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True)
class Rules:
    """What counts as sane.

    A chi2 is sane below `floor + factor * noise_chi2`. Fractions of the volume are in units of the largest that
    sampling allows, prod(N / 2); extents in units of N / oversampling, the extent that the autocorrelation gives.
    """

    start_floor: float = 0.15
    start_factor: float = 4.0
    final_floor: float = 0.03
    final_factor: float = 4.0
    good_floor: float = 0.0015
    good_factor: float = 1.1
    volume: tuple[float, float] = (0.002, 0.9)
    largest_part: float = 0.7
    extent: tuple[float, float] = (0.4, 1.8)
    free_excess: float = 2.0  # free over working log-likelihood: above it the fit does not predict what it has not seen
    random_starts: int = 5


RULES = Rules()


@dataclass(frozen=True)
class Support:
    """Figures of a support: volume over prod(N / 2), share of the largest connected part,
    its extents over the expected ones.
    """

    volume: float
    largest_part: float
    extent: tuple[float, ...]

    @classmethod
    def of(cls, support: NDArray[np.bool_], oversampling: tuple[float, ...] | None = None) -> "Support":
        """Measure a support (N, ...) bool, wherever it lies on the periodic grid:
        retrieval may carry it over the border.

        oversampling: of the pattern, per axis; without it extents are not judged.
        """
        voxels = int(support.sum())
        if voxels == 0:
            return cls(0.0, 0.0, ())
        support = np.roll(support, to_centre(support.astype(np.float32)), axis=tuple(range(support.ndim)))
        shape = support.shape
        support = support[_box(support)]  # most of a large grid is empty
        labels, parts = ndimage.label(support, ndimage.generate_binary_structure(support.ndim, support.ndim))
        sizes = np.bincount(labels.ravel(), minlength=parts + 1)[1:]
        crystal = labels == 1 + sizes.argmax()
        extents: tuple[float, ...] = ()
        if oversampling is not None:
            spans = [
                np.ptp(np.flatnonzero(crystal.any(axis=_others(axis, support.ndim)))) + 1
                for axis in range(support.ndim)
            ]
            extents = tuple(float(s * o / n) for s, o, n in zip(spans, oversampling, shape, strict=True))
        return cls(voxels / float(np.prod([n / 2 for n in shape])), int(sizes.max()) / voxels, extents)

    def faults(self, rules: Rules = RULES) -> list[str]:
        """What is not sane about it; empty if nothing."""
        low, high = rules.volume
        found = []
        if self.volume < low:
            found.append(f"the support is empty or tiny ({self.volume:.2%} of what sampling allows)")
        if self.volume > high:
            found.append(f"the support fills {self.volume:.0%} of what sampling allows")
        if self.volume and self.largest_part < rules.largest_part:
            found.append(f"the support is in pieces (the largest has {self.largest_part:.0%} of it)")
        for axis, extent in enumerate(self.extent):
            if not rules.extent[0] <= extent <= rules.extent[1]:
                found.append(f"the support is {extent:.2g} times as long along axis {axis} as the autocorrelation says")
        return found


@dataclass(frozen=True)
class Evidence:
    """What speaks against a result whatever its fit is.

    faults, doubts: what the preprocessing steps found in the data. starts: retrievals that were compared. accepted: how
    many of them are the same solution as the best one, itself included.
    """

    faults: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    starts: int = 1
    accepted: int = 1

    def disagreement(self) -> list[str]:
        """A doubt where several starts were compared and no other one confirms the best."""
        if self.starts < 2 or self.accepted > 1:
            return []
        return [
            f"of {self.starts} starts no other one confirms this solution (the ensemble says why of each): it may be "
            "one of many that fit; take more starts, or a longer recipe"
        ]


@dataclass(frozen=True)
class Trust:
    """How far a result can be relied on, and what speaks against it."""

    level: Level
    reasons: tuple[str, ...] = field(default=())


def start_faults(metrics: Metrics, noise_chi2: float | None, support: Support, rules: Rules = RULES) -> list[str]:
    """Why a network's start should not be refined; empty where it is accepted. noise_chi2: None for a modulus."""
    return [*_excess(metrics.chi2, noise_chi2, rules.start_floor, rules.start_factor), *support.faults(rules)]


def final_faults(metrics: Metrics, noise_chi2: float | None, support: Support, rules: Rules = RULES) -> list[str]:
    """Why a result is not to be relied on; empty where nothing is wrong with it."""
    return [*_excess(metrics.chi2, noise_chi2, rules.final_floor, rules.final_factor), *support.faults(rules)]


def shortfalls(metrics: Metrics, noise_chi2: float | None, support: Support, rules: Rules = RULES) -> list[str]:
    """Why a refined result is not good, so that a conventional retrieval should be tried as well; empty where it is."""
    return [*_excess(metrics.chi2, noise_chi2, rules.good_floor, rules.good_factor), *support.faults(rules)]


def judge(
    metrics: Metrics,
    noise_chi2: float | None,
    support: Support,
    *,
    refined: bool,
    valid_fraction: float,
    evidence: Evidence = Evidence(),
    rules: Rules = RULES,
) -> Trust:
    """The trust in a result. valid_fraction: part of the measured range whose value is known.

    evidence: what is known besides; where the trust is low its doubts about the data are named first, for they may be
    the cause.
    """
    faults = final_faults(metrics, noise_chi2, support, rules)
    if faults or evidence.faults:
        return Trust(Level.LOW, (*evidence.faults, *evidence.doubts, *faults))
    doubts = [*evidence.doubts, *evidence.disagreement()]
    doubts += _excess(metrics.chi2, noise_chi2, rules.good_floor, rules.good_factor)
    if not refined:
        doubts.append("a network's prediction, not refined")
    if valid_fraction < 0.9:
        doubts.append(f"only {valid_fraction:.0%} of the measured range is valid")
    if metrics.free_llk is None:
        doubts.append(f"no free log-likelihood: {metrics.free_llk_reason}")
    elif metrics.llk and metrics.free_llk > rules.free_excess * metrics.llk:
        doubts.append(
            f"voxels that were hidden fit worse than the others (log-likelihood {metrics.free_llk:.3g} against "
            f"{metrics.llk:.3g})"
        )
    return Trust(Level.MEDIUM if doubts else Level.HIGH, tuple(doubts))


def _excess(chi2: float, noise: float | None, floor: float, factor: float) -> list[str]:
    bound = floor + factor * (noise or 0.0)
    if chi2 <= bound:
        return []
    beside = "" if noise is None else f" (Poisson noise leaves {noise:.2g})"
    return [f"chi2 {chi2:.3g} is above {bound:.3g}{beside}"]


def _box(support: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Around all of a support that is not empty."""
    lines = [np.flatnonzero(support.any(axis=_others(axis, support.ndim))) for axis in range(support.ndim)]
    return tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)


def _others(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != axis)
