"""training.objectives.outline: what lies within a crystal, whichever twin, and what is said of the objects."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_closing
from torch import Tensor

from training.data import Sample, sample
from training.networks.network import Network
from training.objectives.outline import Outline, filled
from training.objectives.truth import twins
from training.settings import FitSettings
from training.simulate.domains import DomainSettings

SETTINGS = FitSettings(frame=(64, 64), box=(32, 32), domains=DomainSettings(domains=(6, 6)))


class Told(Network):
    """A network that answers what it is told."""

    inputs = ("autocorrelation",)

    def __init__(self, inside: Tensor, objects: Tensor) -> None:
        super().__init__()
        self.logits, self.objects = 20 * (inside - 0.5), objects

    def outline(self, autocorrelation: Tensor) -> Tensor:
        return self.logits

    def forward(self, autocorrelation: Tensor) -> tuple[Tensor, Tensor]:
        return self.objects.abs(), self.objects.angle()


@pytest.fixture(scope="module")
def batch() -> Sample:
    return sample(SETTINGS, 5, 0, 6, torch.device("cpu"))


def judged(batch: Sample, network: Network) -> tuple[float, dict[str, float]]:
    with torch.no_grad():
        loss, figures = Outline()(network, batch.features(network.inputs), batch)
    return float(loss), {name: float(value) for name, value in figures.items()}


@pytest.mark.parametrize("turned", [False, True])
def test_either_twin_is_right(batch: Sample, turned: bool) -> None:
    """The entropy of logits of 10 is exp(-10); the object and its twin are found to an eighth of a pixel."""
    objects = twins(batch.objects) if turned else batch.objects
    loss, figures = judged(batch, Told(filled(objects.abs(), 0.25), objects))
    assert loss == pytest.approx(np.exp(-10), rel=1e-2)
    assert figures["overlap"] == 1
    assert figures["success"] == 1
    assert figures["correlation"] > 0.999
    assert figures["chi2"] < 1e-3


def test_a_wrong_outline_costs_its_pixels(batch: Sample) -> None:
    """Ten nats for each pixel that is missing, over all pixels; the overlap is what is left of the crystal."""
    wanted = filled(batch.objects.abs(), 0.25)
    cut = wanted.clone()
    cut[:, 16:] = 0
    loss, figures = judged(batch, Told(cut, batch.objects))
    flipped = wanted.flip((1, 2)).roll((1, 1), (1, 2))
    missing = torch.minimum((cut != wanted).sum((1, 2)), (cut != flipped).sum((1, 2)))
    assert loss == pytest.approx(float(missing.float().mean()) * 10 / 32**2, rel=1e-3)
    assert 0.3 < figures["overlap"] < 0.7


def test_walls_are_within() -> None:
    """A crack of two pixels is closed as scipy closes it, and what is brighter than the edge stays."""
    amplitude = torch.zeros(1, 32, 32)
    amplitude[:, 8:24, 6:26] = 1
    amplitude[:, 8:24, 14:16] = 0.1
    amplitude[0, 12, 28] = 0.3
    expected = binary_closing(amplitude[0] > 0.25, np.ones((3, 3)))
    np.testing.assert_array_equal(filled(amplitude, 0.25)[0] > 0, expected)
    assert expected[8:24, 14:16].all()


def test_training_does_not_run_the_iterations(batch: Sample) -> None:
    network = Told(filled(batch.objects.abs(), 0.25), batch.objects)
    _, figures = Outline()(network, batch.features(network.inputs), batch)
    assert set(figures) == {"overlap"}
