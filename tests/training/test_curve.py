"""training.curve: what a run learned, against what it cost."""

import csv
from pathlib import Path

import pytest

from tests.training.small import FILTERS, small
from training.fit import fit

pytestmark = FILTERS


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "learning_curve.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_each_validation_is_a_row_and_a_run_that_goes_on_appends(tmp_path: Path) -> None:
    """Of steps, crystals and seconds that grow, with the figures of the log, likeness among them; one heading."""
    settings = small(
        architecture="autophasenn", network={"width": 4}, objective="autophasenn", average_decay=0.0, schedule="plateau"
    )
    fit(settings, tmp_path, crystals=8)
    first = rows(tmp_path)
    assert [(row["step"], row["crystals"]) for row in first][:2] == [("2", "4"), ("4", "8")]
    fit(settings, tmp_path, crystals=12)
    both = rows(tmp_path)
    assert both[: len(first)] == first
    assert (both[-1]["step"], both[-1]["crystals"]) == ("6", "12")
    seconds = [int(row["seconds"]) for row in both]
    assert seconds == sorted(seconds)
    with (tmp_path / "log" / "version_1" / "metrics.csv").open() as file:
        logged = [row for row in csv.DictReader(file) if row["val_chi2"]][-1]
    for name in ("val_loss", "val_chi2", "val_likeness"):
        assert float(both[-1][name]) == pytest.approx(float(logged[name]), rel=1e-4)
