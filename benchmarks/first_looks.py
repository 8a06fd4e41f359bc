"""The first look at a live ptychographic scan from nothing and from a network: iterations and seconds to an equal R of
frames that no solver saw.

python -m benchmarks.first_looks --models FOLDER --model ptychonn           # about two minutes of one core
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import typer

from benchmarks.live.curves import RESULTS
from inphase import ptycho
from inphase.live.growth import BEGIN, FIRST
from inphase.models.repository import Repository
from inphase.models.session import Session
from inphase.ptycho.prediction import Drawn, drawn, of_scans
from training.data import HELD_OUT_SEED
from training.evaluate.machine import header
from training.evaluate.tables import table
from training.settings import FitSettings, from_dict
from training.simulate.raster import RasterSettings, scan

STEPS: Final = (4, 8, 12)  # pixels between neighbours
OBJECTS: Final = 3
MOST: Final = 20  # iterations, as many as FIRST has
HELD_OUT: Final = 0.1

commands = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Course:
    """R of the held-out frames after 0, 1, 2, ... iterations, and CPU seconds of so many."""

    r: list[float]
    seconds: list[float]

    @classmethod
    def of(cls, measured: ptycho.Measurement, start: Drawn | None) -> "Course":
        """From nothing, or from what a network has drawn."""
        found = [_after(measured, count, start) for count in range(MOST + 1)]
        return cls([r for r, _ in found], [seconds for _, seconds in found])


@dataclass(frozen=True)
class Begun:
    """One object. drawing_s: CPU seconds of the network's image before the iterations."""

    nothing: Course
    network: Course
    drawing_s: float

    @property
    def enough(self) -> int | None:
        """Iterations from the network after which R is that of all of them from nothing."""
        return next((n for n, r in enumerate(self.network.r) if r <= self.nothing.r[-1]), None)

    @property
    def enough_s(self) -> float | None:
        """CPU seconds of drawing and of these iterations."""
        return None if self.enough is None else self.drawing_s + self.network.seconds[self.enough]


def begun(session: Session, raster: RasterSettings, seed: int, step: int) -> Begun:
    """As many frames as a first look has, of a square of an object that the network has not seen."""
    card = of_scans(session.version.card)
    settings = replace(raster, objects=1, step=step, stride=step, neighbours=1)
    of = scan(settings, card.grid[0], seed, card.scale)
    positions = of.windows[:, 1:].astype(np.float64)
    here = (positions < round(BEGIN**0.5) * step).all(axis=1)
    measured = ptycho.from_arrays(of.counts[here], positions[here], probe=of.probe)
    began = time.process_time()
    found = drawn(measured, session)
    drawing_s = time.process_time() - began
    return Begun(Course.of(measured, None), Course.of(measured, found), drawing_s)


def _after(measured: ptycho.Measurement, count: int, start: Drawn | None) -> tuple[float, float]:
    """R of the frames held out, and CPU seconds."""
    if start is None and not count:
        return float("nan"), 0.0
    options = ptycho.Options(f"{count}*EPIE" if count else "none", turn=False, hold_out=HELD_OUT)
    began = time.process_time()
    report = ptycho.reconstruct(measured, options, start=start).report
    assert report.r_held_out is not None
    return report.r_held_out, time.process_time() - began


def row(step: int, runs: list[Begun]) -> list[str]:
    """Medians over objects."""

    def median(values: list[float | None], digits: int) -> str:
        known = [value for value in values if value is not None]
        return f"{np.median(known):.{digits}f}" if len(known) == len(values) else "-"

    return [
        str(step),
        median([run.network.r[0] for run in runs], 4),
        median([run.nothing.r[-1] for run in runs], 4),
        median([run.network.r[-1] for run in runs], 4),
        median([run.enough for run in runs], 0),
        median([run.nothing.seconds[-1] for run in runs], 2),
        median([run.drawing_s for run in runs], 2),
        median([run.enough_s for run in runs], 2),
    ]


@commands.command()
def main(
    models: Annotated[Path, typer.Option(help="This model repository has the network.")],
    model: Annotated[str, typer.Option(help="The network draws single patterns: name or name@version.")],
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = RESULTS / "first_looks.md",
) -> None:
    """Compare first looks from nothing and from a network on simulated scans.

    Example: python -m benchmarks.first_looks --models /tmp/models --model ptychonn --out /tmp/first_looks.md
    """
    torch.set_num_threads(1)
    session = Session(Repository(models).resolve(model), threads=1)
    told = session.version.content["training"]
    settings = from_dict(told["settings"])
    assert settings.raster is not None
    rows = []
    for step in STEPS:
        runs = [begun(session, settings.raster, HELD_OUT_SEED + 1 + number, step) for number in range(OBJECTS)]
        rows.append(row(step, runs))
        typer.echo(" | ".join(rows[-1]))
    out.write_text("\n".join(_page(rows, settings, f"--models FOLDER --model {model}")))


def _page(rows: list[list[str]], settings: FitSettings, asked: str) -> list[str]:
    raster = settings.raster
    assert raster is not None
    heads = [
        "step", "R, network's image", f"R, {MOST} from nothing", f"R, {MOST} from network", "iterations to equal R",
        f"s, {MOST} from nothing", "s, drawing", "s, drawing and iterations to equal R",
    ]  # fmt: skip
    return [
        "# First looks from a network\n",
        f"{header()}\n",
        f"One command makes this page: `python -m benchmarks.first_looks {asked}`, with a network that\n",
        f"    inphase-train fit --config training/configs/{settings.architecture}-small.yaml --crystals "
        f"{settings.budget} --set raster.texture={raster.texture} --set raster.phase={str(raster.phase).lower()}\n",
        f"has trained. A first look has {BEGIN} frames at most and makes `{FIRST}`. Here it sees a square of {BEGIN} "
        f"frames of {settings.frame[0]} x {settings.frame[1]} pixels, of an object that the network has not seen, in "
        "steps of as many pixels as the table says. R is that of the tenth of the frames that no solver saw. "
        "Iterations are those of ePIE; those to equal R are from the network until R is that from nothing after all "
        "of them, and where one of the objects does not come to it in as many, there is none. "
        f"Seconds are CPU time of one thread. Medians of {OBJECTS} objects.\n",
        *table(heads, rows),
        "",
    ]


if __name__ == "__main__":
    commands()
