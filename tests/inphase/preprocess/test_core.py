"""Filling holes around the peak."""

import numpy as np
import pytest

from inphase.preprocess.core import core
from tests.inphase.preprocess.simulated import counts, crystal, pattern

SHAPE = (64, 96, 96)


def test_without_holes_the_counts_are_taken_as_they_are() -> None:
    """Only the background is subtracted, and the box starts where it says."""
    raw = counts(crystal(2, SHAPE, (4.0, 4.0, 4.0), peak=(0.0, 20.0, -5.0)).intensity, 1e6)
    around = core(pattern(raw), 0.5)
    box = tuple(slice(s, s + n) for s, n in zip(around.start, around.intensity.shape, strict=True))
    np.testing.assert_array_equal(around.intensity, raw[box].astype(np.float32) - np.float32(0.5))


@pytest.mark.parametrize(("width", "offset", "error"), [(2, 0, 0.05), (4, 0, 0.15), (4, 5, 0.25), (6, 8, 0.8)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_gap_is_filled_from_what_sampling_allows(width: int, offset: int, error: float, axis: int) -> None:
    """Relative error of the sum of differences inside the gap, sigma about 5 across it: small across the peak, where
    the light is, and growing with the number of fringes (width / sigma) that the gap hides. The Gaussian mean alone is
    at 0.6.
    """
    truth = counts(crystal(2, SHAPE, (5.0, 5.0, 5.0)).intensity, 1e8)
    spot = np.unravel_index(int(truth.argmax()), truth.shape)
    gap = np.zeros(SHAPE, bool)
    first = int(spot[axis]) + offset - width // 2
    np.moveaxis(gap, axis, 0)[first : first + width] = True
    around = core(pattern(truth, gap))
    assert around.start == (0, 0, 0)
    assert np.abs(around.intensity - truth)[gap].sum() < error * truth[gap].sum()


def test_the_peak_is_found_inside_a_gap() -> None:
    """Four silent columns over the maximum: the filled core has its peak within one voxel of the truth."""
    truth = counts(crystal(2, SHAPE, (5.0, 5.0, 5.0)).intensity, 1e7)
    spot = np.unravel_index(int(truth.argmax()), truth.shape)
    gap = np.zeros(SHAPE, bool)
    gap[:, :, spot[2] - 1 : spot[2] + 3] = True
    np.testing.assert_allclose(core(pattern(truth, gap)).peak, spot, atol=1)
