"""The support update."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion, fourier_gaussian, gaussian_filter

from inphase.retrieval.shrinkwrap import dilated, gaussian, shrink_wrap
from inphase.retrieval.terms import ShrinkWrap

N = 24


def _crystal():
    amplitude = np.zeros((N, N, N), np.float32)
    amplitude[8:16, 7:17, 9:15] = 1
    return amplitude


def _tensor(*volumes):
    return torch.from_numpy(np.stack(volumes).astype(np.complex64))


def _wrap(*volumes, progress=0.0, **options):
    """Supports and volumes of centred amplitudes; the present support is the crystal's."""
    axes = (1, 2, 3)
    uncentred = _tensor(*np.fft.ifftshift(np.stack(volumes), axes=axes))
    present = torch.from_numpy(np.fft.ifftshift(np.stack([_crystal() > 0] * len(volumes)), axes=axes).copy())
    clause = ShrinkWrap(**{"threshold": (0.15, 0.15), "sigma": (1.0, 1.0), "volume": (1e-9, 8.0)} | options)
    support, voxels = shrink_wrap(
        uncentred.shape[1:], uncentred, present, clause, progress, torch.empty_like(uncentred)
    )
    assert voxels == support.flatten(1).sum(1).tolist()
    return np.fft.fftshift(support.numpy(), axes=axes)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.3])
def test_smoothing_is_a_periodic_gaussian(sigma):
    """Against scipy's multiplication in reciprocal space; single precision."""
    volumes = np.random.default_rng(0).random((2, 12, 10, 8)).astype(np.float32)
    expected = np.stack([np.fft.ifftn(fourier_gaussian(np.fft.fftn(v), sigma)).real for v in volumes])
    np.testing.assert_allclose(gaussian(_tensor(*volumes), sigma).real.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("reference", ["intensity", "max", "rms", "p99"])
def test_the_support_is_what_lies_above_the_threshold(reference):
    """A plain numpy version of the definition gives the same voxels, for every reference amplitude."""
    amplitude = _crystal() + 0.02
    support = _wrap(amplitude, threshold=(0.2, 0.2), reference=reference)[0]
    smooth = gaussian_filter(amplitude.astype(float), 1.0, mode="wrap", truncate=6)
    inside = smooth[_crystal() > 0]
    value = {
        "intensity": np.sqrt((smooth**4).sum() / (smooth**2).sum()),
        "max": smooth.max(),
        "rms": np.sqrt((inside**2).mean()),
        "p99": np.sort(inside)[-(inside.size // 100)],
    }[reference]
    sure = np.abs(smooth - 0.2 * value) > 5e-3  # the two Gaussians differ by less
    np.testing.assert_array_equal(support[sure], (smooth >= 0.2 * value)[sure])


def test_threshold_and_sigma_follow_their_schedules():
    """Half way: the threshold is the mean of its ends, sigma their geometric mean."""
    half = _wrap(_crystal(), threshold=(0.1, 0.3), sigma=(2.0, 0.5), progress=0.5)
    fixed = _wrap(_crystal(), threshold=(0.2, 0.2), sigma=(1.0, 1.0))
    np.testing.assert_array_equal(half, fixed)


def test_a_hot_voxel_does_not_move_the_support():
    """One voxel four times as bright as the crystal changes less than 3 % of the support;
    a maximum-based threshold would lose the edges.
    """
    clean = _crystal()
    hot = clean.copy()
    hot[12, 12, 12] = 4
    one, other = _wrap(clean, hot)
    assert (one ^ other).sum() < 0.03 * one.sum()


def test_scale_and_batch_do_not_matter():
    """Each start has its own reference."""
    one, other = _wrap(_crystal(), 1e4 * _crystal())
    np.testing.assert_array_equal(one, other)


def test_the_volume_stays_within_its_bounds():
    """Too few voxels: the strongest of the lower bound are taken; too many: of the upper;
    another start keeps its own.
    """
    noise = np.random.default_rng(0).random((N, N, N)).astype(np.float32)  # no ties
    unit = (N / 2) ** 3

    def voxels(low, high):
        bounds = _wrap(noise, _crystal(), threshold=(0.9, 0.9), sigma=(0.5, 0.5), volume=(low / unit, high / unit))
        return [int(support.sum()) for support in bounds]

    free, crystal = voxels(1, N**3)
    assert free > crystal + 1000
    assert voxels(1, free - 500) == [free - 500, crystal]
    assert voxels(crystal + 700, N**3) == [free, crystal + 700]


def test_only_the_largest_component_stays():
    """A small island is dropped, also where the object lies across the array's index 0 (as it does inside the
    engine).
    """
    amplitude = _crystal()
    amplitude[2:4, 2:4, 2:4] = 1
    both, largest = _wrap(amplitude), _wrap(amplitude, component="largest")
    assert both[0, 2, 2, 2]
    np.testing.assert_array_equal(largest[0], both[0] & (np.indices(amplitude.shape)[0] > 5))


def test_expansion_dilates_and_erodes():
    """By faces, as scipy does it; a negative number erodes."""
    plain = _wrap(_crystal())[0]
    np.testing.assert_array_equal(_wrap(_crystal(), expand=2)[0], binary_dilation(plain, iterations=2))
    np.testing.assert_array_equal(_wrap(_crystal(), expand=-1)[0], binary_erosion(plain, border_value=1))


def test_dilation_is_periodic():
    """A voxel at the edge grows across it."""
    one = torch.zeros((1, 6, 6), dtype=torch.bool)
    one[0, 0, 0] = True
    assert dilated(one, 1)[0].nonzero().tolist() == [[0, 0], [0, 1], [0, 5], [1, 0], [5, 0]]


def test_the_outer_box_holds():
    """`within` is a fixed centred box; the support is that of the plain update, cut."""
    plain = _wrap(_crystal(), threshold=(0.05, 0.05))[0]
    boxed = _wrap(_crystal(), threshold=(0.05, 0.05), within=0.4, expand=1)[0]
    inside = np.zeros_like(plain)
    inside[7:17, 7:17, 7:17] = True  # round(0.4 * 24 / 2) voxels on each side of the centre
    assert (plain & ~inside).any()
    assert boxed[inside & plain].all()
    assert not boxed[~inside].any()
