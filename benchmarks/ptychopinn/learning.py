"""How the error of amplitudes fell while networks of scans learned."""

import csv
import math
from pathlib import Path

from training.evaluate.tables import table

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of all groups


def curves(runs: Path) -> list[str]:
    """A row for each training in the folder, NAME/learning_curve.tsv; nothing where there is none."""
    rows = [[path.parent.name, *_cells(path)] for path in sorted(runs.glob("*/learning_curve.tsv"))]
    if not rows:
        return []
    head = ["training", *(f"{share:.3g}" for share in SHARES)]
    return [
        "## Learning curves\n",
        "Root mean square error of the held-out amplitudes in dB below 1, where the probe lights them, before anything "
        "is stitched, after these shares of a training; in brackets the groups that it had seen:\n",
        *table(head, rows),
    ]


def _cells(path: Path) -> list[str]:
    """Of the validations that are nearest to the shares."""
    with path.open() as file:
        read = [(int(row["crystals"]), float(row["val_amplitude"])) for row in csv.DictReader(file, delimiter="\t")]
    groups = read[-1][0]
    nearest = [min(read, key=lambda one: abs(one[0] - share * groups)) for share in SHARES]
    return [f"{-20 * math.log10(error):.1f} ({seen:,})" for seen, error in nearest]
