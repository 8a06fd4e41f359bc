"""training.objectives.ptychopinn: the loss of eq. 3, and that the truth has the least of it."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from tests.training.objectives.scans import Told, groups_of
from training.objectives import build
from training.objectives.ptychopinn import excess
from training.transform import centre


def test_the_likelihood_is_scipys() -> None:
    """ln of the probability of the counts, less that of the counts as their own mean; zeros and 1e8 included."""
    expected = np.array([0.3, 2.0, 17.0, 1e4, 1e8, 5.0, 40.0])
    counts = np.array([0, 3, 20, 10_130, 100_020_000, 0, 3])
    wanted = poisson.logpmf(counts, np.maximum(counts, 1e-300)) - poisson.logpmf(counts, expected)
    found = excess(torch.tensor(expected, dtype=torch.float32), torch.tensor(counts, dtype=torch.float32))
    # float32 holds 1e8 to 8: both numbers are exact in it, and the DARK of 1e-6 changes nothing here
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4)


def test_its_slope_is_finite_where_nothing_is_expected() -> None:
    """1 - counts / expected, at the floor of the intensity."""
    expected = torch.tensor([0.0, 0.0, 4.0, 1e7], requires_grad=True)
    excess(expected, torch.tensor([0.0, 50.0, 2.0, 1.1e7])).sum().backward()  # type: ignore[no-untyped-call]
    assert expected.grad is not None
    assert torch.isfinite(expected.grad).all()
    assert expected.grad[[0, 2, 3]].tolist() == pytest.approx([1.0, 0.5, -0.1], rel=1e-3)


@pytest.mark.parametrize("options", [{"loss": "poisson"}, {"loss": "mae"}])
def test_the_true_object_has_the_least_loss(options: dict[str, Any]) -> None:
    """What is left is the noise of the photons; a network that knows the object but mirrors it is told so."""
    batch = groups_of(photons=1e8)
    objective = build("ptychopinn", **options)
    truth = centre(batch.patches, (8, 8))
    with torch.no_grad():
        loss, figures = objective(Told(truth), batch.features(("patterns",)), batch)
        mirrored, _ = objective(Told(truth.flip(-1)), batch.features(("patterns",)), batch)
    assert loss < 0.2 * mirrored
    assert figures["R"] < 0.05
    # the object is its own: what the truth is compared with is the truth
    assert figures["amplitude"] == pytest.approx(0, abs=1e-6)
    if options["loss"] == "poisson":
        # half a unit for every pixel that is bright, and less for the dark ones
        assert 0.01 < float(loss) * 1e8 / 256 < 0.6


def test_the_truth_does_not_teach() -> None:
    """While it learns, neither loss nor figures know of the object."""
    batch = groups_of(photons=1e6)
    network = Told(torch.ones(len(batch.counts), 4, 8, 8, dtype=torch.complex64))
    _, figures = build("ptychopinn")(network, batch.features(("patterns",)), batch)
    assert set(figures) == {"R", "chi2"}


def test_one_pattern_alone_is_a_group() -> None:
    """C = 1: nothing overlaps, and the loss is that of each pattern."""
    batch = groups_of(photons=1e6, neighbours=1)
    with torch.no_grad():
        loss, _ = build("ptychopinn")(Told(centre(batch.patches, (8, 8))), batch.features(("patterns",)), batch)
    assert float(loss) * 1e6 / 256 < 0.6
