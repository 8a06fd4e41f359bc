"""benchmarks.search: what a table says of two versions on the same crystals."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.search import paired, shares
from inphase.models.repository import read_version

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize(("one", "other"), [(5, 0), (3, 4), (0, 0)])
def test_paired_counts_and_how_likely_so_uneven_a_difference_is(one: int, other: int) -> None:
    """Twice the tail of a fair coin's throws, one at most."""
    pairs = [(True, True)] * 7 + [(True, False)] * one + [(False, True)] * other + [(False, False)] * 2
    p = min(1.0, 2 * float(binom.cdf(min(one, other), one + other, 0.5)))
    assert paired(pairs) == ["7", str(one), str(other), "2", f"{p:.2f}"]


def test_the_shares_of_a_prediction_are_those_of_its_graph() -> None:
    """Before, within, between and after the loops of a search, all of it."""
    version = read_version(MODELS / "inphase-glance" / "1")
    pattern = {"modulus": (64, 64, 64), "valid": (64, 64, 64), "autocorrelation": (2, 64, 64, 64)}
    rows = list(shares(version, {name: np.ones((1, *shape), np.float32) for name, shape in pattern.items()}))
    parts = [row.split("|")[2].strip() for row in rows if "glance" in row]
    assert parts == ["before the loops", "loop 1", "between them", "loop 2", "after them"]
    assert sum(int(row.split("|")[4].strip(" %")) for row in rows if "glance" in row) == pytest.approx(100, abs=3)
