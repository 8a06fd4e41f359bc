"""training.finetune: a network goes on with measured crystals, without labels."""

from pathlib import Path

import pytest
import torch

from tests.training.objectives.scans import WINDOW
from tests.training.small import FILTERS, small
from training.data import sample
from training.experiment import Experiment
from training.finetune import finetune
from training.fit import fit
from training.settings import from_dict

pytestmark = FILTERS


def experiment(number: int) -> Experiment:
    made = sample(small(), 7, number, 1, torch.device("cpu"))
    return Experiment(made.measurement.intensity[0], made.measurement.mask[0], made.oversampling[0])


def test_a_network_goes_on_from_its_weights(tmp_path: Path) -> None:
    """At a rate of 1e-6 a step changes every weight by at most that, and chi2 of the other crystal hardly;
    both are told.
    """
    settings = small(architecture="autophasenn", network={"width": 4}, objective="autophasenn", average_decay=0.0)
    given = fit(settings, tmp_path / "fit", crystals=4)
    found = finetune(given, [experiment(0)], [experiment(1)], tmp_path / "tuned", rate=1e-6, crystals=4)
    before, after = (torch.load(path, weights_only=True)["state_dict"] for path in (given, found.checkpoint))
    weights = [name for name in before if name.startswith("network") and name.endswith("weight")]
    moved = [(after[name] - before[name]).abs().max().item() for name in weights]
    assert 0 < max(moved) <= 2.5e-6  # two steps of Adam, rounding
    assert len(found.before) == len(found.after) == 1
    kept = [name for name in before if name.startswith("average") and "running" in name]
    assert kept
    assert all(torch.equal(before[name], after[name]) for name in kept)  # of all crystals, not of the few
    assert found.after[0] == pytest.approx(found.before[0], rel=1e-3)
    assert found.after != found.before


def test_what_learned_from_labels_goes_on_without_them(tmp_path: Path) -> None:
    """The cascade has seen the truth; a measurement has none, so the modulus is what it goes on by,
    and the weights move.
    """
    given = fit(small(objective="correlation"), tmp_path / "fit", crystals=2)
    found = finetune(given, [experiment(0)], [experiment(1)], tmp_path / "tuned", rate=1e-4, crystals=4)
    tuned = torch.load(found.checkpoint, weights_only=True)
    assert tuned["hyper_parameters"]["settings"]["objective"] == "modulus"
    assert found.after != found.before


def test_a_network_of_scans_is_refused(tmp_path: Path) -> None:
    """Before anything is trained."""
    settings = from_dict({
        "frame": [WINDOW, WINDOW], "box": [8, 8], "architecture": "ptychopinn", "network": {"width": 2}, "batch": 2,
        "objective": "ptychopinn", "validation_crystals": 2, "raster": {"objects": 1, "side": 44},
    })  # fmt: skip
    given = fit(settings, tmp_path / "fit", crystals=2)
    with pytest.raises(ValueError, match="network of ptychographic scans"):
        finetune(given, [experiment(0)], [experiment(1)], tmp_path / "tuned", crystals=4)
