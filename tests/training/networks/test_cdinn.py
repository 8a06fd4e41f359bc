"""training.networks.cdinn: the paper's tensors, ranges, dropout."""

import math

import pytest
import torch

from training.networks import build


def test_its_code_is_that_of_the_paper() -> None:
    """32^3 in, 16^3 x 64, 8^3 x 128, 4^3 x 256, 32^3 out, within the ranges of the heads."""
    network = build("cdinn").eval()
    shapes = [tuple(network.encoder[:k](torch.rand(1, 1, 32, 32, 32)).shape[1:]) for k in (3, 5, 7)]
    assert shapes == [(64, 16, 16, 16), (128, 8, 8, 8), (256, 4, 4, 4)]
    with torch.no_grad():
        amplitude, phase = network(reduced=torch.rand(2, 32, 32, 32))
    assert amplitude.shape == phase.shape == (2, 32, 32, 32)
    assert 0 < amplitude.min() <= amplitude.max() < 1
    assert phase.abs().max() <= math.pi


@pytest.mark.parametrize("bias", [0.5, 40.0, -300.0])
def test_a_phase_leads_back_from_wherever_it_is(bias: float) -> None:
    """In turns of 2 pi, with the slope that it has around 0: a phase far off is as easily mended as one near by."""
    network = build("cdinn", widths=(8, 16, 32), dropout=0.0)
    head = network.phase[-1]
    assert isinstance(head, torch.nn.Conv3d)
    assert head.bias is not None
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(bias)
    phase = network(reduced=torch.rand(1, 16, 16, 16))[1]
    assert torch.allclose(phase, torch.tensor(math.remainder(bias, 2 * math.pi)), atol=1e-4)  # of 300, single precision
    phase.mean().backward()
    assert head.bias.grad is not None
    assert head.bias.grad.item() == pytest.approx(1.0)


def test_it_fits_a_model_version() -> None:
    """In half precision below 14 MiB."""
    assert 2 * sum(p.numel() for p in build("cdinn").parameters()) < 14 * 2**20


def test_neurons_are_dropped_in_training_only() -> None:
    """Two predictions differ in training mode and are one in evaluation mode."""
    network, reduced = build("cdinn", widths=(8, 16, 32)), torch.rand(1, 16, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network(reduced)[0], network(reduced)[0])
        network.eval()
        assert torch.equal(network(reduced)[0], network(reduced)[0])
