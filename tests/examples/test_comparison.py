"""examples/comparison.py: results and the truth on one grid, and how well they agree."""

import comparison
import numpy as np
import pytest

from tests.examples.ellipsoid import N, crystal, result


def test_the_whole_grid_is_the_truth_itself() -> None:
    """Without cropping and binning the ideal measurement shows the crystal as it is, up to the scale."""
    truth = crystal()
    ideal = comparison.on_grid(truth, (0, 0, 0), (1, 1, 1), (N, N, N))
    scale = np.vdot(ideal, truth) / np.vdot(ideal, ideal)
    assert np.allclose(scale * ideal, truth, atol=1e-5)  # complex64 sums of 24 terms


def test_binning_halves_the_field_of_view() -> None:
    """Every second voxel of the far field, at the middle of its bin, is the crystal times half a voxel's ramp,
    folded into half the field.
    """
    truth = crystal()
    ideal = comparison.on_grid(truth, (0, 0, 0), (2, 1, 1), (N // 2, N, N))
    ramped = truth * np.exp(-2j * np.pi * 0.5 / N * (np.arange(N) - N // 2))[:, None, None]
    expected = ramped[N // 4 : 3 * N // 4].copy()
    expected[N // 4 :] += ramped[: N // 4]
    expected[: N // 4] += ramped[3 * N // 4 :]
    scale = np.vdot(ideal, expected) / np.vdot(ideal, ideal)
    assert np.allclose(scale * ideal, expected, atol=1e-5)  # complex64 sums of 24 terms


def test_trivial_differences_do_not_count() -> None:
    """Twin, position, scale and global phase cost nothing: SSIM 1 and no phase error."""
    truth = crystal()
    moved = np.roll(np.conj(np.roll(np.flip(truth), 1, axis=(0, 1, 2))), (2, -1, 3), axis=(0, 1, 2)) * 3 * np.exp(0.7j)
    views, agreements = comparison.compare({"moved": result(moved.astype(np.complex64), [0, 0, 0], [1, 1, 1])}, truth)
    assert agreements[0].ssim == pytest.approx(1, abs=1e-3)
    assert agreements[0].phase_error < 1e-3
    assert [view.name for view in views] == ["moved", "truth"]


def test_another_crystal_does_not_agree() -> None:
    """A crystal of another phase has its phase error: a sine of amplitude 0.5 rad leaves 0.35 rad rms."""
    truth = crystal()
    wave = 0.5 * np.sin(2 * np.pi * np.arange(N) / 4)
    other = (truth * np.exp(1j * wave)[None, :, None]).astype(np.complex64)
    _, agreements = comparison.compare({"other": result(other, [0, 0, 0], [1, 1, 1])}, truth)
    assert agreements[0].phase_error == pytest.approx(0.35, abs=0.05)  # a few periods only, unevenly filled
