"""The logistic regression that is delivered, against its formula and against what it is for."""

import math

import pytest

from inphase.probability import Calibration, Weight, calibration

MADE = Calibration(0.5, {"a": Weight(1.0, 2.0), "b": Weight(0.0, -1.0, absent=-0.25)})


def test_log_odds_add_up() -> None:
    """bias + 2 (a - 1) - b, and what is said for a sign that a job does not have."""
    assert MADE.probability({"a": 2.0, "b": 1.5}) == pytest.approx(1 / (1 + math.exp(-(0.5 + 2.0 - 1.5))))
    assert MADE.shares({"a": 2.0, "b": None}) == {"a": 2.0, "b": -0.25}
    assert MADE.probability({"a": 2.0, "b": None}) == pytest.approx(1 / (1 + math.exp(-2.25)))


def test_no_sign_is_too_large() -> None:
    """Certain to the last digit, and no overflow."""
    assert MADE.probability({"a": 1e9, "b": 0.0}) == pytest.approx(1)
    assert MADE.probability({"a": -1e9, "b": 0.0}) == pytest.approx(0)


def test_the_delivered_calibrations_know_good_from_bad() -> None:
    """Each is monotone in the evenness of the amplitude, and goes from improbable to probable along it."""
    typical = {name: weight.mean for name, weight in calibration("refined").weights.items()}
    typical |= {name: weight.mean for name, weight in calibration("network").weights.items()}
    for of in ("refined", "network"):
        known = calibration(of)
        values = [known.probability(typical | {"plateau": plateau}) for plateau in (0.3, 0.5, 0.7, 0.9)]
        assert values == sorted(values)
        assert values[0] < 0.2
        assert values[-1] > 0.8
