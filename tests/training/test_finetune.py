"""training.finetune: a network goes on with measured crystals, and only one that needs no labels."""

from pathlib import Path

import pytest
import torch

from tests.training.test_fit import FILTERS, small
from training.data import sample
from training.experiment import Experiment
from training.finetune import finetune
from training.fit import fit

pytestmark = FILTERS


def experiment(number: int) -> Experiment:
    made = sample(small(), 7, number, 1, torch.device("cpu"))
    return Experiment(made.measurement.intensity[0], made.measurement.mask[0], made.oversampling[0])


def test_a_network_goes_on_from_its_weights(tmp_path: Path) -> None:
    """At a rate of 1e-6 a step changes every weight by at most that, and chi2 of the other crystal hardly; both are told."""
    settings = small(architecture="autophasenn", network={"width": 4}, objective="autophasenn", average_decay=0.0)
    given = fit(settings, tmp_path / "fit", crystals=4)
    found = finetune(given, [experiment(0)], [experiment(1)], tmp_path / "tuned", rate=1e-6, crystals=4)
    before, after = (
        {k: v for k, v in torch.load(path, weights_only=True)["state_dict"].items() if k.startswith("network")}
        for path in (given, found.checkpoint)
    )
    moved = [(after[k] - v).abs().max().item() for k, v in before.items() if k.endswith("weight")]
    assert 0 < max(moved) <= 2.5e-6  # two steps of Adam, rounding
    assert len(found.before) == len(found.after) == 1
    assert found.after[0] == pytest.approx(found.before[0], rel=0.2)  # batch statistics move too
    assert found.after != found.before


def test_labels_are_asked_for(tmp_path: Path) -> None:
    """A network that learns from the truth cannot learn from a measurement."""
    supervised = small(architecture="cdinn", network={"widths": [8, 16, 32]}, objective="cdinn")
    given = fit(supervised, tmp_path / "fit", crystals=2)
    with pytest.raises(ValueError, match="learns from labels"):
        finetune(given, [experiment(0)], [experiment(1)], tmp_path / "tuned", crystals=2)
