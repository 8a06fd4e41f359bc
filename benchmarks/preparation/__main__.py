"""How long a raw rocking curve takes to the grid, and a 64^3 body to its answer, here and in an earlier checkout.

git worktree add ../earlier COMMIT
python -m benchmarks.preparation --earlier ../earlier            # two minutes on two cores
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks import ROOT
from training.evaluate.machine import busyness, header
from training.evaluate.measurements import REAL_CASES, REAL_DATA
from training.evaluate.tables import table

SIDE: Final = Path(__file__).with_name("side.py")
SESSION: Final = "infer"  # the stage that is the network's
CURVES: Final = {
    "scan 54, model grid": "Scan 54 of 34-ID-C, raw int32 frames with bad-pixel map and flat field, on the model grid",
    "scan 54, finest grid": "The same with the finest grid that the counts are worth (`grid=auto`)",
    "modules": "A simulated curve of a detector of modules, uint16, its gaps marked with 65535, on the model grid",
}


@dataclass(frozen=True)
class Run:
    """What a side says of one run. ms: by stage. busy_ms: processor time of all threads.
    mib: the most memory beyond what it began with.
    """

    ms: dict[str, float]
    busy_ms: float
    mib: float
    digest: str


class Side:
    """A process that prepares with the code of one checkout."""

    def __init__(self, checkout: Path) -> None:
        known = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "INPHASE_REAL_DATA": str(REAL_DATA)}
        self._process = subprocess.Popen(
            [sys.executable, str(SIDE)], env=known, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, case: str) -> Run:
        """Once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{case}\n")
        self._process.stdin.flush()
        return Run(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Its input ends, and so does it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def turns(case: str, earlier: Side, here: Side, repeats: int) -> tuple[list[Run], list[Run]]:
    """Runs of the earlier checkout and of this one, in turns, after one of each that is not counted."""
    found = [(earlier.run(case), here.run(case)) for _ in range(repeats + 1)][1:]
    before, after = zip(*found, strict=True)
    return list(before), list(after)


def same(before: Sequence[Run], after: Sequence[Run]) -> str:
    """Whether every run of both has given the same."""
    return "yes" if len({run.digest for run in (*before, *after)}) == 1 else "NO"


def median(runs: Sequence[Run], *stages: str) -> str:
    """Of the sum of some stages, with the least and the largest."""
    sums = [sum(run.ms[stage] for stage in stages) for run in runs]
    return f"{statistics.median(sums):.0f} ({min(sums):.0f} to {max(sums):.0f})"


def curves(earlier: Side, here: Side, repeats: int) -> Iterator[str]:
    """The table of the rocking curves."""
    rows = []
    for case, title in CURVES.items():
        if case.startswith("scan 54") and not REAL_CASES[0].present:
            rows.append([title, *["not measured: no data"] * 7])
            continue
        before, after = turns(case, earlier, here, repeats)
        rows += [
            [
                title,
                name,
                median(runs, "decode"),
                median(runs, "preprocess"),
                median(runs, "decode", "preprocess"),
                f"{statistics.median(run.busy_ms for run in runs):.0f}",
                f"{statistics.median(run.mib for run in runs):.0f}",
                same(before, after),
            ]
            for name, runs in (("earlier", before), ("here", after))
        ]
    head = [
        "curve of 201 x 256 x 256",
        "code",
        "check, ms",
        "preprocessing, ms",
        "both, ms",
        "memory, MiB",
        "same output",
    ]
    yield from table(head, rows)


def body(earlier: Side, here: Side, repeats: int) -> Iterator[str]:
    """The table of the 64^3 body."""
    before, after = turns("body", earlier, here, repeats)
    stages = [stage for stage in after[0].ms if stage != SESSION]
    rows = [
        [name, *(median(runs, stage) for stage in stages), median(runs, *stages), same(before, after)]
        for name, runs in (("earlier", before), ("here", after))
    ]
    yield from table(["code", *(f"{stage}, ms" for stage in stages), "all but the session, ms", "same output"], rows)


def main(
    earlier: Annotated[Path, typer.Option(help="The checkout of an earlier commit that is compared with.")],
    repeats: Annotated[int, typer.Option(min=1, help="So many runs of each side are counted.")] = 5,
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/preparation.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.preparation --earlier ../earlier --out /tmp/preparation.md
    """
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=earlier, capture_output=True, text=True).stdout
    busy = busyness()
    with ExitStack() as stack:
        before, after = Side(earlier), Side(ROOT)
        for side in (before, after):
            stack.callback(side.close)
        lines = ["# From a raw curve to the grid, and a body to its answer\n", f"{header()}\n"]
        lines.append(
            f"The code of commit {commit.strip()} (earlier) and of this checkout (here), each in a process of its own, "
            f"in turns, {repeats} times after one that is not counted. Medians, with the least and the largest. "
            f"{busy} One command makes this page: `python -m "
            "benchmarks.preparation --earlier CHECKOUT`.\n"
        )
        lines.append(
            "The output is the same where every array has the same bits and the report the same numbers, times left "
            "out. The processors' time is that of all threads, which other programs change less than the time that "
            "passes. Memory is the most that a run took beyond the measurement itself.\n"
        )
        lines.append("## Rocking curves\n")
        lines += curves(before, after, repeats)
        lines.append("## A body of 64^3\n")
        lines.append(
            "The network's image as the answer (`refine=none`), in process: what is computed beside the run of the "
            "network.\n"
        )
        lines += body(before, after, repeats)
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
