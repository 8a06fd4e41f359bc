"""Fit the probability of being right, and test it on kinds of measurements that the fit has not seen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.trust.outcomes import STANDARD
from benchmarks.trust.signs import NETWORK, Line
from inphase.probability import RIGHT, Calibration, Weight

CALIBRATION = ROOT / "inphase" / "calibration.json"
Numbers = NDArray[np.float64]
# which way each sign speaks for an image: a fit that says otherwise has found a chance of the sample
DIRECTIONS: Mapping[str, int] = {
    "plateau": 1, "phase_step": -1, "central_light": 1, "misfit": -1,
    "free_excess": -1, "extent": -1, "oversampling": 1, "outside": -1,
    "incoherence": -1, "likeness": 1, "agreement": 1,
}  # fmt: skip
RIDGE = 2.0  # on weights of signs in units of their standard deviation
RARE = 0.02  # of the images: a sign that so few lack, or have, is left out
BINS = 10
ROUNDS = 30


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


def fit(lines: Sequence[Line]) -> Calibration:
    """Logistic regression with a ridge; a sign that would speak against its direction is left out, worst first."""
    known = {name: column(lines, name) for name in DIRECTIONS}
    names = [name for name, values in known.items() if np.isfinite(values).mean() > RARE and np.nanstd(values) > 0]
    wanted = right(lines).astype(float)
    while True:
        columns, scales = [], []
        for name in names:
            mean, std = float(np.nanmean(known[name])), float(np.nanstd(known[name]))
            columns.append(np.nan_to_num((known[name] - mean) / std))
            scales.append((mean, std))
        partly = [name for name in names if not np.isfinite(known[name]).all()]
        columns += [np.isnan(known[name]).astype(float) for name in partly]
        weights = _regression(np.array([*columns, np.ones(len(lines))]).T, wanted)
        against = {name: DIRECTIONS[name] * w for name, w in zip(names, weights, strict=False)}
        worst = min(against, key=lambda name: against[name])
        if against[worst] >= 0:
            break
        names.remove(worst)
    absent = dict(zip(partly, weights[len(names) :], strict=False))
    return Calibration(
        float(weights[-1]),
        {
            name: Weight(mean, float(w) / std, float(absent.get(name, 0.0)))
            for name, w, (mean, std) in zip(names, weights, scales, strict=False)
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
        weights -= np.linalg.solve((design.T * (p * (1 - p))) @ design + np.diag(ridge), gradient)
    return weights


def write(calibrations: Mapping[str, Calibration]) -> None:
    """Into the package."""
    rounded = {
        of: {
            "bias": round(made.bias, 4),
            "weights": {n: {k: round(v, 4) for k, v in asdict(w).items()} for n, w in made.weights.items()},
        }
        for of, made in calibrations.items()
    }
    CALIBRATION.write_text(json.dumps(rounded, indent=1) + "\n")
