"""Figures as tables 2 and 3 of Hoidn et al., Sci. Rep. 13:22789 (2023), have them, for comparison with these alone.

They flatter: PSNR is at the range of 8-bit images, 255, on data of order 1, which adds 48 dB; the ring correlation is
given as the number of the first ring below 1/2, and rings run into the corners, beyond Nyquist. inphase.ptycho.scores
has figures that do not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

TRIM = 2  # pixels that are left out at each edge
PEAK = 255.0
HALF = 0.5


@dataclass(frozen=True)
class PaperScores:
    """Mean absolute error; PSNR in dB at a peak of 255; FRC50, a number of rings."""

    mae: float
    psnr: float
    frc50: int

    @property
    def texts(self) -> list[str]:
        """For a table."""
        return [f"{self.mae:.4f}", f"{self.psnr:.1f}", str(self.frc50)]


def amplitude_scores(image: NDArray[np.complexfloating], truth: NDArray[np.complexfloating]) -> PaperScores:
    """Of the amplitudes of images (Y, X), the first scaled to the mean of the second."""
    found, wanted = np.abs(_trimmed(image)), np.abs(_trimmed(truth))
    return _scores(found * (wanted.mean() / found.mean()), wanted)


def phase_scores(image: NDArray[np.complexfloating], truth: NDArray[np.complexfloating]) -> PaperScores:
    """Of the phases, each less its mean; no plane is taken off, and nothing is unwrapped."""
    found, wanted = np.angle(_trimmed(image)), np.angle(_trimmed(truth))
    return _scores(found - found.mean(), wanted - wanted.mean())


def _trimmed(image: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    return image[TRIM:-TRIM, TRIM:-TRIM]


def _scores(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> PaperScores:
    difference = found - wanted
    square = float(np.mean(np.square(difference)))
    psnr = 10 * np.log10(PEAK**2 / square) if square else np.inf
    return PaperScores(float(np.abs(difference).mean()), float(psnr), frc50(found, wanted))


def frc50(a: NDArray[np.floating], b: NDArray[np.floating]) -> int:
    """The first ring whose correlation, smoothed by a Gaussian of one ring, is below 1/2; the number of rings if none.

    Rings are whole pixels of radius in the transform, to the corners.
    """
    spectra = [np.fft.fftshift(np.fft.fft2(image)) for image in (a, b)]
    rows, columns = (np.arange(n) - n // 2 for n in a.shape)
    ring = np.rint(np.hypot(rows[:, None], columns)).astype(int).ravel()

    def total(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(ring, values.ravel()), np.float64)

    first, second = spectra
    power = np.sqrt(total(np.square(np.abs(first))) * total(np.square(np.abs(second))))
    curve = gaussian_filter1d(total((first * second.conj()).real) / np.maximum(power, 1e-300), 1.0)
    below = np.flatnonzero(curve < HALF)
    return int(below[0]) if len(below) else len(curve)
