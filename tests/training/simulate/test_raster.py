"""training.simulate.raster: positions, photons and patterns of simulated scans."""

import numpy as np
import pytest

from tests.training.objectives.scans import WINDOW, settings
from training.simulate.raster import RasterSettings, probe, scan, squares


def test_groups_are_squares_on_a_raster() -> None:
    """Steps within a group, strides between groups, every window on the object and in the list once."""
    positions, groups = squares(RasterSettings(side=392, step=4, stride=8), 64)
    assert len(groups) == 41**2  # corners at 0, 8, ..., 320
    assert positions[groups[1]].tolist() == [[0, 8], [0, 12], [4, 8], [4, 12]]
    assert positions.max() + 64 <= 392
    assert len(np.unique(positions, axis=0)) == len(positions)
    sliding, more = squares(RasterSettings(side=392, step=4, stride=4), 64)
    assert (len(sliding), len(more)) == (83**2, 82**2)  # the 6,724 regions of the paper's table 2
    _, alone = squares(RasterSettings(side=392, step=4, stride=4, neighbours=1), 64)
    assert alone.shape == (83**2, 1)


def test_counts_are_those_of_the_fourier_sum() -> None:
    """One pixel of one pattern, written out, within its photon noise; the mean pattern has the photons asked for."""
    of = scan(settings(photons=1e8, probe="curved"), WINDOW, 3)
    number, row, column = of.windows[17]
    wave = of.probe * of.objects[number, row : row + WINDOW, column : column + WINDOW]
    x = np.arange(WINDOW)
    factor = np.exp(-2j * np.pi * (2 * x[:, None] - x) / WINDOW)
    expected = of.scale**2 * np.abs((wave * factor).sum() / WINDOW) ** 2
    assert of.counts[17, WINDOW // 2 + 2, WINDOW // 2 - 1] == pytest.approx(expected, abs=6 * np.sqrt(expected))
    assert of.counts.sum(axis=(1, 2)).mean() == pytest.approx(1e8, rel=1e-3)


def test_photons_scatter_as_a_poisson_process_does() -> None:
    """The variance of the counts about their mean is the mean."""
    few = scan(settings(photons=3e3), WINDOW, 0)
    many = scan(settings(photons=1e12), WINDOW, 0)  # of which the noise is nothing
    mean = many.counts * (few.scale / many.scale) ** 2
    bright = mean > 5
    assert np.mean((few.counts - mean)[bright] ** 2 / mean[bright]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["flat", "curved"])
def test_the_probe_keeps_within_half_of_its_window(kind: str) -> None:
    """A disc of a third of the window; only the curved one has a phase, of two pi at the edge of the disc."""
    beam = probe(kind, 64)
    line = np.arange(64) - 32
    radius = np.hypot(line[:, None], line)
    assert np.abs(beam).max() == pytest.approx(1)
    assert not beam[radius >= 16].any()
    diameter = 2 * np.sqrt(np.count_nonzero(np.abs(beam) > 0.5) / np.pi)
    assert diameter == pytest.approx(2 * 10.9, rel=0.02)
    np.testing.assert_allclose(
        np.angle(beam[32, 42]), 0 if kind == "flat" else np.angle(np.exp(2j * np.pi * (10 / 10.9) ** 2)), atol=0.03
    )


def test_what_is_no_setting_is_refused() -> None:
    """With the names that there are."""
    for wrong, words in (({"texture": "wood"}, "lines"), ({"neighbours": 3}, "1 or 4"), ({"probe": "round"}, "curved")):
        with pytest.raises(ValueError, match=words):
            RasterSettings(**wrong)  # type: ignore[arg-type]
