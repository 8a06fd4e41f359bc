"""Memory kept during a run, given back after it."""

import subprocess
import sys

import pytest

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


RUNS = """
import resource, torch
from inphase.retrieval import memory

def faults(repeats):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        torch.empty(1 << 24).zero_()  # 64 MiB: above glibc's largest automatic threshold
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
outside = faults(12)
with memory.kept_pages():
    with memory.kept_pages():
        faults(12)
    inside = faults(12)
print(outside, inside, memory._runs)
"""


@pytest.mark.skipif(memory._glibc is None, reason="only glibc gives its memory back this way")
def test_freed_pages_are_kept_and_then_given_back() -> None:
    """Repeated allocations fault until a hole is left that fits, then hardly more: under a third of the faults outside.

    An inner run that ends takes nothing from the outer one. In a process of its own, whose heap nobody else has used.
    """
    answer = subprocess.run([sys.executable, "-c", RUNS], capture_output=True, text=True, check=True).stdout
    outside, inside, runs = map(int, answer.split())
    assert inside < outside / 3
    assert runs == 0


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
