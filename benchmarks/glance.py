"""A glance beside the whole network: how long each takes for one pattern, and how near its image is to the truth.

python -m benchmarks.glance            # some five minutes on two cores
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from benchmarks import ROOT
from inphase.errors import DataError
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import begin
from inphase.models.repository import Repository
from inphase.models.session import Session, Sessions
from training.data import HELD_OUT_SEED
from training.evaluate.machine import header
from training.evaluate.scores import scored
from training.evaluate.sets import CrystalSet, Specimen, specimen
from training.evaluate.tables import number, table

GLANCE: Final = "inphase-glance"
WHOLE: Final = "inphase-bcdi"
CRYSTALS = CrystalSet("glance", "the training distribution, 1e5 to 1e9 photons", HELD_OUT_SEED + 72_001, (5, 6, 7, 8))
SANE = (0.5, 2.0)  # of the support's volume over the crystal's


@dataclass(frozen=True)
class Drawn:
    """What a network drew of one crystal, not refined."""

    ssim: float
    correlation: float
    clean_chi2: float
    support_ratio: float


def drawn(found: Specimen, session: Session, seed: int) -> Drawn | None:
    """None where it drew nothing."""
    prepared, _ = begin(found.scan, Options(preprocess="none", seed=seed), session, Clock())
    try:
        score = scored(prepared.guess, prepared, found.truth).score
    except DataError:
        return None
    against = score.against
    assert against is not None  # the truth of simulated crystals is known
    return Drawn(against.ssim, against.correlation, against.clean_chi2, against.support_ratio)


def images(name: str, session: Session, crystals: int) -> list[str]:
    """How good a network's images are."""
    ends = [drawn(specimen(CRYSTALS, index), session, index) for index in range(crystals)]
    there = [end for end in ends if end is not None]
    sane = sum(SANE[0] <= end.support_ratio <= SANE[1] for end in there)
    return [
        name,
        f"{statistics.median(end.ssim for end in there):.3f}",
        f"{np.percentile([end.ssim for end in there], 25):.3f}",
        f"{statistics.median(end.correlation for end in there):.3f}",
        f"{sum(end.correlation >= 0.95 for end in there)} of {crystals}",
        number(statistics.median(end.clean_chi2 for end in there)),
        f"{sane / crystals:.1%}",
    ]


def seconds(sessions: dict[str, Session], repeats: int) -> dict[str, list[float]]:
    """Of predictions of one pattern after the other, the networks in turns."""
    r = np.random.default_rng(0)
    given = {
        name: {put: r.random((1, *shape), dtype=np.float32) for put, shape in _inputs(session)}
        for name, session in sessions.items()
    }
    took: dict[str, list[float]] = {name: [] for name in sessions}
    for name in islice(cycle(sessions), repeats * len(sessions)):
        began = time.perf_counter()
        sessions[name].infer(given[name])
        took[name].append(time.perf_counter() - began)
    return {name: times[1:] for name, times in took.items()}


def _inputs(session: Session) -> Iterator[tuple[str, tuple[int, ...]]]:
    grid = tuple(session.version.card.grid)
    for name in session.version.card.inputs:
        yield name, (2, *grid) if name == "autocorrelation" else grid


def rows(threads: int, repeats: int) -> Iterator[list[str]]:
    """Times of both networks on so many threads."""
    sessions = Sessions(Repository(ROOT / "models", ""), threads)
    took = seconds({name: sessions.get(name) for name in (GLANCE, WHOLE)}, repeats)
    whole = statistics.median(took[WHOLE])
    for name, times in took.items():
        middle = statistics.median(times)
        yield [str(threads), name, f"{min(times) * 1e3:.0f}", f"{middle * 1e3:.0f}", f"{whole / middle:.1f}"]


def main(
    crystals: Annotated[int, typer.Option(help="So many held-out crystals are drawn.", min=4)] = 100,
    repeats: Annotated[int, typer.Option(help="So many predictions are timed.", min=3)] = 25,
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = ROOT
    / "benchmarks/results/glance.md",
) -> None:
    """Measure and write the tables.

    Example: python -m benchmarks.glance --crystals 20 --out /tmp/glance.md
    """
    times = [row for threads in (2, 1) for row in rows(threads, repeats)]
    sessions = Sessions(Repository(ROOT / "models", ""), 2)
    labels = [sessions.get(name).version.label for name in (GLANCE, WHOLE)]
    lines = [
        "# A glance beside the whole network\n",
        f"{header()}\n",
        f"Networks {' and '.join(labels)}, in turns in one process. One command makes this page: "
        "`python -m benchmarks.glance`.\n",
        "## One prediction of 64^3, without preparing and scoring\n",
        *table(["threads", "network", "least / ms", "median / ms", "the whole network takes, times"], times),
        f"## Its images, not refined: {crystals} simulated crystals that no training has seen\n",
        f"{CRYSTALS.what[0].upper()}{CRYSTALS.what[1:]}. Right: a complex correlation of 0.95 or more, modulo twin, "
        f"position and phase. Sane: the support has {SANE[0]:g} to {SANE[1]:g} times the crystal's volume.\n",
        *table(
            ["network", "SSIM, median", "lower quartile", "correlation, median", "right", "clean chi2", "sane"],
            [images(name, sessions.get(name), crystals) for name in (GLANCE, WHOLE)],
        ),
    ]
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
