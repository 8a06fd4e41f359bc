"""benchmarks.paper_scores: the definitions of the paper's tables, written out."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks.paper_scores import amplitude_scores, frc50, phase_scores

RNG = np.random.default_rng(0)
TRUTH = (0.5 + 0.1 * RNG.normal(size=(68, 68))) * np.exp(0.3j * RNG.normal(size=(68, 68)))


def test_scale_and_mean_phase_do_not_count_and_errors_do() -> None:
    """An error of 0.01 in every amplitude is an MAE of that and a PSNR of 88 dB at a peak of 255."""
    same = amplitude_scores(3 * TRUTH, TRUTH)
    assert same.mae == pytest.approx(0, abs=1e-12)
    assert phase_scores(TRUTH * np.exp(0.2j), TRUTH).mae == pytest.approx(0, abs=0.01)
    sign = np.where(np.indices(TRUTH.shape).sum(0) % 2, 1, -1)  # whose mean is none
    wrong = amplitude_scores(TRUTH + 0.01 * sign * TRUTH / np.abs(TRUTH), TRUTH)
    assert wrong.mae == pytest.approx(0.01, rel=1e-3)
    assert wrong.psnr == pytest.approx(20 * np.log10(255 / 0.01), abs=0.01)


def test_edges_are_left_out() -> None:
    """Two pixels of each."""
    spoiled = TRUTH.copy()
    spoiled[:2] = spoiled[-2:] = 0
    spoiled[:, :2] = spoiled[:, -2:] = 0
    assert amplitude_scores(spoiled, TRUTH).mae == 0


def test_rings_are_counted_to_the_corners() -> None:
    """Equal images correlate in all rings, 1 + 32 sqrt 2 of them; noise in none; what was blurred up to the blur."""
    image = np.abs(TRUTH)[2:-2, 2:-2]
    assert frc50(image, image) == 1 + round(32 * np.sqrt(2))
    assert frc50(image - image.mean(), RNG.normal(size=(64, 64))) < 5
    noisy = gaussian_filter(image, 1.5) + 0.02 * RNG.normal(size=image.shape)
    # sigma 1.5 leaves exp(-2 (pi 1.5 f)^2) of the amplitude: it falls to the noise, a fifth of it, at f = 0.19, ring 12
    assert frc50(noisy, image) == pytest.approx(13, abs=3)
