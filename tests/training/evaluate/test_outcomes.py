"""training.evaluate.outcomes: a pattern on the way of a network, against the truth."""

import pytest

from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import begin
from tests.training.evaluate.conftest import CASE, MODEL, PLAN
from training.evaluate import outcomes
from training.evaluate.outcomes import Case
from training.evaluate.sets import SETS, specimen


def test_every_way_is_scored_against_the_truth(evaluated):
    """The truth fits best; refinement improves on the prediction;
    histories begin with the start and end with the result.
    """
    reference, way = evaluated.reference(CASE), evaluated.way(MODEL, CASE)
    assert reference.truth.against.clean_chi2 < 1e-6
    assert reference.truth.against.ssim == pytest.approx(1, abs=1e-3)
    assert len(reference.conventional) == len(reference.free_llks) == PLAN.starts
    assert [run[-1] for run in reference.free_llks] == [s.free_llk for s in reference.conventional]
    assert way.fifty.chi2 < way.network.chi2
    assert way.refined.history[0][0] == 0
    assert way.refined.history[-1] == (2, way.refined.chi2)
    assert [i for i, _ in way.er] == [0, 10, 20]
    assert not way.escalates  # two iterations after the prediction chi2 is within the rule's bound


def test_the_network_sees_what_the_service_shows_it(evaluated):
    """The score of the prediction is that of the job document of the same pattern."""
    scan = specimen(SETS[0], CASE.number).scan
    options = Options(preprocess="none", seed=CASE.number)
    _, report = begin(scan, options, MODEL.session(1), Clock())
    assert report.metrics.network.chi2 == pytest.approx(evaluated.way(MODEL, CASE).network.chi2, rel=1e-5)


def test_a_poor_fit_escalates(tmp_path):
    """A strongly strained crystal of 1e8 photons: two iterations leave fifty times what noise does."""
    way, _ = outcomes.path(Case("strong strain", 2), MODEL, PLAN, tmp_path)
    assert way.escalates
