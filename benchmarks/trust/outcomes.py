"""What became of each specimen: the library's report, and how near the image is to the truth.

    python -m benchmarks.trust.outcomes FOLDER --results 2000 --processes 2
    python -m benchmarks.trust.outcomes FOLDER --first 100000 --results 40 --processes 2

A folder keeps one file per result, so that an interrupted run goes on where it was. Results from number 100000 on take
the recipe of random starts, which costs ten times as much.
"""

import json
import os
import time
from argparse import ArgumentParser
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.trust.specimens import Kind, Specimen, specimen
from inphase import ambiguity
from inphase.errors import InphaseError
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options, Start
from inphase.imaging.refine import refine
from inphase.imaging.way import begin
from inphase.models.repository import Repository, default_root
from inphase.models.session import Sessions


@dataclass(frozen=True)
class Way:
    """How a specimen is reconstructed: recipe, kind of start, number of starts."""

    name: str
    start: Start
    refine: str
    starts: int


WAYS = (
    Way("network", "network", "fast", 1),
    Way("network", "network", "fast", 1),
    Way("network", "network", "fast", 1),
    Way("mixed", "mixed", "fast", 4),
    Way("network", "network", "fast", 1),
    Way("network", "network", "fast", 1),
    Way("random", "random", "coarse", 3),
    Way("network", "network", "fast", 1),
)
STANDARD = Way("standard", "random", "standard", 2)
STANDARD_FROM = 100_000


@dataclass(frozen=True)
class Task:
    """Result `number`: kinds take turns, so that any beginning of a run holds as many of each."""

    number: int

    @property
    def kind(self) -> Kind:
        """What is particular about its measurement."""
        return list(Kind)[self.number % len(Kind)]

    @property
    def seed(self) -> int:
        """Of the measurement within its kind."""
        return self.number // len(Kind)

    @property
    def way(self) -> Way:
        """Kinds and ways take turns with different periods."""
        return STANDARD if self.number >= STANDARD_FROM else WAYS[(self.number + self.seed) % len(WAYS)]


def outcome(task: Task, folder: Path) -> None:
    """Compute a result and keep it, unless it is kept."""
    kept = folder / f"{task.number:05d}.npz"
    if kept.exists():
        return
    begun = time.monotonic()
    made, way = specimen(task.kind, task.seed), task.way
    options = Options(
        domain=made.domain, refine=way.refine, start=way.start, starts=way.starts, seed=task.seed, grid="model"
    )
    facts = {"number": task.number, "kind": str(task.kind), "seed": task.seed, "way": way.name}
    drawn = time.monotonic() - begun
    try:
        arrays, more = _reconstructed(made, options)
    except InphaseError as error:
        arrays, more = {}, {"refused": str(error)}
    facts |= more | {"drawn_s": round(drawn, 2), "seconds": round(time.monotonic() - begun, 2)}
    scratch = kept.with_suffix(f".{os.getpid()}.tmp")
    with scratch.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)
    scratch.replace(kept)


def _reconstructed(made: Specimen, options: Options) -> tuple[dict[str, Any], dict[str, object]]:
    session = _sessions().get(None) if options.start != "random" else None
    prepared, report = begin(made.scan, options, session, Clock())
    result = refine(prepared, report, Clock())
    done = result.report.preprocess
    truth = made.truth(done.offset, done.binning, done.shape)
    _, found = ambiguity.align(result.object, truth)
    facts: dict[str, object] = {
        "correlation": found.score,
        "correlation_twin": found.score_other,
        "report": json.loads(result.report.to_json()),
    }
    arrays: dict[str, Any] = {
        "object": result.object.astype(np.complex64)[_box(result.support)],
        "support": np.packbits(result.support),
        "modulus": prepared.problem.modulus.astype(np.float32),
        "mask": prepared.problem.mask,
    }
    if "coherence_kernel" in result.arrays:
        arrays["kernel"] = result.arrays["coherence_kernel"]
    if prepared.prediction is not None:
        try:
            guess = prepared.guess
        except InphaseError:
            return arrays, facts
        _, found = ambiguity.align(guess.object, truth)
        facts["guess_correlation"] = found.score
        _, found = ambiguity.align(guess.object, result.object)
        facts["guess_result"] = found.score
        arrays["guess"] = guess.object[_box(guess.support)]
        arrays["guess_support"] = np.packbits(guess.support)
    return arrays, facts


def _box(support: NDArray[np.bool_]) -> tuple[slice, ...]:
    lines = [np.flatnonzero(support.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return tuple(slice(int(n[0]), int(n[-1]) + 1) for n in lines)


@cache
def _sessions() -> Sessions:
    """Loaded once a process."""
    return Sessions(Repository(default_root()), threads=1)


def main() -> None:
    """Compute what is missing, on some processes."""
    parser = ArgumentParser(
        description="Reconstruct simulated measurements whose truth is known.",
        epilog="Example: python -m benchmarks.trust.outcomes runs/trust --results 40 --processes 1",
    )
    parser.add_argument("folder", type=Path, help="Results are kept in this folder.")
    parser.add_argument("--first", type=int, default=0, help="The first result has this number (default 0).")
    parser.add_argument("--results", type=int, default=2000, help="So many results are made (default 2000).")
    parser.add_argument("--processes", type=int, default=2, help="So many are made at a time (default 2).")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        futures = [
            pool.submit(outcome, Task(n), options.folder) for n in range(options.first, options.first + options.results)
        ]
        for number, future in enumerate(as_completed(futures)):
            future.result()
            if number % 20 == 0:
                print(number, flush=True)


if __name__ == "__main__":
    main()
