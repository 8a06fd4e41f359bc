"""training.evaluate.run: which patterns are evaluated, and what the service would answer."""

from dataclasses import replace

import pytest

from tests.training.evaluate.conftest import CASE, MODEL
from training.evaluate.run import chosen


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


def test_a_larger_evaluation_contains_the_smaller_one():
    """So that what is kept of one serves the other."""
    small, large = ({(c.of, c.number) for c in chosen(n)[0]} for n in (8, 40))
    assert small < large
