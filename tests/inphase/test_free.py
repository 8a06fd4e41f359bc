"""Free voxels: how many, where, and that a seed repeats them."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label, minimum_filter

from inphase.free import _least_beside, free_cells, free_voxels
from inphase.pattern import MaskState


def _mask(shape=(32, 32, 32)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[:, 5:7] = MaskState.MASKED
    mask[:4] = MaskState.PADDING
    return mask


def test_the_fraction_is_met_among_valid_voxels_only():
    """5 % of the valid voxels, to half a percent (an island is taken whole), none elsewhere."""
    mask = _mask()
    free = free_voxels(mask, seed=3)
    assert free.sum() == pytest.approx(0.05 * (mask == MaskState.VALID).sum(), rel=0.03)
    assert not free[mask != MaskState.VALID].any()


def test_voxels_come_as_islands():
    """The typical island is a whole 3^3 block, and there are many."""
    mask = np.zeros((32, 32, 32), np.uint8)
    free = free_voxels(mask, seed=1)
    labels, islands = label(free)
    sizes = np.bincount(labels.ravel())[1:]
    assert np.median(sizes) == 27
    assert islands > 20


def test_the_centre_is_spared():
    """No free voxel within an eighth of the side from DC."""
    free = free_voxels(np.zeros((32, 32, 32), np.uint8), seed=0, fraction=0.2)
    distance = np.linalg.norm(np.indices(free.shape) - 16, axis=0)
    assert distance[free].min() > 4


def test_the_same_seed_gives_the_same_voxels():
    """Provenance: a seed says which voxels were hidden; another seed hides others."""
    mask = _mask()
    np.testing.assert_array_equal(free_voxels(mask, 7), free_voxels(mask, 7))
    assert (free_voxels(mask, 7) != free_voxels(mask, 8)).any()


@pytest.mark.parametrize("shape", [(64, 48), (1024,)])
def test_any_dimension(shape):
    """2D and 1D patterns have free voxels too."""
    free = free_voxels(np.zeros(shape, np.uint8), 0, 0.1)
    assert free.mean() == pytest.approx(0.1, rel=0.05)


def test_nothing_valid_or_fraction_zero_gives_none():
    """Nothing to hide is no error."""
    assert not free_voxels(np.full((8, 8, 8), 1, np.uint8), 0).any()
    assert not free_voxels(np.zeros((8, 8, 8), np.uint8), 0, fraction=0.0).any()


def test_islands_stop_at_a_gap():
    """An island cut by a gap stays on the valid side: no free voxel in the gap, some beside it."""
    mask = _mask()
    free = free_voxels(mask, 0, 0.3)
    beside = binary_dilation(mask == MaskState.MASKED) & (mask == MaskState.VALID)
    assert free[beside].any()


def test_cells_hide_so_many_of_the_eligible_voxels_and_no_others() -> None:
    """A twentieth, in boxes of three voxels a side, whole or cut by what is not eligible; same seed, same boxes."""
    eligible = np.ones((40, 50, 61), bool)
    eligible[:, 20:31] = False
    hidden = free_cells(eligible, 3)
    assert hidden.shape == eligible.shape
    assert not hidden[~eligible].any()
    assert hidden[eligible].mean() == pytest.approx(0.05, abs=0.008)  # four standard deviations of 4,000 cells
    cells = hidden[:39, :18, :60].reshape(13, 3, 6, 3, 20, 3).sum(axis=(1, 3, 5))
    assert set(np.unique(cells)) == {0, 27}
    np.testing.assert_array_equal(free_cells(eligible, 3), hidden)
    assert (free_cells(eligible, 4) != hidden).any()


def test_an_island_is_what_the_first_of_its_centres_covers() -> None:
    """Beside scipy's minimum filter over 3^3 voxels, along one, two and three axes."""
    for shape in ((50,), (20, 31), (12, 9, 14)):
        order = np.random.default_rng(5).permutation(int(np.prod(shape))).reshape(shape)
        np.testing.assert_array_equal(_least_beside(order), minimum_filter(order, size=3, mode="nearest"))
