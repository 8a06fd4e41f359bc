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
    assert noise(below(deviation), 0, 1e4, 20000) == pytest.approx(deviation, rel=0.03)


def test_photons_less_a_fraction_are_noise() -> None:
    """A background of 0.3 was taken off where there was no photon:
    all the same value, a third of a count, in nearly every voxel.
    """
    assert noise(np.full(19800, -0.3), 0, 1e4, 20000) > 0


def test_whole_numbers_of_a_subtracted_dark_are_noise() -> None:
    """-1, -2, -3 as a rounded readout noise of 1.5 counts leaves them;
    the half below zero begins at -1, so the scale is coarse.
    """
    counts = np.rint(below(1.5))
    assert 1 < noise(counts[counts < 0], 20000 // 4, 1e4, 20000) < 3


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
    assert noise(counts, 0, largest, voxels) == 0.0


def photons(background: float, number: int = 100_000) -> np.ndarray:
    """Whole counts of a background, and of light of every strength up to 1000 photons in a quarter of the voxels."""
    random = np.random.default_rng(7)
    light = np.where(np.arange(number) % 4 == 0, 10 ** random.uniform(-3, 3, number), 0.0)
    return random.poisson(light + background)


@pytest.mark.parametrize("deviation", [0.0, 0.5, 1.5, 3.0])
@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("offset", [4, 5, 8, 20])
def test_an_offset_moves_what_holds_no_light(offset: int, share: float, deviation: float) -> None:
    """Whether most of the voxels hold none, or a tenth, and also where the noise of reading blurs it."""
    random = np.random.default_rng(8)
    counts = photons(0.0).astype(float)
    lit = random.random(counts.size) > share
    counts[lit] = random.poisson(10 ** random.uniform(1.5, 3, lit.sum()))
    counts += random.normal(0, deviation, counts.size) - offset
    assert noise(counts[counts < 0], 0, 1e5, counts.size) == 0.0


@pytest.mark.parametrize("background", [0.02, 0.3, 0.5, 0.95, 1.0, 2.0, 3.05, 3.95, 8.0, 30.0])
@pytest.mark.parametrize("whole", [False, True])
def test_a_background_that_was_there_leaves_noise(background: float, whole: bool) -> None:
    """Taken off exactly, and rounded: half a photon rounds to -1 in twice as many voxels as to 0, and that is all."""
    counts = photons(background) - background
    counts = np.rint(counts) if whole else counts
    below_zero = counts[counts < 0]
    assert noise(below_zero if below_zero.size else np.array([-0.1]), int((counts == 0).sum()), 1e4, counts.size) > 0
