"""Which of two images is nearer to the truth, the network's own or what `fast` makes of it, and which one is returned.

python -m benchmarks.kept            # some five minutes on two cores

The service returns the network's own image where it fits the hidden voxels better (docs/decisions/0044).
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import ROOT
from inphase.imaging.candidates import retrieved
from inphase.imaging.clock import Clock
from inphase.imaging.options import FAST, Options
from inphase.imaging.refine import overfitted
from inphase.imaging.way import begin
from inphase.models.repository import Repository
from inphase.models.session import Session, Sessions
from training.data import HELD_OUT_SEED
from training.evaluate.machine import header
from training.evaluate.scores import Against, Score, scored
from training.evaluate.sets import CrystalSet, specimen
from training.evaluate.tables import number, table

SEED = HELD_OUT_SEED + 71_001  # of no other page
DECADES = (4, 5, 6, 7)


@dataclass(frozen=True)
class Pair:
    """The scores of one crystal's two images. keeps: whether the network's own is returned."""

    network: Score
    refined: Score
    keeps: bool

    @property
    def returned(self) -> Score:
        """That of the image that the service returns."""
        return self.network if self.keeps else self.refined


def pairs(decade: int, crystals: int, session: Session) -> Iterator[Pair]:
    """Crystals with 10^decade to 10^(decade + 1) photons; without those of which the network draws nothing."""
    of = CrystalSet(f"1e{decade}", "the training distribution", SEED + decade, (decade,))
    for index in range(crystals):
        found = specimen(of, index)
        prepared, report = begin(found.scan, Options(preprocess="none", seed=index), session, Clock())
        if report.start.kind != "network":
            continue
        (ended,) = retrieved(prepared, FAST, prepared.network_start())
        guess, refined = prepared.guess, ended.candidate
        network, after = (scored(candidate, prepared, found.truth).score for candidate in (guess, refined))
        yield Pair(network, after, overfitted(guess, refined))


def against(score: Score) -> Against:
    """The comparison with the truth, which simulated crystals have."""
    assert score.against is not None
    return score.against


def rows(decade: int, found: Sequence[Pair]) -> Iterator[list[str]]:
    """A row for each way of choosing."""
    ways: dict[str, Callable[[Pair], Score]] = {
        "the network's own image": lambda pair: pair.network,
        "refined by `fast`": lambda pair: pair.refined,
        "the one that is returned": lambda pair: pair.returned,
    }
    for name, score in ways.items():
        ends = [against(score(pair)) for pair in found]
        correlations = [end.correlation for end in ends]
        yield [
            f"1e{decade} to 1e{decade + 1}, {len(found)} crystals",
            name,
            f"{statistics.median(correlations):.3f}",
            f"{statistics.fmean(correlations):.4f}",
            f"{statistics.median(end.ssim for end in ends):.3f}",
            number(statistics.fmean(end.clean_chi2 for end in ends)),
        ]


def choices(decade: int, found: Sequence[Pair]) -> list[str]:
    """How often the choice is right."""
    gains = [against(p.network).correlation - against(p.refined).correlation for p in found]
    kept = [gain for gain, pair in zip(gains, found, strict=True) if pair.keeps]
    return [
        f"1e{decade} to 1e{decade + 1}",
        f"{sum(gain > 0 for gain in gains)} of {len(found)}",
        str(len(kept)),
        str(sum(gain > 0 for gain in kept)),
    ]


def main(
    crystals: Annotated[int, typer.Option(help="So many crystals are drawn in each decade.", min=1)] = 24,
    model: Annotated[str, typer.Option(help="This network draws, given as name or name@version.")] = "inphase-bcdi",
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/kept.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.kept --crystals 4 --out /tmp/kept.md
    """
    session = Sessions(Repository(ROOT / "models", "")).get(model)
    found = {}
    for decade in DECADES:
        found[decade] = list(pairs(decade, crystals, session))
        typer.echo(f"1e{decade}: {len(found[decade])} crystals")
    lines = [
        "# The network's own image, or the refined one\n",
        f"{header()}\n",
        f"Model {session.version.label}, recipe `fast`, simulated crystals of the training distribution that no "
        "training has seen. The free log-likelihood of both images decides which of them is returned. One command "
        "makes this page: `python -m benchmarks.kept`. Correlation: complex, modulo twin, position and phase. Clean "
        "chi2: on the modulus without noise.\n",
    ]
    header_row = ["photons", "image", "correlation, median", "mean", "SSIM, median", "clean chi2, mean"]
    lines += table(header_row, [row for decade in DECADES for row in rows(decade, found[decade])])
    lines.append("## How often the choice is right\n")
    lines += table(
        ["photons", "the network's own is nearer to the truth", "it is returned", "and is nearer then"],
        [choices(decade, found[decade]) for decade in DECADES],
    )
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
