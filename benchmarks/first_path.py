"""The warm pipeline, stage by stage, from a raw rocking curve to an image, and what an iteration costs.

python -m benchmarks.first_path            # some two minutes on two cores

How good the images are: `inphase-train evaluate`.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks import ROOT
from inphase import formats
from inphase.imaging.clock import Clock
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.refine import refine
from inphase.imaging.way import begin
from inphase.models.repository import Repository
from inphase.models.session import Session, Sessions
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import random
from training.evaluate.machine import header
from training.evaluate.measurements import REAL_CASES, REAL_DATA, RealCase
from training.evaluate.tables import number, table


def real(case: RealCase, session: Session) -> Iterator[str]:
    """One measurement: how it was prepared, what the service answers by default,
    and the stages of the warm pipeline.
    """
    dark, flat = (REAL_DATA / name if name else None for name in (case.dark, case.flat))

    def once() -> tuple[PreparedPattern, Reconstruction, Clock]:
        clock = Clock()
        with clock("receive"):
            raw = formats.read(REAL_DATA / case.path, domain=case.options.domain, dark=dark, flat=flat, roi=case.roi)
        prepared, report = begin(raw, case.options, session, clock)
        return prepared, refine(prepared, report, clock), clock

    runs = [once() for _ in range(4)][1:]
    pattern, result, _ = runs[-1]
    report, clocks = result.report, [clock for _, _, clock in runs]
    prepared, final = report.preprocess, report.metrics.final
    assert final is not None  # refined
    yield f"## {case.title}\n"
    yield (
        f"Oversampling {', '.join(f'{s:.2f}' for s in report.oversampling.measured)} measured, "
        f"{', '.join(f'{s:.2f}' for s in report.oversampling.after)} after binning by {prepared.binning}; "
        f"{prepared.valid_fraction:.1%} of the measured range valid, {prepared.counts_inside:.1%} of the corrected "
        f"counts inside; Poisson noise alone leaves chi2 {number(pattern.noise_chi2)}; start: {report.start.kind} "
        f"({report.start.why}); chi2 {number(final.chi2)} at {final.support_voxels} voxels.\n"
    )
    stages = clocks[0].ms.keys()
    medians = [statistics.median(c.ms[stage] for c in clocks) for stage in stages]
    yield "Warm pipeline in process with `fast` and start=auto, median of 3, ms:\n"
    yield from table([*stages, "sum"], [[f"{m:.0f}" for m in [*medians, sum(medians)]]])


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def iteration_cost(n: int, repeats: int = 9) -> list[str]:
    """One ER iteration at n^3 over its two FFTs, measured alternately; medians."""
    generator = np.random.default_rng(0)
    problem = Problem(generator.random((n, n, n), dtype=np.float32), np.zeros((n, n, n), np.uint8))
    starts = random(problem, 1, 0)
    field = torch.randn(1, n, n, n, dtype=torch.complex64)
    dims = (1, 2, 3)
    short, long = recipes.parse("10*ER"), recipes.parse("50*ER")

    def transforms() -> None:
        with kept_pages():  # as the engine has it: without, the allocator alone would double the time of large FFTs
            for _ in range(40):
                torch.fft.ifftn(torch.fft.fftn(field, dim=dims), dim=dims)

    transforms()
    retrieve(problem, short, starts)
    iterations, pairs = [], []
    for _ in range(repeats):
        iterations.append(
            (seconds(lambda: retrieve(problem, long, starts)) - seconds(lambda: retrieve(problem, short, starts))) / 40
        )
        pairs.append(seconds(transforms) / 40)
    er, ffts = statistics.median(iterations), statistics.median(pairs)
    return [f"{n}^3", f"{er * 1e3:.2f}", f"{ffts * 1e3:.2f}", f"{er / ffts:.2f}"]


def main(
    model: Annotated[
        str, typer.Option(help="This network predicts the start, given as name or name@version.")
    ] = "inphase-bcdi",
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/first_path.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.first_path --out /tmp/first_path.md
    """
    session = Sessions(Repository(ROOT / "models", "")).get(model)
    lines = ["# The first path: from a rocking curve to an image\n", f"{header()}\n"]
    lines.append(
        f"Model {session.version.label} on {session.provider}. One command makes this page: `python -m "
        f"benchmarks.first_path`. `fast` is `{recipes.resolve('fast').text}`. How good the images are: "
        "[evaluation](evaluation.md).\n"
    )
    lines.append("## One ER iteration over its two FFTs\n")
    lines += table(["grid", "iteration / ms", "two FFTs / ms", "ratio"], [iteration_cost(64), iteration_cost(128)])
    for case in REAL_CASES:
        if not case.present:
            lines.append(f"## {case.title}\n\nNot measured: {case.path} is not below INPHASE_REAL_DATA.\n")
            continue
        lines += real(case, session)
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
