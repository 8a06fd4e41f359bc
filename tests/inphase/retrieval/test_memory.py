"""Memory kept during a run, given back after it."""

import resource

import pytest
import torch

from inphase.retrieval import memory


def _faults(repeats: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        torch.empty(1 << 24).zero_()  # 64 MiB: above glibc's largest automatic threshold
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(memory._glibc is None, reason="only glibc gives its memory back this way")
def test_freed_pages_are_kept_and_then_given_back():
    """Repeated allocations fault once or twice until a hole is left that fits, then no more:
    under a third of the faults outside.

    An inner run that ends takes nothing from the outer one.
    """
    outside = _faults(12)
    with memory.kept_pages():
        with memory.kept_pages():
            _faults(3)
        inside = _faults(12)
    assert inside < outside / 3
    assert memory._runs == 0
