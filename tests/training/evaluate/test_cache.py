"""Results are computed once, and are on disk whole or not at all."""

from dataclasses import dataclass

import numpy as np
import pytest

from training.evaluate.cache import cached, code, digest


@dataclass(frozen=True)
class Found:
    """Nested like what is stored."""

    value: float
    pairs: tuple[tuple[int, float], ...]


def test_a_result_is_computed_once_and_read_back_equal(tmp_path):
    """The second call reads what the first one wrote: values with their types, arrays with theirs."""
    made, array = Found(0.1 + 0.2, ((1, 2.5), (10, 1e-30))), np.arange(6, dtype=np.complex64).reshape(2, 3)
    calls = []

    def compute():
        calls.append(1)
        return made, {"slice": array}

    for _ in range(2):
        found, arrays = cached(tmp_path / "new", "name", Found, compute)
        assert found == made
        np.testing.assert_array_equal(arrays["slice"], array)
        assert arrays["slice"].dtype == np.complex64
    assert len(calls) == 1


def test_what_was_interrupted_leaves_nothing(tmp_path):
    """A computation that fails is tried again."""

    def fails():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "name", Found, fails)
    assert not list(tmp_path.iterdir())


def test_whatever_decides_a_result_is_in_its_name():
    """Other numbers, another order, or a text split elsewhere give another digest; source files count by content."""
    names = {digest("ab", "c"), digest("a", "bc"), digest("c", "ab"), digest(np.arange(3)), digest(np.arange(3) + 1)}
    assert len(names) == 5
    assert code("inphase/metrics.py") != code("inphase/ambiguity.py")
    assert code("inphase/metrics.py") == code("inphase/metrics.py")
