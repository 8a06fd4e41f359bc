"""The bookkeeping of the comparison of phase retrievals."""

from benchmarks.retrieval.trials import Result, Score, Task


def test_the_largest_cluster_counts_who_agrees_with_one():
    """0 agrees with 1 and 2, which do not agree with each other; 3 stands alone."""
    score = Score(None, 0.1, None, 100, None, 1.0)
    pairs = ((0, 1, 0.96), (0, 2, 0.95), (0, 3, 0.2), (1, 2, 0.94), (1, 3, 0.1), (2, 3, 0.1))
    assert Result(Task(0, None, "standard", 4), (score,) * 4, pairs).cluster == 3
