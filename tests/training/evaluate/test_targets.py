"""training.evaluate.targets: the figures to reach, on numbers that a reader can follow."""

import pytest

from tests.training.evaluate.conftest import MODEL, MODELS, PLAN, TIMES
from training.evaluate.outcomes import Case, Model, Reference, Way
from training.evaluate.run import Evaluated
from training.evaluate.scores import Against, Score
from training.evaluate.sets import PAPERS
from training.evaluate.targets import figures_to_reach, keeping_up


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


@pytest.mark.parametrize(("label", "chi2"), [("autophasenn@3", "missed"), ("cdinn@1", "reached")])
def test_what_was_aimed_at_on_crystals_as_in_the_papers(evaluated, label, chi2):
    """Medians of the network alone beside the aims of that network, the share of sane supports, and how often 50 ER
    come within a tenth of the conventional best.
    """

    def score(clean_chi2, ssim):
        return Score(0.01, 0.1, 100, 1.0, 1.0, 0.01, Against(clean_chi2, ssim, 0.1, 1.5, 0.9))

    model, best = Model(MODELS, label), score(0.010, 0.95)
    alone = [score(0.02, 0.95), score(0.04, 0.85), score(0.06, 0.7)]
    fifty = [score(0.011, 0.9), score(0.012, 0.9), score(0.005, 0.9)]
    cases = [Case(PAPERS, n) for n in range(3)]
    ways = {
        (label, case): (Way(network=a, fifty=f, refined=f, sane=sane), {})
        for case, a, f, sane in zip(cases, alone, fifty, (True, True, False), strict=True)
    }
    (fast,) = evaluated.cases
    found = Evaluated(
        (fast, *cases), (model,), PLAN,
        evaluated.references | {case: (Reference(0.01, None, (best,), ()), {}) for case in cases},
        ways | {(label, fast): evaluated.paths[MODEL.label, fast]}, evaluated.controls, (),
    )  # fmt: skip
    rows = [row for row in "\n".join(figures_to_reach(found, [[TIMES]])).splitlines() if PAPERS in row]
    assert [row.rsplit("|", 2)[1].strip() for row in rows] == [
        f"0.04: {chi2}", f"0.85: {chi2}", "67%: missed", "67%: missed",
    ]  # fmt: skip
