"""The compiler's cache."""

import numba
import pytest

from inphase.retrieval import sweeps


def test_a_read_only_installation_compiles_without_a_cache(monkeypatch):
    """numba refuses to cache where it may not write; the sweep then works uncached instead of failing at import."""
    njit = numba.njit

    def refusing(*args, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(numba, "njit", refusing)

    @sweeps.compiled
    def double(x: float) -> float:
        return 2 * x

    assert double(1.5) == pytest.approx(3.0)
