"""inphase.ptycho.groups: which frames lie to each other as a network was taught."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.ptycho.groups import neighbours

SQUARE = np.array([(-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0)])
RASTER = 4.0 * np.stack(np.meshgrid(np.arange(6), np.arange(5), indexing="ij"), -1).reshape(-1, 2)


def test_groups_are_the_squares_of_a_raster_in_the_order_of_the_channels() -> None:
    """5 x 4 of them, whatever the order of the frames and although positions are off by less than a pixel."""
    generator = np.random.default_rng(0)
    order = generator.permutation(len(RASTER))
    positions = (RASTER + 100)[order] + generator.uniform(-0.3, 0.3, RASTER.shape)
    groups = neighbours(positions, SQUARE)
    assert len(groups) == 20
    for group in groups:
        np.testing.assert_allclose(positions[group] - positions[group].mean(axis=0), SQUARE, atol=1)
    assert {frozenset(order[group].tolist()) for group in groups} == {
        frozenset((i, i + 1, i + 5, i + 6)) for i in range(24) if i % 5 < 4
    }


def test_frames_without_neighbours_are_in_no_group() -> None:
    """Where a frame was lost, the four squares that it belongs to are lost."""
    groups = neighbours(np.delete(RASTER, 12, axis=0), SQUARE)
    assert len(groups) == 16


def test_for_networks_of_single_patterns_every_frame_is_a_group() -> None:
    """In their order."""
    np.testing.assert_array_equal(neighbours(RASTER, np.zeros((1, 2))), np.arange(30)[:, None])


@pytest.mark.parametrize("step", [1.5, 0.7])
def test_a_scan_of_other_steps_is_refused(step: float) -> None:
    """With the steps that the network knows."""
    with pytest.raises(DataError, match=r"lie 4 pixels from each other, and only \d+ of 30 frames"):
        neighbours(step * RASTER, SQUARE)
