"""training.networks.ptychonn: sizes and ranges."""

import math

import torch

from training.networks import build


def test_a_pattern_becomes_an_image_of_its_window() -> None:
    """64^2 in, 64^2 out; the amplitude within [0, 1], the phase within a turn."""
    torch.manual_seed(0)
    amplitude, phase = build("ptychonn", width=2)(patterns=torch.rand(3, 1, 64, 64))
    assert amplitude.shape == phase.shape == (3, 1, 64, 64)
    assert 0 < float(amplitude.detach().min()) <= float(amplitude.detach().max()) < 1
    assert float(phase.detach().abs().max()) < math.pi


def test_the_papers_network_has_its_parameters() -> None:
    """1,247,074 weights are those of the published code's table."""
    assert sum(weights.numel() for weights in build("ptychonn").parameters()) == 1_247_074
