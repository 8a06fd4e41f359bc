"""training.evaluate.report: which pattern is timed."""

from dataclasses import replace

import pytest

from inphase.errors import DataError
from tests.training.evaluate.conftest import CASE, MODEL
from training.evaluate.outcomes import Way
from training.evaluate.report import timed


def test_a_model_without_a_usable_prediction_is_named(evaluated):
    """What is timed is a crystal with a prediction; where there is none, the reason is said."""
    assert timed(evaluated, MODEL) == CASE
    failed = replace(evaluated, paths={(MODEL.label, CASE): (Way(why="the predicted object is empty"), {})})
    with pytest.raises(DataError, match=r"inphase-bcdi@9 predicts nothing usable.*is empty"):
        timed(failed, MODEL)
