"""What runs a network: how long each execution takes for one pattern, and whether its images are those of float32.

python -m benchmarks.providers         # some three minutes on two cores, with the wheel that is installed

Another wheel of onnxruntime is tried without installing it beside the first, which it would overwrite:

pip install --target /tmp/openvino --no-deps onnxruntime-openvino
PYTHONPATH=/tmp/openvino python -m benchmarks.providers
"""

import os
import statistics
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Final

import onnxruntime
import typer

from benchmarks import ROOT
from benchmarks.glance import CRYSTALS, drawn
from inphase.models.card import of_patterns
from inphase.models.execution import CPU, WANTED, Execution, has_bfloat16, ways
from inphase.models.families import single
from inphase.models.precision import TOLERANCE, chi2, specimen
from inphase.models.repository import DEFAULT, ModelError, ModelVersion, Repository
from inphase.models.session import Session
from training.evaluate.machine import busyness, header
from training.evaluate.sets import specimen as crystal
from training.evaluate.tables import number, table

SEEDS: Final = range(1, 9)  # other countings of the test pattern


def executions() -> list[Execution]:
    """Everything that the installed wheel has, the CPU first."""
    available = onnxruntime.get_available_providers()
    found = {way for wanted in WANTED for way in ways(wanted, available) if way.provider in available}
    return [CPU, *sorted(found - {CPU}, key=lambda way: way.label)]


def milliseconds(sessions: dict[Execution, Session], repeats: int) -> dict[Execution, list[float]]:
    """Of predictions of one pattern after the other, the executions in turns."""
    card = of_patterns(next(iter(sessions.values())).version.card)
    tensors = single.features(card, specimen(card), None)
    took: dict[Execution, list[float]] = {way: [] for way in sessions}
    for way in islice(cycle(sessions), repeats * len(sessions)):
        begun = time.perf_counter()
        sessions[way].infer(tensors)
        took[way].append((time.perf_counter() - begun) * 1e3)
    return {way: times[1:] for way, times in took.items()}


def loaded(version: ModelVersion, threads: int) -> tuple[dict[Execution, Session], list[str]]:
    """Warm sessions of a network, and what is to be said of executions that cannot have it."""
    sessions, said = {}, []
    for way in executions():
        try:
            sessions[way] = Session(version, threads, way)
            sessions[way].warm()
        except ModelError as error:
            said += [f"{way.label}: {error}", ""]
    return sessions, said


def rows(sessions: dict[Execution, Session], repeats: int, crystals: int) -> list[list[str]]:
    """Of one network."""
    version = sessions[CPU].version
    took = milliseconds(sessions, repeats)
    pattern = specimen(of_patterns(version.card))
    right = chi2(sessions[CPU], pattern)
    others = [chi2(sessions[CPU], specimen(of_patterns(version.card), seed)) for seed in SEEDS]
    found = [
        ["another counting of the photons, float32 on the CPU", "", "", number(statistics.median(others)),
         f"{max(abs(other / right - 1) for other in others):.2%}", "", ""]
    ]  # fmt: skip
    images = {
        way: [drawn(crystal(CRYSTALS, n), session, n) for n in range(crystals)] for way, session in sessions.items()
    }
    for way, session in sessions.items():
        here = chi2(session, pattern)
        pairs = [(a, b) for a, b in zip(images[way], images[CPU], strict=True) if a is not None and b is not None]
        found.append(
            [
                way.label,
                f"{min(took[way]):.0f}",
                f"{statistics.median(took[way]):.0f}",
                number(here),
                f"{abs(here / right - 1):.2%}",
                f"{statistics.median(a.ssim for a, _ in pairs):.4f}",
                f"{max(abs(a.clean_chi2 / b.clean_chi2 - 1) for a, b in pairs):.2%}",
            ]
        )
    return found


def main(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help=f"This network is measured, by default {DEFAULT}; repeat the option for several."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="So many predictions are timed.", min=3)] = 15,
    crystals: Annotated[int, typer.Option(help="So many held-out crystals are drawn.", min=2)] = 20,
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = ROOT
    / "benchmarks/results/providers.md",
) -> None:
    """Measure and write the tables.

    Example: python -m benchmarks.providers --model inphase-glance --crystals 4 --out /tmp/providers.md
    """
    threads, busy = len(os.sched_getaffinity(0)), busyness()
    columns = ["execution", "shortest / ms", "median / ms", "chi2 of the test pattern", "differs by",
               "SSIM to the truth, median", "chi2 differs at most by"]  # fmt: skip
    lines = [
        "# What runs a network", "", header(), f"What ran is onnxruntime {onnxruntime.__version__} with "
        f"{', '.join(onnxruntime.get_available_providers())}. This processor multiplies "
        f"{'' if has_bfloat16() else 'no '}bfloat16. "
        f"{busy} Where others compute meanwhile, the shortest times say more than the medians. One command makes this "
        f"page: `python -m benchmarks.providers --repeats {repeats} --crystals {crystals}`, with a "
        "`--model` for each network.", "",
        f"One pattern, {threads} threads, {repeats} predictions each, the executions in turns. The test pattern is the "
        f"one that a network is tried with when it is loaded, where {TOLERANCE:.0%} is tolerated; the last two columns "
        f"are of {crystals} held-out crystals of the training distribution, not refined, the last one against the CPU "
        "in float32.",
        "",
    ]  # fmt: skip
    for name in models or [DEFAULT]:
        version = Repository(ROOT / "models", "").resolve(name)
        sessions, said = loaded(version, threads)
        lines += [f"## {version.label}", "", *table(columns, rows(sessions, repeats, crystals)), *said]
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
