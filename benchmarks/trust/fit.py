"""Fit the probability of being right, and test it on kinds of measurements that the fit has not seen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.trust.outcomes import STANDARD
from benchmarks.trust.signs import NETWORK, Line
from inphase.probability import RIGHT, Calibration, Curve

CALIBRATION = ROOT / "inphase" / "calibration.json"
Numbers = NDArray[np.float64]
# which way each sign speaks for an image: a fit that says otherwise has found a chance of the sample
DIRECTIONS: Mapping[str, int] = {
    "plateau": 1, "phase_step": -1, "central_light": 1, "misfit": -1,
    "free_excess": -1, "extent": -1, "oversampling": 1, "outside": -1,
    "incoherence": -1, "likeness": 1, "agreement": 1,
}  # fmt: skip
KNOTS = (0.02, 0.16, 0.5, 0.84, 0.98)  # of the curves: so many of the images have a lower sign
RIDGE = 2.0  # on what a curve rises by in a standard deviation of its sign
RARE = 0.02  # of the images: a sign that so few lack, or have, is left out
BINS = 10
ROUNDS = 30  # of Newton's method at the most
CONVERGED = 1e-6  # of the log odds


@dataclass(frozen=True)
class Tested:
    """Images with the probability that a fit gave them which had not seen them, nor, in `held_out`, their kind."""

    lines: Sequence[Line]
    probability: Numbers

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which are."""
        return right(self.lines)


def right(lines: Sequence[Line]) -> NDArray[np.bool_]:
    """Which images are."""
    return np.array([line.correlation >= RIGHT for line in lines])


@dataclass(frozen=True)
class Stretch:
    """Of the curve of a sign, between two knots."""

    sign: str
    low: float
    high: float

    def along(self, values: Numbers | float, since: float) -> Numbers:
        """How far these values of the sign have come on it since that one."""
        gone: Numbers = np.clip(values, self.low, self.high) - np.clip(since, self.low, self.high)
        return gone


def fit(lines: Sequence[Line]) -> Calibration:
    """Logistic regression with a ridge on the slopes of each sign's curve, which adds nothing at the median.

    A stretch that would slope against its sign's direction is left level, worst first, and a sign whose curve is level
    is left out.
    """
    known = {name: column(lines, name) for name in DIRECTIONS}
    known = {n: values for n, values in known.items() if np.isfinite(values).mean() > RARE and np.nanstd(values) > 0}
    knots = {name: np.unique(np.nanquantile(values, KNOTS)).tolist() for name, values in known.items()}
    middle = {name: float(np.nanmedian(values)) for name, values in known.items()}
    scale = {name: float(np.nanstd(values)) for name, values in known.items()}
    filled = {name: np.nan_to_num(values, nan=middle[name]) for name, values in known.items()}
    stretches = {
        stretch: stretch.along(filled[name], middle[name]) / scale[name]
        for name in known
        for stretch in (Stretch(name, low, high) for low, high in pairwise(knots[name]))
    }
    wanted = right(lines).astype(float)
    while True:
        signs = list(dict.fromkeys(stretch.sign for stretch in stretches))
        partly = [name for name in signs if not np.isfinite(known[name]).all()]
        gaps = [np.isnan(known[name]).astype(float) for name in partly]
        weights = _regression(np.array([*stretches.values(), *gaps, np.ones(len(lines))]).T, wanted)
        slopes = dict(zip(stretches, weights.tolist(), strict=False))
        worst = min(slopes, key=lambda stretch: DIRECTIONS[stretch.sign] * slopes[stretch])
        if DIRECTIONS[worst.sign] * slopes[worst] >= 0:
            break
        del stretches[worst]
    absent = dict(zip(partly, weights[len(stretches) :].tolist(), strict=False))

    def added(name: str, knot: float) -> float:
        along = (slopes[s] * s.along(knot, middle[name]) for s in stretches if s.sign == name)
        return float(sum(along) / scale[name])

    return Calibration(
        float(weights[-1]),
        {
            name: Curve(tuple(knots[name]), tuple(added(name, knot) for knot in knots[name]), absent.get(name, 0.0))
            for name in signs
        },
    )


def fitted_to(lines: Sequence[Line]) -> list[Line]:
    """Those that a fit may see."""
    return [line for line in lines if line.way != STANDARD.name]


def held_out(lines: Sequence[Line]) -> Tested:
    """Every kind judged by a fit to all the others, and the conventional recipe by fits that have not seen it."""
    probability = np.empty(len(lines))
    for kind in {line.kind for line in lines}:
        fitted = fit([line for line in fitted_to(lines) if line.kind != kind])
        for number, line in enumerate(lines):
            if line.kind == kind:
                probability[number] = fitted.probability(asdict(line.signs))
    return Tested(lines, probability)


def judged(lines: Sequence[Line], fitted: Calibration) -> Tested:
    """Images that were kept apart, judged by the fit to all others."""
    return Tested(lines, np.array([fitted.probability(asdict(line.signs)) for line in lines]))


def auc(values: Numbers, wanted: NDArray[np.bool_]) -> float:
    """Chance that a right image has the higher value than a wrong one, ties half."""
    both = np.searchsorted(np.sort(values[~wanted]), values[wanted], "left").astype(float)
    both += np.searchsorted(np.sort(values[~wanted]), values[wanted], "right")
    return float(both.mean() / 2 / (~wanted).sum())


def calibration_error(probability: Numbers, wanted: NDArray[np.bool_]) -> float:
    """Mean distance between stated and found share of right images over ten bins, by their numbers of images."""
    of = np.minimum((probability * BINS).astype(int), BINS - 1)
    parts = [of == number for number in range(BINS)]
    return float(sum(p.mean() * abs(probability[p].mean() - wanted[p].mean()) for p in parts if p.any()))


def of_network(lines: Sequence[Line]) -> list[Line]:
    """Images that were not refined."""
    return [line for line in lines if line.way == NETWORK]


def refined(lines: Sequence[Line]) -> list[Line]:
    """The others."""
    return [line for line in lines if line.way != NETWORK]


def column(lines: Sequence[Line], name: str) -> Numbers:
    """A sign of all images; NaN where one has none."""
    return np.array([np.nan if (value := getattr(line.signs, name)) is None else value for line in lines], float)


def _regression(design: Numbers, wanted: Numbers) -> Numbers:
    """Newton's method; the last column is the constant, which no ridge holds."""
    ridge = np.full(design.shape[1], RIDGE)
    ridge[-1] = 1e-9
    weights = np.zeros(design.shape[1])
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (p - wanted) + ridge * weights
        step = np.linalg.solve((design.T * (p * (1 - p))) @ design + np.diag(ridge), gradient)
        weights -= step
        if np.abs(step).max() < CONVERGED:
            break
    return weights


def write(calibrations: Mapping[str, Calibration]) -> None:
    """Into the package."""
    rounded = msgspec.to_builtins(calibrations)
    for made in rounded.values():
        made["bias"] = round(made["bias"], 4)
        for curve in made["curves"].values():
            curve |= {"at": _rounded(curve["at"]), "adds": _rounded(curve["adds"]), "absent": round(curve["absent"], 4)}
    CALIBRATION.write_text(json.dumps(rounded, indent=1) + "\n")


def _rounded(numbers: Sequence[float]) -> list[float]:
    return [round(number, 4) for number in numbers]
