"""Sum-binning of intensity and mask."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.pattern import MaskState, Pattern
from inphase.preprocess.binning import binned
from inphase.preprocess.blocks import block_sums, valid_sums
from tests.inphase.preprocess.simulated import pattern

BINS = (2, 3, 4)


def by_hand(volume: np.ndarray, bins: tuple[int, int, int]) -> np.ndarray:
    a, b, c = (n // k for n, k in zip(volume.shape, bins, strict=True))
    return volume.reshape(a, bins[0], b, bins[1], c, bins[2]).sum(axis=(1, 3, 5))


def test_counts_are_conserved() -> None:
    """Each bin holds the sum of its voxels."""
    raw = np.random.default_rng(0).poisson(5, (8, 12, 16))
    done, _ = binned(pattern(raw), BINS)
    np.testing.assert_array_equal(done.intensity, by_hand(raw, BINS))
    assert done.valid.all()


def test_block_sums_keep_a_cut_off_block() -> None:
    """Where the shape is no multiple the last block sums what there is: the total is kept."""
    raw = np.random.default_rng(0).poisson(5, (7, 11, 13)).astype(np.float32)
    done = block_sums(raw, BINS)
    assert done.shape == (4, 4, 4)
    assert done.sum() == raw.sum()
    assert done[-1, -1, -1] == raw[6:, 9:, 12:].sum()


def test_half_valid_bins_are_scaled_and_others_masked() -> None:
    """At least half valid: the sum scaled to the full bin. Less: MASKED, or PADDING where padding prevails."""
    raw = np.full((4, 4, 4), 10.0, np.float32)
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[:2, :2, :2].flat[:4] = MaskState.MASKED
    mask[2:, :2, :2].flat[:5] = MaskState.MASKED
    mask[:2, 2:, :2] = MaskState.PADDING
    mask[2:, 2:, :2].flat[:5] = [1, 1, 2, 2, 2]
    mask[:2, :2, 2:].flat[:5] = [1, 1, 1, 2, 2]
    done, report = binned(Pattern(np.where(mask == 0, raw, np.float32(0)), mask), (2, 2, 2))
    assert done.mask[:, :, 0].tolist() == [[0, 2], [1, 2]]
    assert done.mask[0, 0, 1] == MaskState.MASKED
    assert done.intensity[0, 0, 0] == 80
    assert not done.intensity[done.mask != 0].any()
    assert report.numbers["completed_bins"] == 1
    assert report.numbers["masked_bins"] == 2


def test_expected_counts_complete_a_bin_and_decide_whether_it_counts() -> None:
    """Two voxels of four on a slope: completed by what the others probably had; masked where that would be most of the
    sum; scaled where nothing is known.
    """
    raw = np.array([10.0, 6.0, 0.0, 0.0] * 3, np.float32).reshape(1, 3, 4)
    mask = np.array([0, 0, 1, 1] * 3, np.uint8).reshape(1, 3, 4)
    guess = np.array([10, 6, 3, 1, 10, 6, 12, 5, 10, 6, np.nan, np.nan], np.float32).reshape(1, 3, 4)
    done, _ = binned(Pattern(raw, mask), (1, 1, 4), guess)
    assert done.intensity.ravel().tolist() == [20, 0, 32]
    assert done.mask.ravel().tolist() == [0, 1, 0]


def test_a_shape_that_is_no_multiple_is_refused() -> None:
    """Cropping silently would move the centre."""
    with pytest.raises(DataError, match="multiple"):
        binned(pattern(np.ones((8, 8, 9))), (2, 2, 2))


@pytest.mark.parametrize("bins", [(1, 2, 3), (4, 3, 2)])
def test_the_geometry_follows(bins: tuple[int, int, int]) -> None:
    """Steps grow by the bin, and q at the DC bin is the mean q of the voxels in it."""
    shape = tuple(8 * b for b in bins)
    steps = np.random.default_rng(1).normal(size=(3, 3))
    before = Geometry(steps, np.array([1.0, 2.0, 3.0]))
    made, _ = binned(Pattern(np.ones(shape, np.float32), np.zeros(shape, np.uint8), geometry=before), bins)
    inside = [np.arange(4 * b, 5 * b).mean() - n // 2 for b, n in zip(bins, shape, strict=True)]
    assert made.geometry is not None
    assert made.geometry.q_centre is not None
    if any(b > 1 for b in bins):
        np.testing.assert_allclose(made.geometry.q_centre, before.q_centre + np.array(inside) @ steps)  # type: ignore[operator]
    np.testing.assert_allclose(made.geometry.q_steps, steps * np.array(bins)[:, None])


def test_bins_of_noise_about_zero_stay_valid_and_sum_with_their_sign() -> None:
    """What subtracting a background leaves averages out in the sums:
    no bin is masked for being negative, and half of each may be.
    """
    raw = np.random.default_rng(0).normal(0, 0.4, (8, 12, 16)).astype(np.float32)
    raw[0, 0, 0] = 0
    hole = np.zeros(raw.shape, bool)
    hole[0, 0, 0] = True
    done, _ = binned(pattern(raw, hole), BINS)
    assert done.valid.all()
    wanted = by_hand(raw, BINS)
    wanted[0, 0, 0] *= 24 / 23
    assert (wanted < 0).any()
    np.testing.assert_allclose(done.intensity, wanted, atol=1e-5)


def test_valid_sums_count_the_valid_voxels_of_each_block() -> None:
    """Beside a sum by brute force, in blocks of more voxels than a byte counts, and cut off at the ends."""
    mask = np.random.default_rng(1).integers(0, 3, (9, 7, 600)).astype(np.uint8)
    for sides in ((2, 3, 4), (4, 7, 300)):
        done = valid_sums(mask, sides)
        for index in np.ndindex(done.shape):
            block = tuple(slice(i * s, (i + 1) * s) for i, s in zip(index, sides, strict=True))
            assert done[index] == (mask[block] == 0).sum()
