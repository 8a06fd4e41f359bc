"""benchmarks.ptychopinn.ablation: how several seeds are told."""

from benchmarks.ptychopinn.ablation import spread


def test_several_seeds_have_a_spread_and_one_has_none() -> None:
    """Of 1, 2 and 3 the mean is 2, and their standard deviation about it, one degree of freedom less, is 1."""
    assert spread([1.0, 2.0, 3.0], 1) == "2.0 +- 1.0"
    assert spread([0.04567], 4) == "0.0457"
