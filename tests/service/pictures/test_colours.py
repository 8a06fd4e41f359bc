"""Colour maps."""

from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

from service.pictures import colours

PAGE = Path(__file__).resolve().parents[3] / "page/src/colours.json"


def test_the_page_has_the_same_tables() -> None:
    """`make page` writes them anew."""
    assert PAGE.read_text(encoding="utf-8") == colours.as_json()


def lightness(table: colours.Table) -> np.ndarray:
    """CIE L*, by another library."""
    return np.asarray(rgb2lab(table[None].astype(np.float64) / 255))[0, :, 0]


def test_more_is_lighter_in_equal_steps() -> None:
    """The sequential map reads the same in grey: its lightness grows everywhere, and about evenly."""
    found = lightness(colours.SEQUENTIAL)
    assert found[-1] - found[0] > 70
    steps = np.diff(found[::16])
    assert steps.min() > 0
    assert steps.max() < 2.2 * np.median(steps)


def test_the_cycle_closes_and_has_one_lightness() -> None:
    """From pi to -pi it is one step like the others, so that no edge shows where a phase wraps."""
    steps = np.abs(np.diff(np.vstack([colours.CYCLIC, colours.CYCLIC[:1]]).astype(int), axis=0)).sum(axis=1)
    assert steps[-1] <= steps.max()
    assert np.ptp(lightness(colours.CYCLIC)) < 8


def test_zero_is_the_lightest_and_the_sides_mirror() -> None:
    """The diverging map is as dark at one end as at the other."""
    found = lightness(colours.DIVERGING)
    assert 127 <= found.argmax() <= 128
    np.testing.assert_allclose(found, found[::-1], atol=7)


@pytest.mark.parametrize(("unit", "step"), [(-1.0, 0), (0.0, 0), (0.5, 128), (0.9999, 255), (1.0, 255), (7.0, 255)])
def test_numbers_become_colours(unit: float, step: int) -> None:
    """256 equal steps from 0 to 1; beyond, the ends."""
    assert colours.coloured(colours.SEQUENTIAL, np.array([unit]))[0].tolist() == colours.SEQUENTIAL[step].tolist()


def test_light_and_bytes_are_inverse() -> None:
    """sRGB's curve and back."""
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    assert np.array_equal(np.round(255 * colours.encoded(colours.decoded(grey))).astype(np.uint8), grey)


def test_what_is_no_number_has_the_first_colour() -> None:
    """A map is NaN where it is not known."""
    assert colours.coloured(colours.CYCLIC, np.array([np.nan])).tolist() == [colours.CYCLIC[0].tolist()]
