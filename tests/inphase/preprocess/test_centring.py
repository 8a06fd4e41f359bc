"""The peak and the window."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.preprocess import grid
from inphase.preprocess.binning import binned
from inphase.preprocess.centring import window
from inphase.preprocess.core import core, find_peak
from tests.inphase.preprocess.simulated import counts, crystal, pattern

SHAPE = (61, 72, 80)


def test_the_peak_is_found_far_from_the_centre() -> None:
    """Within one voxel of the true maximum, for a peak a few voxels from two borders."""
    peak = (-20.0, 25.0, 31.0)
    raw = counts(crystal(4, SHAPE, (5.0, 4.0, 4.0), peak=peak).intensity, 1e6)
    found = find_peak(pattern(raw))
    expected = np.array(SHAPE) // 2 + np.array(peak)
    np.testing.assert_allclose(found, expected, atol=1.5)  # strain moves the maximum by up to a third of a fringe


@pytest.mark.parametrize("bins", [(1, 1, 1), (2, 2, 1), (3, 2, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_no_binned_voxel_exceeds_the_dc_voxel(bins: tuple[int, int, int], seed: int) -> None:
    """After cut and binning the maximum lies at N // 2, whatever the parity of bins and array and wherever the peak
    is.
    """
    place = tuple(np.random.default_rng(seed).uniform(-14, 14, 3))
    raw = pattern(counts(crystal(seed, SHAPE, (6.0, 5.0, 7.0), peak=place).intensity, 1e6))
    found = window(raw.shape, core(raw), bins, (16, 24, 18))
    done, _ = binned(grid.cut(raw, found)[0], bins)
    assert done.intensity[8, 12, 9] == done.intensity.max()


def test_the_window_may_reach_beyond_the_measurement() -> None:
    """A peak ten voxels from the border: the missing side is padding, its share reported, and no count wraps."""
    raw = pattern(counts(crystal(4, SHAPE, (5.0, 4.0, 4.0), peak=(0.0, -26.0, 0.0)).intensity, 1e6))
    found = window(raw.shape, core(raw), (1, 1, 1), (32, 48, 32))
    assert found.start[1] < 0
    assert found.measured[1] == pytest.approx((48 + found.start[1]) / 48)
    cut, _ = grid.cut(raw, found)
    assert (cut.mask[:, : -found.start[1]] == 2).all()
    inside = raw.intensity[
        found.start[0] : found.start[0] + 32, : 48 + found.start[1], found.start[2] : found.start[2] + 32
    ]
    assert cut.intensity.sum() == inside.sum()


def test_a_peak_at_the_border_is_refused() -> None:
    """Half of its central fringe was not measured: the message names axis and distance."""
    raw = pattern(counts(crystal(4, SHAPE, (5.0, 4.0, 4.0), peak=(0.0, -36.0, 0.0)).intensity, 1e6))
    with pytest.raises(DataError, match="border of axis 1"):
        window(raw.shape, core(raw), (1, 1, 1), (32, 48, 32), sigma=(5.0, 4.0, 4.0))


def test_a_neighbour_does_not_move_the_centre() -> None:
    """A second crystal with a third of the light, 25 voxels away, leaves the window where it was."""
    alone = crystal(4, SHAPE, (5.0, 4.0, 4.0), peak=(0.0, -10.0, 0.0)).intensity
    other = crystal(9, SHAPE, (6.0, 6.0, 5.0), peak=(3.0, 15.0, 9.0)).intensity
    first = pattern(counts(alone, 1e6))
    both = pattern(first.intensity + counts(other, 3e5))
    assert window(SHAPE, core(both), (1, 1, 1), (32, 32, 32)) == window(SHAPE, core(first), (1, 1, 1), (32, 32, 32))


def test_mass_is_the_centre_of_mass() -> None:
    """For two equal spots it is the middle, where "peak" takes one of them, and "array" the middle of the array."""
    raw = np.zeros((32, 32, 32), np.float32)
    raw[14:17, 10:13, 14:17] = raw[14:17, 18:21, 14:17] = 100
    surroundings = core(pattern(raw))
    sigma = (4.0, 4.0, 4.0)
    assert window(raw.shape, surroundings, (1, 1, 1), (16, 16, 16), "mass", sigma).centre == (15, 15, 15)
    assert window(raw.shape, surroundings, (1, 1, 1), (16, 16, 16), "peak", sigma).centre[1] in {10, 11, 12, 18, 19, 20}
    assert window(raw.shape, surroundings, (1, 1, 1), (16, 16, 16), "array", sigma).start == (8, 8, 8)
