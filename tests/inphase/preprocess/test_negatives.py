"""Which negative counts are noise about zero."""

import numpy as np
import pytest

from inphase.preprocess.negatives import noise


def below(deviation: float, offset: float = 0.0, number: int = 20000) -> np.ndarray:
    """The negative ones of `number` normal values."""
    values = np.random.default_rng(4).normal(offset, deviation, number)
    return values[values < 0]


@pytest.mark.parametrize("deviation", [0.01, 0.3, 4.0])
def test_the_deviation_of_normal_noise_is_found(deviation: float) -> None:
    """From the negative half alone, to 3 %."""
    assert noise(below(deviation), 1e4, 20000) == pytest.approx(deviation, rel=0.03)


def test_photons_less_a_fraction_are_noise() -> None:
    """A background of 0.3 was taken off where there was no photon:
    all the same value, a third of a count, in nearly every voxel.
    """
    assert noise(np.full(19800, -0.3), 1e4, 20000) > 0


def test_whole_numbers_of_a_subtracted_dark_are_noise() -> None:
    """-1, -2, -3 as a rounded readout noise of 1.5 counts leaves them;
    the half below zero begins at -1, so the scale is coarse.
    """
    counts = np.rint(below(1.5))
    assert 1 < noise(counts[counts < 0], 1e4, 20000) < 3


@pytest.mark.parametrize(
    ("counts", "largest", "voxels"),
    [
        (np.full(2000, -5.0), 1e4, 20000),
        (below(10.0, offset=-100.0), 1e5, 20000),
        (below(3.0, offset=-4.0), 1e4, 20000),
        (below(2.0), 20.0, 20000),
    ],
    ids=["a mark", "an offset", "mostly negative", "no peak above it"],
)
def test_what_is_no_noise_about_zero(counts: np.ndarray, largest: float, voxels: int) -> None:
    """The same value everywhere, too much subtracted, and noise in which the peak is lost."""
    assert noise(counts, largest, voxels) == 0.0
