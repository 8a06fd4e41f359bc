"""training.networks.blocks: folding."""

import torch

from training.networks.blocks import depth_to_space, space_to_depth


def test_folding_is_lossless_and_local() -> None:
    """depth_to_space undoes space_to_depth, and a folded voxel holds its own 2^3 neighbourhood."""
    x = torch.randn(2, 3, 8, 4, 6)
    folded = space_to_depth(x)
    assert folded.shape == (2, 24, 4, 2, 3)
    assert torch.equal(depth_to_space(folded), x)
    assert set(folded[0, :8, 1, 0, 2].tolist()) == set(x[0, 0, 2:4, 0:2, 4:6].flatten().tolist())
