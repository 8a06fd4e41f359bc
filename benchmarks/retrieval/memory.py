"""Peak memory of a retrieval, in a process of its own: python -m benchmarks.retrieval.memory SIDE RECIPE STARTS"""

import gc
import subprocess
import sys
from pathlib import Path

from benchmarks import ROOT

STATUS = Path("/proc/self/status")


def volumes(n: int, recipe: str, starts: int) -> float:
    """Peak resident memory beyond that of the warm program, in complex64 volumes of n^3:
    data, starts and results included.
    """
    command = [sys.executable, "-m", "benchmarks.retrieval.memory", str(n), recipe, str(starts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{recipe} at {n}^3 ended with {done.returncode}: {done.stderr[-500:]}")
    return float(done.stdout) / (8 * n**3)


def _status(key: str) -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


def _main(n: int, text: str, count: int) -> None:
    import numpy as np
    import torch

    from inphase.retrieval import recipe as recipes
    from inphase.retrieval.engine import retrieve
    from inphase.retrieval.problem import Problem
    from inphase.retrieval.starts import Starts

    torch.set_num_threads(1)  # one batch, whatever the number of starts
    recipe = recipes.resolve(text)

    def prepared(side: int, batch: int) -> tuple[Problem, Starts]:
        shape = (side, side, side)
        problem = Problem(np.ones(shape, np.float32), np.zeros(shape, np.uint8))
        support = np.zeros((batch, *shape), bool)
        quarter = side // 4
        support[:, quarter:-quarter, quarter:-quarter, quarter:-quarter] = True
        return problem, Starts(support.astype(np.complex64), support, "random")

    problem, starts = prepared(16, count)
    retrieve(problem, recipe, starts)  # compiles, plans, loads
    gc.collect()
    before = _status("VmRSS")
    problem, starts = prepared(n, count)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    retrieve(problem, recipe, starts)
    print(_status("VmHWM") - before)


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
