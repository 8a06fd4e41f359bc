"""training.groups: which patterns a batch has."""

import numpy as np
import pytest
import torch

from tests.training.objectives.scans import WINDOW, settings
from training.groups import chosen, groups, scans

CPU = torch.device("cpu")


def test_a_batch_is_what_the_scan_has() -> None:
    """Counts and patches of the windows of its groups, and where these lie from their centroid."""
    of = scans(settings(), WINDOW, 0)
    batch = chosen(of, np.array([5]), CPU)
    for k, number in enumerate(of.groups[5]):
        at, row, column = of.windows[number]
        wanted = of.objects[at, row : row + WINDOW, column : column + WINDOW]
        np.testing.assert_array_equal(batch.patches[0, k].numpy(), wanted)
        np.testing.assert_array_equal(batch.counts[0, k].numpy(), of.counts[number])
    assert batch.offsets[0].tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    shown = batch.features(("patterns",))["patterns"]
    torch.testing.assert_close((shown * batch.scale) ** 2, batch.counts)


def test_every_group_comes_once_before_any_comes_again() -> None:
    """In an order that depends on the seed and the epoch; a number is a batch."""
    of = scans(settings(), WINDOW, 0)
    per_epoch = len(of.groups) // 8

    def seen(seed: int, epoch: int) -> list[float]:
        numbers = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        return [float(c) for n in numbers for c in groups(of, seed, n, 8, CPU).counts.double().sum((1, 2, 3))]

    first = seen(0, 0)
    assert len(set(first)) == len(first) == per_epoch * 8
    assert first == seen(0, 0)
    assert first != seen(0, 1)
    with pytest.raises(ValueError, match="a batch takes"):
        groups(of, 0, 0, 10_000, CPU)


def test_held_out_objects_are_others_in_the_same_beam() -> None:
    """No object of the training, and the scale of the training."""
    of, other = scans(settings(), WINDOW, 0), scans(settings(), WINDOW, 0, 900_000)
    assert len(other.objects) == 1
    assert not np.isclose(other.objects[0], of.objects).all(axis=(1, 2)).any()
    assert other.scale == of.scale
    np.testing.assert_array_equal(other.probe, of.probe)
