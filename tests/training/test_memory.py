"""training.memory: what is freed stays with the process."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from training.memory import keep_freed
from training.networks import build
if {kept}:
    assert keep_freed()
torch.set_num_threads(1)
network, modulus = build("autophasenn", width=4), torch.rand(1, 64, 64, 64)
faults = []
for _ in range(8):
    amplitude, phase = network(modulus)
    (amplitude.sum() + phase.sum()).backward()
    network.zero_grad()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[-4])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again() -> None:
    """Once the process has what a training step needs, the next steps touch hardly a new page;
    by default each starts anew.
    """
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", FAULTS.format(kept=k)], capture_output=True, check=True).stdout)
        for k in (True, False)
    )
    assert kept < given_back / 4
