"""training.networks.unet: folding, ranges, shapes."""

import math

import pytest
import torch

from training.networks import build
from training.networks.unet import central_half, depth_to_space, space_to_depth


def test_folding_is_lossless_and_local() -> None:
    """depth_to_space undoes space_to_depth, and a folded voxel holds its own 2^3 neighbourhood."""
    x = torch.randn(2, 3, 8, 4, 6)
    folded = space_to_depth(x)
    assert folded.shape == (2, 24, 4, 2, 3)
    assert torch.equal(depth_to_space(folded), x)
    assert set(folded[0, :8, 1, 0, 2].tolist()) == set(x[0, 0, 2:4, 0:2, 4:6].flatten().tolist())


def test_central_half_keeps_the_centre() -> None:
    """Voxel N // 2 becomes voxel N // 4 of the half."""
    x = torch.zeros(8, 8, 8)
    x[4, 4, 4] = 1
    assert central_half(x)[2, 2, 2] == 1


def test_network_predicts_a_box_within_its_ranges() -> None:
    """Amplitude in [0, 1], phase in (-pi, pi], of the central 32^3 box, for any batch size."""
    network = build("inphase-bcdi", widths=(16, 16, 32)).eval()
    for batch in (1, 3):
        with torch.no_grad():
            amplitude, phase = network(
                torch.rand(batch, 64, 64, 64), torch.ones(batch, 64, 64, 64), torch.randn(batch, 2, 64, 64, 64)
            )
        assert amplitude.shape == phase.shape == (batch, 32, 32, 32)
        assert 0 <= amplitude.min() <= amplitude.max() <= 1
        assert phase.abs().max() <= math.pi


def test_unknown_architecture_names_the_known_ones() -> None:
    """A typo is answered with the list."""
    with pytest.raises(KeyError, match="inphase-bcdi"):
        build("inphase-bdci")
