"""training.evaluate.control: the refinement without a network."""

import pytest

from inphase.imaging.candidates import retrieved
from inphase.retrieval.starts import random
from tests.training.evaluate.conftest import CASE, PLAN, TIMES
from training.evaluate import outcomes
from training.evaluate.page import page


def test_the_control_is_the_refinement_of_the_conventional_starts(evaluated):
    """The first random start refined by hand has its chi2, and the best of them is no worse; both stand in the page."""
    first, several = (way(CASE) for way in evaluated.without().values())
    prepared, _ = outcomes.loaded(CASE)
    (alone,) = retrieved(prepared, PLAN.refine, random(prepared.problem, 1, CASE.number))
    assert first.chi2 == pytest.approx(alone.candidate.metrics.chi2, rel=1e-6)
    assert several.chi2 <= first.chi2
    text = "\n".join(page(evaluated, [[TIMES]], "the command"))
    assert "| one random start + 2*ER | " in text
    assert "| best of 2 random starts + 2*ER | " in text
