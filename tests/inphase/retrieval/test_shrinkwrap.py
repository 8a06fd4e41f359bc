"""The support update."""

import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_gaussian, gaussian_filter

from inphase.retrieval.shrinkwrap import gaussian, shrink_wrap
from inphase.retrieval.transform import Transform

N = 24


def _crystal():
    amplitude = np.zeros((N, N, N), np.float32)
    amplitude[8:16, 7:17, 9:15] = 1
    return amplitude


def _tensor(*volumes):
    return torch.from_numpy(np.stack(volumes).astype(np.complex64))


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.3])
def test_smoothing_is_a_periodic_gaussian(sigma):
    """Against scipy's multiplication in reciprocal space; single precision."""
    volumes = np.random.default_rng(0).random((2, 12, 10, 8)).astype(np.float32)
    expected = np.stack([np.fft.ifftn(fourier_gaussian(np.fft.fftn(v), sigma)).real for v in volumes])
    np.testing.assert_allclose(gaussian(Transform(3), _tensor(*volumes), sigma).real.numpy(), expected, atol=1e-6)


def test_the_support_is_what_lies_above_the_threshold():
    """A plain numpy version of the definition gives the same voxels."""
    amplitude = _crystal() + 0.02
    support = shrink_wrap(Transform(3), _tensor(amplitude), 0.2, 1.0, 1, N**3)[0][0].numpy()
    smooth = gaussian_filter(amplitude.astype(float), 1.0, mode="wrap", truncate=6)
    reference = np.sqrt((smooth**4).sum() / (smooth**2).sum())
    sure = np.abs(smooth - 0.2 * reference) > 5e-3  # the two Gaussians differ by less
    np.testing.assert_array_equal(support[sure], (smooth >= 0.2 * reference)[sure])


def test_a_hot_voxel_does_not_move_the_support():
    """One voxel four times as bright as the crystal changes less than 3 % of the support; a maximum-based threshold would lose the edges."""
    clean = _crystal()
    hot = clean.copy()
    hot[12, 12, 12] = 4
    one, other = shrink_wrap(Transform(3), _tensor(clean, hot), 0.15, 1.0, 1, N**3)[0].numpy()
    assert (one ^ other).sum() < 0.03 * one.sum()


def test_scale_and_batch_do_not_matter():
    """Each start has its own reference."""
    volumes = _crystal(), 1e4 * _crystal()
    one, other = shrink_wrap(Transform(3), _tensor(*volumes), 0.15, 1.0, 1, N**3)[0].numpy()
    np.testing.assert_array_equal(one, other)


def test_the_volume_stays_within_its_bounds():
    """Too few voxels: the strongest `low` are taken; too many: the strongest `high`."""
    volume = _tensor(np.random.default_rng(0).random((N, N, N)))  # no ties

    def voxels(low, high):
        support, counts = shrink_wrap(Transform(3), volume, 0.9, 0.5, low, high)
        assert counts == [int(support.sum())]
        return counts[0]

    free = voxels(1, N**3)
    assert voxels(free + 500, N**3) == free + 500
    assert voxels(1, free - 500) == free - 500
