"""training.evaluate.targets: the figures to reach, on numbers that a reader can follow."""

import pytest

from tests.training.evaluate.conftest import MODEL, PLAN
from training.evaluate.outcomes import Case, Reference, Way
from training.evaluate.run import Evaluated
from training.evaluate.scores import Against, Score
from training.evaluate.targets import keeping_up


def test_keeping_up_counts_failed_predictions_as_not(evaluated):
    """Three crystals: one keeps up, one is worse in phase, one has no prediction."""
    other = Against(clean_chi2=0.01, ssim=0.9, phase_error=0.1, support_ratio=1.5, correlation=0.9)
    worse = Against(clean_chi2=0.01, ssim=0.9, phase_error=0.2, support_ratio=1.5, correlation=0.9)
    cases = [Case("fast", n) for n in range(3)]

    def score(against):
        return Score(0.01, 0.1, 100, 1.0, 1.0, 0.01, against)

    ways = dict(zip(cases, (Way(refined=score(other)), Way(refined=score(worse)), Way(why="empty")), strict=True))
    references = {case: (Reference(0.01, None, (score(other),), ()), {}) for case in cases}
    found = Evaluated(tuple(cases), (MODEL,), PLAN, references, {("m", c): (w, {}) for c, w in ways.items()}, {}, ())
    assert keeping_up(found, cases, lambda case: ways[case].refined) == pytest.approx(1 / 3)
