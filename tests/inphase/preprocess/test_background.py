"""Flat background."""

import numpy as np
import pytest

from inphase.preprocess import background
from tests.inphase.preprocess.simulated import counts, crystal, pattern


@pytest.mark.parametrize("level", [0.01, 0.2, 5.0])
def test_a_flat_background_is_found(level: float) -> None:
    """Estimated within 10 %, plus the crystal's own tails in the far field:
    0.003 counts per voxel at a million photons.
    """
    raw = counts(crystal(5, (96, 96, 96), (5.0, 4.0, 3.0)).intensity, 1e6, background=level)
    assert background.estimate(pattern(raw)) == pytest.approx(level + 0.0015, rel=0.1, abs=0.002)


def test_no_background_is_not_invented() -> None:
    """Without background less than 2e-4 of a crystal's counts would be subtracted near its peak."""
    raw = counts(crystal(5, (96, 96, 96), (5.0, 4.0, 3.0)).intensity, 1e5)
    level = background.estimate(pattern(raw))
    assert level * 9**3 < 2e-4 * 1e5


def test_masked_voxels_do_not_count() -> None:
    """A gap of zeros does not pull the estimate down."""
    raw = np.full((64, 64, 64), 2)
    gap = np.zeros((64, 64, 64), bool)
    gap[:, 20:40] = True
    found = background.estimate(pattern(np.where(gap, 0, raw), gap))
    assert found == pytest.approx(2 + 1.2816 * np.sqrt(2 / 8**3), rel=1e-3)  # what is added for noise, in 8^3 blocks


def test_subtraction_clips_at_zero() -> None:
    """Nothing becomes negative, and the peak loses only the level."""
    done, report = background.subtract(pattern(np.array([[[0.0, 1.0, 3.0, 1000.0]]])), 2.0)
    np.testing.assert_array_equal(done.intensity, [[[0, 0, 1, 998]]])
    assert report.numbers["removed_share"] == pytest.approx(5 / 1004)


def test_what_was_subtracted_before_is_not_subtracted_again() -> None:
    """Where the far field is noise about zero there is no background left;
    clipping leaves nothing below zero and the rest alone.
    """
    raw = np.random.default_rng(2).normal(-0.01, 0.4, (64, 64, 64)).astype(np.float32)
    measured = pattern(raw)
    assert background.estimate(measured) == 0.0
    np.testing.assert_array_equal(background.clipped(measured).intensity, np.maximum(raw, 0))
    counted = pattern(np.abs(raw))
    assert background.clipped(counted) is counted
