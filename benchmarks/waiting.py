"""How threads should wait for each other: spinning or asleep, on idle cores and beside other processes.

python -m benchmarks.waiting            # some five minutes of the machine

Compute processes of the service sleep (`service.jobs.settings.for_compute`).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import typer

from benchmarks import ROOT
from training.data import HELD_OUT_SEED
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table

RESULTS: Final = ROOT / "benchmarks" / "results"
SEED: Final = HELD_OUT_SEED + 73_001  # of no other page
TURNS: Final = 2
NEIGHBOURS: Final = (0, 4)
WAYS: Final = {
    "spinning (OpenMP's default)": {},
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
_TASK: Final = "from benchmarks.waiting import {0}; {0}()"
_BUSY: Final = "while True: sum(range(100_000))"


@dataclass(frozen=True)
class Took:
    """Seconds of the clock and of all threads."""

    wall: float
    cpu: float


def retrieval() -> None:
    """120 iterations of a volume of 64 x 64 x 64, one start; prints what they took."""
    import inphase
    from training.evaluate.sets import CrystalSet, specimen

    scan = specimen(CrystalSet("1e7", "the training distribution", SEED, (7,)), 0).scan
    recipe: dict[str, Any] = {
        "refine": "120*RAAR | SW(every=8)",
        "start": "random",
        "starts": 1,
        "grid": "model",
        "preprocess": "none",
    }
    _told(lambda: inphase.reconstruct(scan, **recipe))


def ptychography() -> None:
    """8 iterations of ePIE on patterns of 64 x 64; prints what they took."""
    from inphase import ptycho
    from training.simulate.ptychography import scene

    of = scene(side=64, frames=20, photons=1e7)
    measured = ptycho.from_arrays(of.counts, of.positions, probe=of.probe)
    _told(lambda: ptycho.reconstruct(measured, ptycho.Options("8*EPIE", turn=False)))


def _told(task: Callable[[], object]) -> None:
    """The second run of the task, in which nothing is compiled or loaded."""
    task()
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many other processes that never wait."""
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def took(task: str, way: str) -> Took:
    """A run of the task in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-W", "ignore", "-c", _TASK.format(task)]
    done = subprocess.run(command, env=environment | WAYS[way], cwd=ROOT, check=True, capture_output=True, text=True)
    return Took(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure in turns and write benchmarks/results/waiting.md."""
    lines = [
        "# Threads that wait",
        "",
        header(),
        busyness(),
        "",
        "`python -m benchmarks.waiting` makes this page. Seconds of the clock, and of all threads in brackets, of one "
        f"task in a process of its own, the best of {TURNS} in turns; alone, and beside processes that never wait.",
        "",
    ]
    rows = []
    for count in NEIGHBOURS:
        for task in (retrieval.__name__, ptychography.__name__):
            with neighbours(count):
                found = [{way: took(task, way) for way in WAYS} for _ in range(TURNS)]
            best = [min((turn[way] for turn in found), key=lambda one: one.wall) for way in WAYS]
            rows.append([task, str(count), *(f"{one.wall:.2f} ({one.cpu:.2f})" for one in best)])
    lines += table(["task", "other processes", *WAYS], rows)
    (RESULTS / "waiting.md").write_text("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
