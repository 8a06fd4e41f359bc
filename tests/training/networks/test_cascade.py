"""training.networks.cascade: its projection, its shapes and ranges."""

import math

import pytest
import torch
from torch import Tensor

from tests.training.networks.pairs import pair
from training.networks import build
from training.networks.cascade import Cascade
from training.transform import embed, forward

FRAME = (64, 64, 64)


def small() -> Cascade:
    """A cascade of few weights."""
    torch.manual_seed(1)
    return Cascade(
        search=((2, 1, 3), (1, 1, 4)),
        corrections=2,
        patch=8,
        widths=(8, 8, 16),
        depths=(1, 1, 1),
        correction_widths=(8, 8),
    ).eval()


def features(batch: int) -> dict[str, Tensor]:
    """Something of the right shape."""
    return {
        "modulus": torch.rand(batch, *FRAME),
        "valid": torch.ones(batch, *FRAME),
        "autocorrelation": torch.randn(batch, 2, *FRAME),
    }


def test_projection_puts_the_measured_modulus_where_it_is_known() -> None:
    """The truth is left as it is, whatever its scale; where nothing is known nothing is asked; a random start gains."""
    crystal = torch.zeros(1, 32, 32, 32, dtype=torch.complex64)
    crystal[:, 8:24, 10:20, 9:25] = torch.exp(1j * torch.rand(1, 16, 10, 16))
    modulus = forward(embed(crystal, FRAME)).abs()
    known = (torch.rand(1, *FRAME) < 0.9).float()
    network = small()
    decay = torch.zeros(1, 3)
    left = network.projected(pair(3 * crystal), decay, modulus * known, known)
    assert torch.allclose(left, pair(3 * crystal), atol=1e-4)
    other = pair(torch.randn_like(crystal))
    assert torch.allclose(network.projected(other, decay, 0 * modulus, torch.zeros_like(known)), other, atol=1e-4)

    def chi2(box: Tensor) -> float:
        calculated = forward(embed(torch.complex(*box.unbind(1)), FRAME)).abs()
        scale = (calculated * modulus).sum() / calculated.square().sum()
        return float((scale * calculated - modulus).square().sum() / modulus.square().sum())

    assert chi2(network.projected(other, decay, modulus * known, known)) < 0.5 * chi2(
        other
    )  # the step of error reduction


def test_network_predicts_a_box_within_its_ranges() -> None:
    """Amplitude in [0, 1], phase in (-pi, pi], of the central 32^3 box, for any batch size;
    each step is one more object.
    """
    network = small()
    for batch in (1, 3):
        with torch.no_grad():
            amplitude, phase = network(**features(batch))
        assert amplitude.shape == phase.shape == (batch, 32, 32, 32)
        assert 0 <= amplitude.min() <= amplitude.max() <= 1
        assert phase.abs().max() <= math.pi
    assert [len(network.objects(**features(1), steps=steps)) for steps in (1, 2, None)] == [1, 2, 3]


def test_without_corrections_the_search_is_the_end() -> None:
    """The object is what the search found, with a largest amplitude of one; the U-Net's own is there as before."""
    torch.manual_seed(1)
    network = Cascade(search=((1, 1, 3),), corrections=0, patch=8, widths=(8, 8), depths=(1, 1)).eval()
    given = features(2)
    with torch.no_grad():
        drawn, ended = network.objects(**given)
        (alone,) = network.objects(**given, steps=1)
        found, _ = network.search(drawn, given["modulus"], (given["valid"] == 1).float())
        amplitude, _ = network(**given)
    assert torch.equal(alone, drawn)
    size = found.square().sum(1).sqrt()
    assert torch.allclose(ended.square().sum(1).sqrt(), size / size.amax((1, 2, 3), keepdim=True), atol=1e-6)
    assert torch.allclose(amplitude.amax((1, 2, 3)), torch.ones(2), atol=1e-5)


def test_unknown_architecture_names_the_known_ones() -> None:
    """A typo is answered with the list."""
    with pytest.raises(KeyError, match="inphase-bcdi"):
        build("inphase-bdci")
