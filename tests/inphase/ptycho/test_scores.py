"""What no pattern shows does not count, and everything else does."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.ptycho.scores import compared
from training.simulate.ptychography import sample

TRUTH = sample(96, np.random.default_rng(3))
ROWS, COLUMNS = np.meshgrid(np.arange(96), np.arange(96), indexing="ij")


def shifted(obj: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    """Moved by fractions of a pixel."""
    rows, columns = np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96), indexing="ij")
    return np.fft.ifft2(np.fft.fft2(obj) * np.exp(-2j * np.pi * (by[0] * rows + by[1] * columns)))


def test_scale_phase_ramp_and_shift_do_not_count() -> None:
    """An image that is right but for those is right; what is left is that of a hundredth of a pixel."""
    image = 3 * shifted(TRUTH, (1.3, -0.6)) * np.exp(1j * (0.7 + 0.11 * ROWS - 0.05 * COLUMNS))
    window = np.zeros((96, 96), bool)
    window[10:86, 10:86] = True
    found = compared(image, TRUTH, window)
    assert found.shift_px == pytest.approx((-1.3, 0.6), abs=0.03)
    assert found.correlation > 0.9999
    assert found.amplitude_mae < 3e-3
    assert found.phase_mae < 5e-3
    assert found.frc_half > 0.79  # the object holds nothing beyond 0.8 of Nyquist
    assert found.phase_psnr > 50


def test_mirrored_conjugate_and_turned_images_are_wrong() -> None:
    """Half the phase range of the object is 0.5 rad."""
    for wrong in (TRUTH.conj(), TRUTH[::-1, ::-1].conj(), TRUTH.T, TRUTH[::-1]):
        assert compared(wrong, TRUTH).phase_mae > 0.1


def test_noise_costs_what_it_is() -> None:
    """PSNR against its definition, at the range of the reference and not at 255; the frequencies that noise drowns end
    the ring correlation.
    """
    sigma = 0.02
    noise = np.random.default_rng(0).normal(0, sigma, (96, 96))
    found = compared(TRUTH * (1 + noise / np.abs(TRUTH)), TRUTH)
    span = np.ptp(np.abs(TRUTH))
    assert found.amplitude_psnr == pytest.approx(20 * np.log10(span / sigma), abs=0.3)
    assert found.amplitude_mae == pytest.approx(sigma * np.sqrt(2 / np.pi), rel=0.05)
    assert 0.1 < found.frc_half < 0.75
    assert 0 < found.frc.q[0] < 0.05  # the ring of the mean is left out


def test_resolution_is_a_share_of_nyquist_that_is_never_above_one() -> None:
    """Of white noise against itself."""
    white = np.random.default_rng(1).normal(size=(64, 64)) + 5j
    assert compared(white, white).frc_half == 1.0


def test_images_that_do_not_fit_are_refused() -> None:
    """Shapes and windows."""
    with pytest.raises(DataError):
        compared(TRUTH, TRUTH[:-1])
    with pytest.raises(DataError):
        compared(TRUTH, TRUTH, np.zeros((96, 96), bool))
