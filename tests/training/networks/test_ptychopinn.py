"""training.networks.ptychopinn: sizes and ranges of G."""

import math

import torch

from training.networks import build


def test_a_group_becomes_boxes_of_half_its_windows() -> None:
    """The N / 2 rule; the amplitude within [0, 1], the phase within a turn, a channel for each pattern."""
    torch.manual_seed(0)
    network = build("ptychopinn", neighbours=4, width=4)
    with torch.no_grad():
        for decoder in (network.amplitude, network.phase):
            decoder[-1].weight.mul_(1e4)  # type: ignore[index, union-attr]
        amplitude, phase = network(patterns=torch.rand(3, 4, 64, 64))
    assert amplitude.shape == phase.shape == (3, 4, 32, 32)
    assert 0 <= float(amplitude.min()) < 0.01 < 0.99 < float(amplitude.max()) <= 1
    assert 3 < float(phase.abs().max()) <= math.pi + 1e-6
    assert not torch.equal(amplitude[:, 0], amplitude[:, 3])


def test_the_papers_network_has_its_parameters() -> None:
    """Counted by hand from the filters 64, 128, 256 of the encoder, and 256, 128 of each decoder, and heads of four."""

    def conv(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs

    encoder = conv(4, 64) + conv(64, 64) + conv(64, 128) + conv(128, 128) + conv(128, 256) + conv(256, 256)
    decoder = 2 * conv(256, 256) + conv(256, 128) + conv(128, 128) + conv(128, 4)
    found = sum(weights.numel() for weights in build("ptychopinn").parameters())
    assert found == encoder + 2 * decoder == 4_400_776


def test_it_draws_the_whole_window_where_it_is_told_to() -> None:
    """One level more; all of the window depends on the pattern."""
    torch.manual_seed(0)
    network = build("ptychopinn", neighbours=1, width=4, whole=True)
    with torch.no_grad():
        one, other = (network(patterns=patterns) for patterns in torch.rand(2, 2, 1, 32, 32))
    assert one[0].shape == one[1].shape == (2, 1, 32, 32)
    assert (one[1] != other[1]).float().mean() > 0.99
