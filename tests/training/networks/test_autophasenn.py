"""training.networks.autophasenn: the published size, shapes, ranges."""

import math

import torch

from training.networks import build, predict


def test_it_has_the_parameters_of_the_published_network() -> None:
    """6,975,362, as its authors' PyTorch code prints."""
    assert sum(p.numel() for p in build("autophasenn").parameters()) == 6_975_362


def test_it_predicts_the_box_from_the_modulus_alone() -> None:
    """Half the frame per axis, within the ranges of its heads, whatever else is among the features."""
    network = build("autophasenn", width=4).eval()
    with torch.no_grad():
        amplitude, phase = predict(network, {"modulus": torch.rand(2, 32, 32, 32), "valid": torch.zeros(2)})
    assert amplitude.shape == phase.shape == (2, 16, 16, 16)
    assert 0 < amplitude.min() <= amplitude.max() < 1
    assert phase.abs().max() < math.pi
