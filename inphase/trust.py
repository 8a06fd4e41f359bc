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
    """HIGH: probably right, nothing speaks against it. MEDIUM: usable, look at the reasons. LOW: do not rely on it."""

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
    probable: float = 0.9  # probability of being right from which a result may be trusted highly
    improbable: float = 0.5  # below it a result is more likely wrong than right


RULES = Rules()


@dataclass(frozen=True)
class Finding:
    """What speaks against a result, and what may help against it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


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
        return [finding.what for finding in self.findings(rules)]

    def findings(self, rules: Rules = RULES) -> list[Finding]:
        """The same, each with what may help."""
        low, high = rules.volume
        found = []
        if self.volume < low:
            found.append(
                Finding(
                    f"the support is empty or tiny ({self.volume:.2%} of what sampling allows)",
                    "a bright spot or a hot pixel may stand for the crystal: mask it, or crop to the Bragg peak",
                )
            )
        if self.volume > high:
            found.append(
                Finding(
                    f"the support fills {self.volume:.0%} of what sampling allows",
                    "background or too coarse a sampling lets it swell: subtract the dark, bin less, or raise the "
                    "threshold of the recipe's SW",
                )
            )
        if self.volume and self.largest_part < rules.largest_part:
            found.append(
                Finding(
                    f"the support is in pieces (the largest has {self.largest_part:.0%} of it)",
                    "the retrieval may have failed, or there are several crystals: take more starts (start=mixed)",
                )
            )
        for axis, extent in enumerate(self.extent):
            if not rules.extent[0] <= extent <= rules.extent[1]:
                found.append(
                    Finding(
                        f"the support is {extent:.2g} times as long along axis {axis} as the autocorrelation says",
                        "look for gaps, background and a second crystal that are not masked, and take more starts "
                        "(start=mixed)",
                    )
                )
        return found


@dataclass(frozen=True)
class Evidence:
    """What speaks against a result whatever its fit is.

    faults, doubts: what the preprocessing steps found in the data. starts: retrievals that were compared. accepted: how
    many are the same solution as the best one, itself included. rivals: how many are another one that fits as well.
    """

    faults: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    starts: int = 1
    accepted: int = 1
    rivals: int = 0

    def disagreement(self) -> list[str]:
        """A doubt where several starts were compared and no other one confirms the best, or as many contradict it."""
        if self.starts < 2:
            return []
        if self.accepted <= 1:
            return [
                f"of {self.starts} starts no other one confirms this solution (the ensemble says why of each): it may "
                "be one of many that fit; take more starts, or a longer recipe"
            ]
        if self.rivals >= self.accepted:
            return [
                f"of {self.starts} starts {self.accepted} come to this solution and {self.rivals} to others that fit "
                "as well: the pattern may not tell them apart; take more starts, or a longer recipe"
            ]
        return []


@dataclass(frozen=True)
class Estimate:
    """The probability that a result is right (`inphase.probability`). value: None where it is unknown; `why` then says
    why, or that it is of the coarser image which the result was refined from. against: what lowers it most.
    """

    value: float | None
    why: str | None = None
    against: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Trust:
    """How far a result can be relied on, and what speaks against it.

    probability: of a complex correlation with the true object of 0.95 or more, modulo twin, position and global phase
    (`inphase.probability`); None where it is unknown, and probability_reason says why. Of an image on a finer grid
    than the model's it is that of the image there, as probability_reason says.
    """

    level: Level
    reasons: tuple[str, ...] = field(default=())
    probability: float | None = None
    probability_reason: str | None = None


def start_faults(metrics: Metrics, noise_chi2: float | None, support: Support, rules: Rules = RULES) -> list[str]:
    """Why a network's start should not be refined; empty where it is accepted. noise_chi2: None for a modulus."""
    return [f.what for f in _findings(metrics, noise_chi2, support, rules.start_floor, rules.start_factor, rules)]


def final_faults(metrics: Metrics, noise_chi2: float | None, support: Support, rules: Rules = RULES) -> list[Finding]:
    """Why a result is not to be relied on; empty where nothing is wrong with it."""
    return _findings(metrics, noise_chi2, support, rules.final_floor, rules.final_factor, rules)


def shortfalls(metrics: Metrics, noise_chi2: float | None, support: Support, rules: Rules = RULES) -> list[str]:
    """Why a refined result is not good, so that a conventional retrieval should be tried as well; empty where it is."""
    return [f.what for f in _findings(metrics, noise_chi2, support, rules.good_floor, rules.good_factor, rules)]


def judge(
    metrics: Metrics,
    noise_chi2: float | None,
    support: Support,
    *,
    refined: bool,
    valid_fraction: float,
    evidence: Evidence = Evidence(),
    estimate: Estimate = Estimate(None, "it was not estimated"),
    rules: Rules = RULES,
) -> Trust:
    """The trust in a result. refined: whether a refinement was tried, also where the network's own image was kept.
    valid_fraction: part of the measured range whose value is known.

    evidence: what is known besides; where the trust is low its doubts about the data are named first, for they may be
    the cause. estimate: an improbable result is low, and only a probable one, or one of unknown probability, is high.
    """
    faults = final_faults(metrics, noise_chi2, support, rules)
    unlikely = _improbable(estimate, rules)
    if faults or evidence.faults or (estimate.value is not None and estimate.value < rules.improbable):
        reasons = (*evidence.faults, *evidence.doubts, *map(str, faults), *unlikely)
        return Trust(Level.LOW, reasons, estimate.value, estimate.why)
    doubts = [*evidence.doubts, *evidence.disagreement(), *unlikely]
    doubts += map(str, _excess(metrics.chi2, noise_chi2, rules.good_floor, rules.good_factor))
    if not refined:
        doubts.append("a network's prediction, not refined: give a recipe, such as refine=fast")
    if valid_fraction < 0.9:
        doubts.append(
            f"only {valid_fraction:.0%} of the measured range is valid: gaps, lost frames or saturation hide the rest; "
            "move the detector between two scans, or attenuate the beam"
        )
    if metrics.free_llk is None:
        doubts.append(f"no free log-likelihood: {metrics.free_llk_reason}; give counts as they were measured")
    elif metrics.llk and metrics.free_llk > rules.free_excess * metrics.llk:
        doubts.append(
            f"voxels that were hidden fit worse than the others (log-likelihood {metrics.free_llk:.3g} against "
            f"{metrics.llk:.3g}): the fit follows noise; use a shorter recipe or a tighter support"
        )
    return Trust(Level.MEDIUM if doubts else Level.HIGH, tuple(doubts), estimate.value, estimate.why)


def _improbable(estimate: Estimate, rules: Rules) -> list[str]:
    """A reason where the result is not probably right, with what lowers the probability most."""
    if estimate.value is None or estimate.value >= rules.probable:
        return []
    against = "; ".join(map(str, estimate.against)) or "no single sign stands out: take more starts (start=mixed)"
    return [f"the image is right with a probability of {estimate.value:.0%} only: {against}"]


def _findings(
    metrics: Metrics, noise: float | None, support: Support, floor: float, factor: float, rules: Rules
) -> list[Finding]:
    return [*_excess(metrics.chi2, noise, floor, factor), *support.findings(rules)]


def _excess(chi2: float, noise: float | None, floor: float, factor: float) -> list[Finding]:
    bound = floor + factor * (noise or 0.0)
    if chi2 <= bound:
        return []
    beside = "" if noise is None else f" (Poisson noise leaves {noise:.2g})"
    return [
        Finding(
            f"chi2 {chi2:.3g} is above {bound:.3g}{beside}",
            "the image does not explain the pattern; look for gaps, background, saturation and a second crystal that "
            "are not masked, and take more starts (start=mixed)",
        )
    ]


def _box(support: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Around all of a support that is not empty."""
    lines = [np.flatnonzero(support.any(axis=_others(axis, support.ndim))) for axis in range(support.ndim)]
    return tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)


def _others(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != axis)
