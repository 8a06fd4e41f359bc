"""A recipe on a batch of starts."""

import numpy as np
import pytest

from inphase.formats import RawScan
from inphase.imaging.candidates import retrieved
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.way import begin
from inphase.metrics import measure
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.starts import from_prediction, random, together
from tests.flat import counts, crystal

RECIPE = "20*ER | SW(every=10,threshold=0.1,sigma=2..1)"


@pytest.fixture(scope="module")
def prepared() -> PreparedPattern:
    """The counts of a flat crystal."""
    return begin(RawScan(counts(), None, "test", "all"), Options(start="random"), None, Clock())[0]


def test_candidates_are_what_the_engine_finds_in_the_order_of_the_starts(prepared: PreparedPattern) -> None:
    """Bit for bit the solutions of `retrieve`, each with the kind of its own batch and the metrics of its arrays."""
    flat = crystal(prepared.problem.modulus.shape)
    known = from_prediction(np.abs(flat), np.angle(flat), 0.1)
    batches = known, random(prepared.problem, 2, 5)
    found = retrieved(prepared, RECIPE, *batches)
    solutions = retrieve(prepared.problem, recipes.resolve(RECIPE), together(batches))
    assert [each.candidate.kind for each in found] == ["network", "random", "random"]
    for each, solution in zip(found, solutions, strict=True):
        np.testing.assert_array_equal(each.candidate.object, solution.object)
        np.testing.assert_array_equal(each.candidate.support, solution.support)
        problem = prepared.problem
        again = measure(solution.object, solution.support, problem.modulus, problem.mask, free=problem.free)
        assert each.candidate.metrics == again


def test_a_history_ends_with_the_candidate(prepared: PreparedPattern) -> None:
    """A sample every ten iterations, and after the last one the chi2 that the candidate has."""
    (found,) = retrieved(prepared, RECIPE, random(prepared.problem, 1, 5))
    assert [iteration for iteration, _ in found.history] == [0, 10, 20]
    assert found.history[-1][1] == found.candidate.metrics.chi2
    assert found.history[-1][1] < found.history[0][1]
