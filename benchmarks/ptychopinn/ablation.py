"""The ablation of Hoidn et al. (2023), supplementary table S1: what learning from patterns and what overlap does.

Their four cases: supervised or not, of single patterns or of four that overlap. Their text tells the outcome, their
code the figures.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev

from benchmarks.paper_scores import amplitude_scores
from benchmarks.ptychopinn.networks import TILE, Trained, kept, test_raster, tiled
from inphase.models.repository import Repository
from training.evaluate.tables import table

# by objective, patterns of a group and trainings: what it is, and the paper's PSNR and FRC50 of Lines
CASES = {
    ("ptychonn", 1, 2): ("supervised, single patterns: PtychoNN", "59.6", "22"),
    ("ptychopinn", 1, 2): ("from patterns, single ones", "59.7", "22"),
    ("ptychonn", 4, 2): ("supervised, four that overlap", "68.6", "66"),
    ("ptychopinn", 4, 2): ("from patterns, four that overlap: PtychoPINN", "72.6", "165"),
    ("ptychopinn", 4, 1): ("PtychoPINN behind the flat probe from the start", "-", "-"),
}

DIGITS = (4, 1, 0)  # of MAE, PSNR and FRC50


def ablation(models: Path) -> list[str]:
    """Mean and spread of each case over its trainings, which are all the versions in the repository."""
    repository = Repository(models)
    found = [Trained(version, "lines-flat") for name in repository.names() for version in repository.versions(name)]
    rows = []
    for case, (what, psnr, frc50) in CASES.items():
        those = [one for one in found if (one.settings.objective, one.raster.neighbours, len(one.runs)) == case]
        if those:
            minutes = mean(one.minutes for one in those)
            scores = [kept(f"ablation-{one.key}", partial(_scores, one)) for one in those]
            figures = [
                spread(values, digits) for values, digits in zip(zip(*scores, strict=True), (4, 1, 0), strict=True)
            ]
            rows.append([what, str(len(those)), f"{minutes:.1f}", *figures, psnr, frc50])
    head = ["what learns", "seeds", "min", "MAE A", "PSNR A", "FRC50 A", "PSNR A, paper", "FRC50 A, paper"]
    return [
        "## Ablation\n",
        "The paper's table S1 on Lines behind the flat probe, by its definitions, at a small budget that is about the "
        "same for all: each network learned behind the curved probe for a third of it, and behind the flat one after "
        "that, but for the last, which was begun there. Means over seeds, and the standard deviation of several:\n",
        *table(head, rows),
    ]


def spread(values: Sequence[float], digits: int) -> str:
    """The mean, and the standard deviation where there is one."""
    text = f"{mean(values):.{digits}f}"
    return f"{text} +- {stdev(values):.{digits}f}" if len(values) > 1 else text


def _scores(network: Trained) -> list[float]:
    """MAE, PSNR and FRC50 of the held-out object's amplitude."""
    score = amplitude_scores(*tiled(network, test_raster(network, network, TILE)))
    return [score.mae, score.psnr, score.frc50]
