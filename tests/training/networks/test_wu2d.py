"""training.networks.wu2d: the graph of the paper's figure 1."""

import math

import pytest
import torch
from torch import nn

from training.networks.wu2d import Wu2D


def test_a_pattern_becomes_an_image_of_half_its_side() -> None:
    """64^2 in, 32^2 out; the amplitude within [0, 1] and the phase within a turn, however large the last layers are."""
    torch.manual_seed(0)
    network = Wu2D((4, 8, 8, 16))
    with torch.no_grad():
        for decoder in (network.amplitude, network.phase):
            decoder[-2].weight.mul_(50)
    assert max(float(image.detach().max()) for image in network(torch.rand(3, 64, 64))) > 2 * math.pi
    amplitude, phase = network.eval()(torch.rand(3, 64, 64))
    assert amplitude.shape == phase.shape == (3, 32, 32)
    assert (float(amplitude.detach().min()), float(amplitude.detach().max())) == (0.0, 1.0)
    assert float(phase.detach().abs().max()) == pytest.approx(math.pi)


def test_each_decoder_has_its_half_of_the_code() -> None:
    """What the second half of the encoded channels holds changes the phase and not the amplitude."""
    torch.manual_seed(0)
    network = Wu2D((4, 8, 8, 16)).eval()
    pattern = torch.rand(1, 64, 64)
    before = network(pattern)
    network.encoder.register_forward_hook(lambda _, inputs, code: code + (torch.arange(16) >= 8).view(16, 1, 1))
    after = network(pattern)
    assert network.encoder(pattern[:, None]).shape == (1, 16, 4, 4)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_a_level_has_the_two_blocks_of_the_paper() -> None:
    """3 x 3, then 3 x 1 and 1 x 3, each of the two followed by leaky ReLU and batch normalisation."""
    level = Wu2D((4, 8)).encoder[0]
    assert isinstance(level, nn.Sequential)
    kernels = [layer.kernel_size for layer in level if isinstance(layer, nn.Conv2d)]
    assert kernels == [(3, 3), (3, 1), (1, 3)]
    kinds = [type(layer) for layer in level]
    assert kinds.count(nn.LeakyReLU) == kinds.count(nn.BatchNorm2d) == 2
