"""training.objectives.ptychonn: errors where there is light."""

from dataclasses import replace

import pytest
import torch

from tests.training.objectives.scans import WINDOW, Told, groups_of
from training.objectives import build


def test_the_truth_has_no_loss() -> None:
    """On boxes of the whole window."""
    batch = groups_of(neighbours=1, probe="curved")
    loss, figures = build("ptychonn")(Told(batch.patches), batch.features(("patterns",)), batch)
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert figures["chi2"] < 1e-3  # photon noise


def test_errors_in_the_dark_do_not_count_and_others_are_their_mean() -> None:
    """An amplitude that is wrong by 0.1 where the probe is has the loss 0.1, and in a corner none."""
    batch = groups_of(neighbours=1)
    dark = batch.probe.abs() == 0
    assert 0.2 < float(dark.float().mean()) < 0.9
    for wrong, expected in ((dark, 0.0), (~dark, 0.1)):
        told = torch.polar(batch.patches.abs() + 0.1 * wrong, batch.patches.angle())
        loss, _ = build("ptychonn")(Told(told), batch.features(("patterns",)), batch)
        assert float(loss) == pytest.approx(expected, abs=1e-5)
    assert batch.window == (WINDOW, WINDOW)


def test_a_measured_scan_has_no_truth_to_learn_from() -> None:
    """Which is said."""
    batch = replace(groups_of(neighbours=1), patches=None)
    with pytest.raises(ValueError, match="learns from simulated ones"):
        build("ptychonn")(Told(batch.counts + 0j), batch.features(("patterns",)), batch)
