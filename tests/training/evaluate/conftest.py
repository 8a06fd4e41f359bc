"""One crystal on every way, on a plan so short that it is a test."""

from pathlib import Path

import pytest

from training.evaluate import outcomes
from training.evaluate.control import control
from training.evaluate.outcomes import Case, Model
from training.evaluate.plan import Plan
from training.evaluate.run import Evaluated
from training.evaluate.times import Times

MODELS = Path(__file__).parents[3] / "models"
MODEL = Model(MODELS, "inphase-bcdi@9")
PLAN = Plan(refine="2*ER", conventional="20*ER | SW()", starts=2, sampled=10, alone="20*ER")
CASE = Case("fast", 3, curves=True)
TIMES = Times(threads=1, prediction=100.0, iteration=2.0, fifty=100.0, sixty=120.0, refine=110.0, conventional=3.0)


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """One crystal of 1e8 photons on every way."""
    folder = tmp_path_factory.mktemp("kept")
    reference = outcomes.reference(CASE, PLAN, folder)
    path = outcomes.path(CASE, MODEL, PLAN, folder)
    without = control(CASE, PLAN, folder)
    assert len(list(folder.iterdir())) == 3
    paths, absent = {(MODEL.label, CASE): path}, ("Something is absent.",)
    return Evaluated((CASE,), (MODEL,), PLAN, {CASE: reference}, paths, {CASE: without}, absent)
