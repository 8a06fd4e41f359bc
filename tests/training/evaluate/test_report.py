"""The report on the shipped network and real parts, on a plan so short that it is a test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from typer.testing import CliRunner

from inphase.errors import DataError
from inphase.retrieval.starts import random
from training.cli import app
from training.evaluate import figures, outcomes
from training.evaluate.arms import Plan, refined
from training.evaluate.control import control
from training.evaluate.outcomes import Case, Model, Reference, Way
from training.evaluate.page import page
from training.evaluate.report import timed
from training.evaluate.run import Evaluated, chosen
from training.evaluate.scores import Against, Score
from training.evaluate.sets import SETS
from training.evaluate.targets import keeping_up
from training.evaluate.times import Times

MODELS = Path(__file__).parents[3] / "models"
MODEL = Model(MODELS, "inphase-bcdi@9")
PLAN = Plan(refine="2*ER", conventional="20*ER | SW()", starts=2, sampled=10, alone="20*ER")
CASE = Case("fast", 3, curves=True)
TIMES = Times(threads=1, prediction=100.0, iteration=2.0, fifty=100.0, sixty=120.0, refine=110.0, conventional=3.0)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """One crystal of 1e8 photons on every way."""
    folder = tmp_path_factory.mktemp("kept")
    reference = outcomes.reference(CASE, PLAN, folder)
    path = outcomes.path(CASE, MODEL, PLAN, folder)
    without = control(CASE, PLAN, folder)
    assert len(list(folder.iterdir())) == 3
    paths, absent = {(MODEL.label, CASE): path}, ("Something is absent.",)
    return Evaluated((CASE,), (MODEL,), PLAN, {CASE: reference}, paths, {CASE: without}, absent)


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


def test_the_control_is_the_refinement_of_the_conventional_starts(evaluated):
    """The first random start refined by hand has its chi2, and the best of them is no worse; both stand in the page."""
    first, several = (way(CASE) for way in evaluated.without().values())
    prepared, _ = outcomes.loaded(CASE)
    ((candidate, _),) = refined(prepared, PLAN.refine, random(prepared.problem, 1, CASE.number))
    assert first.chi2 == pytest.approx(candidate.metrics.chi2, rel=1e-6)
    assert several.chi2 <= first.chi2
    text = "\n".join(page(evaluated, [[TIMES]], "the command"))
    assert "| one random start + 2*ER | " in text
    assert "| best of 2 random starts + 2*ER | " in text


def test_the_network_sees_what_the_service_shows_it(evaluated):
    """The score of the prediction is that of the job document of the same pattern."""
    from inphase.imaging.clock import Clock
    from inphase.imaging.options import Options
    from inphase.imaging.way import begin
    from training.evaluate.sets import specimen

    scan = specimen(SETS[0], CASE.number).scan
    options = Options(preprocess="none", seed=CASE.number)
    _, report = begin(scan, options, MODEL.session(1), Clock())
    assert report.metrics.network.chi2 == pytest.approx(evaluated.way(MODEL, CASE).network.chi2, rel=1e-5)


def test_a_poor_fit_escalates(tmp_path):
    """A strongly strained crystal of 1e8 photons: two iterations leave fifty times what noise does."""
    way, _ = outcomes.path(Case("strong strain", 2), MODEL, PLAN, tmp_path)
    assert way.escalates


@pytest.mark.parametrize("escalates", [True, False])
def test_automatic_takes_the_better_free_log_likelihood(evaluated, escalates):
    """Where the service escalates, what it answers is the best of the refined start and the conventional runs;
    else the former.
    """
    (key, (way, pictures)), reference = *evaluated.paths.items(), evaluated.reference(CASE)
    poor = replace(way.refined, free_llk=1e9)
    changed = replace(evaluated, paths={key: (replace(way, refined=poor, escalates=escalates), pictures)})
    wanted = min(reference.conventional, key=lambda s: s.free_llk) if escalates else poor
    assert changed.automatic(MODEL, CASE) == wanted


def test_the_figures_are_drawn_and_small(evaluated, tmp_path):
    """PNGs of below 400 kB that are not blank."""
    figures.histograms(evaluated, tmp_path / "histograms.png")
    figures.convergence(evaluated, tmp_path / "convergence.png")
    figures.gallery(evaluated, MODEL, tmp_path / "gallery.png")
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 400_000
        assert np.asarray(Picture.open(path).convert("L")).std() > 10


def test_the_page_says_what_was_measured(evaluated):
    """Scores stand in the tables with three digits, beside what is absent and whether the figures are reached."""
    lines = list(page(evaluated, [[TIMES]], "the command"))
    text = "\n".join(lines)
    score = evaluated.way(MODEL, CASE).network
    (row,) = (line for line in lines if "inphase-bcdi@9: network |" in line)
    assert f"{score.against.ssim:.3g} ({score.against.ssim:.3g})" in row
    assert f"{score.against.clean_chi2:.3g}" in row
    assert "Something is absent." in text
    assert "`the command`" in text
    verdict = f"{score.against.ssim:.3g}: {'reached' if score.against.ssim >= 0.95 else 'missed'}"
    figures_to_reach = [line for line in lines if "network alone: median SSIM" in line and "1e8" in line]
    assert figures_to_reach == [line for line in figures_to_reach if verdict in line] != []
    assert "| 55: reached |" in text  # the cost of the refinement in iterations of ER


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


def test_a_model_without_a_usable_prediction_is_named(evaluated):
    """What is timed is a crystal with a prediction; where there is none, the reason is said."""
    assert timed(evaluated, MODEL) == CASE
    failed = replace(evaluated, paths={(MODEL.label, CASE): (Way(why="the predicted object is empty"), {})})
    with pytest.raises(DataError, match=r"inphase-bcdi@9 predicts nothing usable.*is empty"):
        timed(failed, MODEL)


def test_a_larger_evaluation_contains_the_smaller_one():
    """So that what is kept of one serves the other."""
    small, large = ({(c.of, c.number) for c in chosen(n)[0]} for n in (8, 40))
    assert small < large


def test_an_unknown_model_is_an_error_before_anything_runs(tmp_path):
    """It names what there is, and nothing is written."""
    done = CliRunner().invoke(
        app, ["evaluate", "--model", "nothing@1", "--models", str(MODELS), "--out", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert "there is no model 'nothing'" in done.stderr
    assert "inphase-bcdi" in done.stderr
    assert not list(tmp_path.iterdir())
