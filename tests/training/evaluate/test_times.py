"""The race to an equal free log-likelihood, on numbers that a reader can follow."""

import pytest

from training.evaluate.outcomes import Reference, Way
from training.evaluate.plan import Plan
from training.evaluate.scores import Score
from training.evaluate.times import Times, race, speedups

PLAN = Plan(starts=2, sampled=100)
TIMES = Times(threads=1, prediction=100.0, iteration=2.0, fifty=100.0, sixty=120.0, refine=110.0, conventional=3.0)


def way(free_llk):
    """A network's way that ends with this free log-likelihood."""
    return Way(refined=Score(0.01, 0.1, 100, 1.0, free_llk, 0.01, None))


def reference(*runs):
    """Conventional starts with these free log-likelihoods every 100 iterations."""
    return Reference(0.001, None, (), runs)


def test_the_goal_is_the_worse_of_both_ends():
    """Level at 2 or better: a start that passes there early ends the race; the network may not be judged by less."""
    falling = reference((9.0, 5.0, 2.0), (9.0, 9.0, 4.0))
    assert race(way(1.5), falling, PLAN) == (found := race(way(2.0), falling, PLAN))
    assert found.level
    assert (found.starts, found.luckiest) == (
        600,
        300,
    )  # the conventional best reaches its own 2.0 after 300 iterations
    worse = race(way(5.0), falling, PLAN)
    assert not worse.level
    assert (worse.starts, worse.luckiest) == (400, 200)  # the network ends at 5.0, where one start was after 200


def test_a_speedup_is_iterations_times_their_cost_over_the_network_way():
    """600 iterations of 3 ms against 100 ms + 110 ms."""
    found = race(way(1.0), reference((9.0, 5.0, 2.0), (9.0, 9.0, 4.0)), PLAN)
    assert speedups([found], TIMES, lucky=False) == pytest.approx([600 * 3 / 210])
    assert speedups([found], TIMES, lucky=True) == pytest.approx([300 * 3 / 210])
    assert TIMES.cost == pytest.approx(55)


def test_no_race_without_a_free_log_likelihood():
    """A modulus has none, a failed prediction neither."""
    assert race(way(None), reference((1.0,)), PLAN) is None
    assert race(way(1.0), reference(), PLAN) is None
    assert race(Way(why="empty"), reference((1.0,)), PLAN) is None
