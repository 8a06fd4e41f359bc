"""The fit of the probability: what it finds where the odds are known, and its figures by brute force."""

from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from benchmarks.trust.fit import auc, calibration_error, fit, fitted_to, held_out
from benchmarks.trust.outcomes import STANDARD
from benchmarks.trust.signs import Line
from inphase.imaging.signs import Signs

NONE = Signs(**dict.fromkeys((f.name for f in fields(Signs)), 0.0))


def lines(count: int, kinds: int = 4) -> list[Line]:
    """Images whose log odds are 3 (plateau) - 2 (extent), both standard normal; a high misfit goes with right ones."""
    draw = np.random.default_rng(5)
    made = []
    for number in range(count):
        plateau, extent = draw.normal(size=2)
        is_right = draw.random() < 1 / (1 + np.exp(-3 * plateau + 2 * extent))
        signs = replace(NONE, plateau=plateau, extent=extent, misfit=draw.normal() + is_right, likeness=None)
        made.append(Line(number, f"kind {number % kinds}", "network", 0.99 if is_right else 0.5, "high", 0.5, signs))
    return made


def test_known_odds_are_found() -> None:
    """To the ridge and a few standard errors, from one knot to the next; what speaks against its direction, and what is
    constant, is left out.
    """
    found = fit(lines(4000))
    assert set(found.curves) == {"plateau", "extent"}
    for name, slope in (("plateau", 3), ("extent", -2)):
        curve = found.curves[name]
        np.testing.assert_allclose(np.diff(curve.adds) / np.diff(curve.at), slope, rtol=0.3)
        assert (curve.adds[-1] - curve.adds[0]) / (curve.at[-1] - curve.at[0]) == pytest.approx(slope, rel=0.15)


def test_a_curve_bends_where_the_odds_do() -> None:
    """A sign that tells nothing above its median has a curve that is level there."""
    bent = []
    for line in lines(4000):
        plateau = float(np.random.default_rng(line.number).normal())
        is_right = np.random.default_rng([line.number, 1]).random() < 1 / (1 + np.exp(-3 * min(plateau, 0) - 1))
        signs = replace(NONE, plateau=plateau, likeness=None)
        bent.append(replace(line, correlation=0.99 if is_right else 0.5, signs=signs))
    curve = fit(bent).curves["plateau"]
    assert (curve.adds[2] - curve.adds[0]) / (curve.at[2] - curve.at[0]) == pytest.approx(3, rel=0.3)
    assert (curve.adds[-1] - curve.adds[2]) / (curve.at[-1] - curve.at[2]) == pytest.approx(0, abs=0.3)


def test_a_kind_is_judged_by_the_others() -> None:
    """A kind in which the plateau means the opposite is judged as the others say, and so worse than chance."""
    turned = [
        replace(line, signs=replace(line.signs, plateau=-line.signs.plateau)) if line.kind == "kind 0" else line
        for line in lines(800)
    ]
    tested = held_out(turned)
    of = np.array([line.kind == "kind 0" for line in turned])
    assert auc(tested.probability[of], tested.right[of]) < 0.5
    others = fit([line for line in turned if line.kind != "kind 0"])
    wanted = [others.probability(asdict(line.signs)) for line in turned if line.kind == "kind 0"]
    np.testing.assert_allclose(tested.probability[of], wanted)


def test_no_fit_sees_the_conventional_recipe() -> None:
    """It is there to be tested on."""
    one, other, *_ = lines(2)
    assert fitted_to([one, replace(other, way=STANDARD.name)]) == [one]


def test_figures_by_brute_force() -> None:
    """AUC counts pairs, ties half; the calibration error of a coin that is called certain is a half."""
    values, wanted = np.array([0.1, 0.4, 0.4, 0.8, 0.3]), np.array([False, True, False, True, True])
    pairs = [(a > b) + (a == b) / 2 for a in values[wanted] for b in values[~wanted]]
    assert auc(values, wanted) == pytest.approx(np.mean(pairs))
    assert calibration_error(np.ones(10), np.arange(10) < 5) == pytest.approx(0.5)
    assert calibration_error(np.full(10, 0.5), np.arange(10) < 5) == pytest.approx(0)
