"""These commands measure the claims of the 3D-CDI-NN paper: python -m benchmarks.networks"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from inphase import ambiguity
from inphase.features import volume_features
from inphase.imaging.candidates import retrieved
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.way import begin
from inphase.models.repository import Repository
from inphase.models.session import Session
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.starts import random
from training.data import HELD_OUT_SEED
from training.evaluate.machine import header
from training.evaluate.measurements import REAL_CASES, measured
from training.evaluate.scores import Score, scored
from training.evaluate.sets import CrystalSet, specimen
from training.evaluate.tables import number, table
from training.simulate.crystals import CrystalSettings

RESULTS = ROOT / "benchmarks" / "results"
BASELINE = "cdinn-620"
SHRINK = "SW(every=50,threshold=0.15,sigma=1)"  # as in the authors' refinement
WEAK = CrystalSet(
    "weak strain", "phases of 0.05 to 0.2 rad rms, 1e6 to 1e9 photons", HELD_OUT_SEED + 200, (6, 7, 8),
    crystals=CrystalSettings(phase_rms=(0.05, 0.2), strain_free=0.0),
)  # fmt: skip
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
Models = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="The networks are read from this model repository.")
]


@dataclass(frozen=True)
class Arm:
    """One way to an image on one core: seconds, and what came out."""

    name: str
    seconds: float
    score: Score


@app.command(epilog="Example: python -m benchmarks.networks cdinn --model cdinn@1 --starts 5")
def cdinn(
    model: Annotated[str, typer.Option(help="This network is measured, given as name[@version].")] = "cdinn",
    starts: Annotated[int, typer.Option(min=1, help="The baseline takes so many random starts.")] = 5,
    models: Models = ROOT / "models",
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = RESULTS / "cdinn.md",
) -> None:
    """Compare prediction and automatic differentiation with 620 ER/HIO iterations, on one core, on real crystals."""
    torch.set_num_threads(1)
    version = Repository(models, model).resolve(None)
    session = Session(version, threads=1)
    session.warm()
    lines = [f"# Automatic differentiation from {version.label}, one core", "", header(), ""]
    with kept_pages():
        for case in REAL_CASES:
            if case.present:
                lines += [f"## {case.title}", "", *_compared(measured(case, session), session, starts)]
    _write(lines, out)


def _compared(pattern: PreparedPattern, session: Session, starts: int) -> Iterator[str]:
    retrieved(pattern, "ER+HIO+2*ADAM | SW(every=1) | AVERAGE(last=2)", pattern.network_start())  # compiles
    prediction = _prediction_s(session, pattern)
    alone = Arm("network alone", prediction, scored(pattern.guess, pattern, None).score)
    arms = [alone]
    for recipe in (f"100*ADAM | {SHRINK}", f"300*ADAM | {SHRINK}", f"1000*ADAM | {SHRINK}"):
        started = time.perf_counter()
        (found,) = retrieved(pattern, recipe, pattern.network_start())
        seconds = prediction + time.perf_counter() - started
        arms.append(Arm(f"network, {recipe}", seconds, scored(found.candidate, pattern, None).score))
    runs = []
    for seed in range(starts):
        started = time.perf_counter()
        (found,) = retrieved(pattern, BASELINE, random(pattern.problem, 1, seed))
        runs.append(Arm(BASELINE, time.perf_counter() - started, scored(found.candidate, pattern, None).score))
    runs.sort(key=lambda run: run.score.chi2)
    seconds = statistics.median(run.seconds for run in runs)
    arms += [
        Arm(f"random start, {BASELINE}, median of {starts}", seconds, runs[len(runs) // 2].score),
        Arm(f"random start, {BASELINE}, best of {starts}", seconds, runs[0].score),
    ]
    rows = [
        [
            arm.name, number(arm.seconds), number(seconds / arm.seconds), number(arm.score.chi2),
            str(arm.score.support_voxels), number(arm.score.free_llk),
        ]
        for arm in arms
    ]  # fmt: skip
    columns = ["way", "s per run", f"times faster than one {BASELINE}", "chi2", "support", "free LLK"]
    yield from table(columns, rows)


def _prediction_s(session: Session, pattern: PreparedPattern) -> float:
    """Seconds of one prediction with its features, median of seven."""
    problem, card = pattern.problem, session.version.card
    found = []
    for _ in range(7):
        started = time.perf_counter()
        session.infer(volume_features(problem.modulus**2, problem.mask, problem.free, card.inputs))
        found.append(time.perf_counter() - started)
    return statistics.median(found)


@app.command(
    epilog="Example: python -m benchmarks.networks strain --model cdinn@1 --model cdinn-strained@1 --crystals 96"
)
def strain(
    model: Annotated[
        list[str],
        typer.Option(help="This network is measured, given as name[@version]; repeat the option for several."),
    ],
    crystals: Annotated[int, typer.Option(min=3, help="So many weakly strained held-out crystals are predicted.")] = 96,
    models: Models = ROOT / "models",
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = RESULTS / "weak_strain.md",
) -> None:
    """Count how often a network gives the twin, and how far it over-predicts the phase of weakly strained crystals.

    To see what crystals without strain teach, train twice, the second time with --set crystals.strain_free=0.
    """
    rows = []
    for reference in model:
        version = Repository(models, reference).resolve(None)
        session = Session(version, threads=1)
        found = [_weak(session, i) for i in range(crystals)]
        ratios = [weak.predicted / weak.true for weak in found]
        decided = [weak.twin for weak in found if weak.twin is not None]
        rows.append([
            version.label,
            str(version.card.training.get("settings", {}).get("crystals", {}).get("strain_free", "-")),
            f"{sum(decided)} of {len(decided)}",
            number(statistics.median(weak.true for weak in found)),
            number(statistics.median(weak.predicted for weak in found)),
            number(statistics.median(ratios)),
            f"{sum(ratio > 1 for ratio in ratios)} of {len(ratios)}",
        ])  # fmt: skip
    columns = [
        "model", "share without strain in training", "twins, where decided", "true phase (rad rms, median)",
        "predicted", "predicted / true, median", "over-predicted",
    ]  # fmt: skip
    _write(
        ["# Weakly strained crystals, networks alone", "", header(), "", WEAK.what + ".", "", *table(columns, rows)],
        out,
    )


@dataclass(frozen=True)
class Weak:
    """One crystal: phases in rad rms within it, without offset and ramp;
    whether the twin came, None where it makes no difference.
    """

    true: float
    predicted: float
    twin: bool | None


def _weak(session: Session, i: int) -> Weak:
    made = specimen(WEAK, i)
    guess = begin(made.scan, Options(), session, Clock())[0].guess
    aligned, alignment = ambiguity.align(guess.object, made.truth.object)
    crystal = made.truth.crystal
    true, predicted = (_rms_phase(np.where(crystal, obj, 0)) for obj in (made.truth.object, aligned))
    return Weak(true, predicted, None if alignment.undecided else alignment.twin)


def _rms_phase(obj: NDArray[np.complexfloating]) -> float:
    flat, _ = ambiguity.flattened(obj)
    inside = np.abs(obj) > 0
    return float(np.sqrt(np.mean(np.angle(flat[inside]) ** 2)))


def _write(lines: list[str], out: Path) -> None:
    typer.echo("\n".join(lines))
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    app()
