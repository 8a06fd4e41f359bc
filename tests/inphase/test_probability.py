"""The logistic regression that is delivered, against its formula and against what it is for."""

import math

import pytest

from inphase.probability import Calibration, Curve, calibration

MADE = Calibration(0.5, {"a": Curve((0.0, 1.0, 3.0), (-4.0, 0.0, 4.0)), "b": Curve((0.0, 2.0), (0.0, -2.0), -0.25)})


def test_log_odds_add_up() -> None:
    """bias + 2 (a - 1) - b between these points, and what is said for a sign that a job does not have."""
    assert MADE.probability({"a": 2.0, "b": 1.5}) == pytest.approx(1 / (1 + math.exp(-(0.5 + 2.0 - 1.5))))
    assert MADE.shares({"a": 2.0, "b": None}) == {"a": 2.0, "b": -0.25}
    assert MADE.probability({"a": 2.0, "b": None}) == pytest.approx(1 / (1 + math.exp(-2.25)))


def test_no_sign_says_more_than_was_seen() -> None:
    """Beyond the points the curves are level: a sign that no calibration has seen makes nothing certain."""
    assert MADE.shares({"a": 1e9, "b": -1e9}) == {"a": 4.0, "b": 0.0}
    assert MADE.probability({"a": -1e9, "b": 0.0}) == MADE.probability({"a": 0.0, "b": 0.0})


def test_the_delivered_calibrations_know_good_from_bad() -> None:
    """Each is monotone in the evenness of the amplitude, and goes from improbable to probable along it."""
    for of in ("refined", "network"):
        known = calibration(of)
        typical = {name: curve.at[len(curve.at) // 2] for name, curve in known.curves.items()}
        values = [known.probability(typical | {"plateau": plateau}) for plateau in (0.3, 0.5, 0.7, 0.9)]
        assert values == sorted(values)
        assert values[0] < 0.2
        assert values[-1] > 0.8
