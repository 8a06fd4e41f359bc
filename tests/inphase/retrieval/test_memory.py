"""Memory kept during a run, given back after it."""

import resource
import subprocess
import sys

import pytest
import torch

from inphase.machine import machine_bytes
from inphase.retrieval import memory

FAULTS = """
import resource, torch
from inphase.retrieval.memory import keep_pages, kept_pages
if {kept}:
    keep_pages()
    with kept_pages():
        torch.empty(1 << 24).zero_()
for steps in (16, 12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        torch.empty(1 << 24).zero_()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(repeats: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        torch.empty(1 << 24).zero_()  # 64 MiB: above glibc's largest automatic threshold
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(memory._glibc is None, reason="only glibc gives its memory back this way")
def test_freed_pages_are_kept_and_then_given_back():
    """Repeated allocations fault until a hole is left that fits, then hardly more: under a third of the faults outside.

    An inner run that ends takes nothing from the outer one.
    """
    outside = _faults(12)
    with memory.kept_pages():
        with memory.kept_pages():
            _faults(12)
        inside = _faults(12)
    assert inside < outside / 3
    assert memory._runs == 0


@pytest.mark.skipif(memory._glibc is None, reason="only glibc gives its memory back this way")
def test_pages_of_a_training_are_kept_for_good() -> None:
    """By default each array of 64 MiB touches its pages anew.

    Kept, also after a run within the process has ended, the first eight at most find holes that are a little too small
    for them; later ones touch hardly a new page.
    """
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", FAULTS.format(kept=k)], capture_output=True, check=True).stdout)
        for k in (True, False)
    )
    assert kept < given_back / 12


def test_free_memory_is_what_limit_and_machine_leave() -> None:
    """Below the machine's, and less by what is allocated under a limit of the process's data."""
    assert 0 < memory.free_bytes("cpu") <= machine_bytes()
    code = """
import resource, numpy as np
from inphase.retrieval.memory import free_bytes
resource.setrlimit(resource.RLIMIT_DATA, (2**30, resource.RLIM_INFINITY))
before = free_bytes("cpu")
held = np.ones(2**24)
print(before, free_bytes("cpu"))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = (int(number) for number in answer.split())
    assert before < 2**30
    assert before - after == pytest.approx(2**27, rel=0.05)
