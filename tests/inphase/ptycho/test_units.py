"""Positions in any unit are the same positions; those in the wrong one are told which they probably have."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.ptycho.units import UNITS, Ruler, check_unit

PIXEL = (2e-8, 3e-8)  # m
SHAPE = (128, 128)


@pytest.mark.parametrize(("unit", "pixel"), [("m", 2e-8), ("mm", 2e-5), ("um", 0.02), ("nm", 20), ("micron", 0.02)])
def test_a_pixel_in_each_unit(unit: str, pixel: float) -> None:
    """20 nm by 30 nm, as they are written by hand."""
    assert Ruler(unit, PIXEL).pixel == pytest.approx([pixel, 1.5 * pixel], rel=1e-12)
    np.testing.assert_array_equal(Ruler("pixel", PIXEL).pixel, [1, 1])


def test_what_is_no_unit_and_what_needs_a_pixel_is_refused() -> None:
    """What callers may name are a few, files have more."""
    for unit in (None, *UNITS):
        check_unit(unit)
    with pytest.raises(DataError, match="pixel, m, mm, um or nm, not 'micron'"):
        check_unit("micron")
    with pytest.raises(DataError, match="not 'furlong'"):
        Ruler("furlong", PIXEL)
    with pytest.raises(DataError, match="positions in um need the size"):
        Ruler("um")


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("true", UNITS)
def test_the_unit_that_was_meant_is_named(unit: str, true: str) -> None:
    """A step of 10 pixels is one of a scan, whatever it is taken for; in the next unit it is 10,000 or 0.01.

    Of a pixel of 25 nm, a step of ten pixels that is read as one of ten nm or um is far from any scan.
    """
    step = 10 * Ruler(true, (25e-9, 25e-9)).pixel[0] / Ruler(unit, (25e-9, 25e-9)).pixel[0]
    found = Ruler(unit, (25e-9, 25e-9)).others(step, SHAPE)
    assert found == ({} if unit == true else {true: pytest.approx(10)})
    assert (f"--unit {true}" in Ruler(unit, (25e-9, 25e-9)).hint(step, SHAPE)) == (unit != true)


def test_where_nothing_is_likelier_nothing_is_said() -> None:
    """Without a size of the pixel, or where no unit makes a scan of it."""
    assert Ruler().hint(1e6, SHAPE) == ""
    assert Ruler("m", PIXEL).hint(1e15, SHAPE) == ""


def test_short_steps_are_doubted_where_another_unit_fits() -> None:
    """1.5 pixels of 25 nm in windows of 128, or 1.5 um, which are 60: nobody overlaps windows by 99 %."""
    ruler = Ruler("pixel", (25e-9, 25e-9))
    assert ruler.doubted(1.5, SHAPE)
    assert not ruler.doubted(5.0, SHAPE)  # 5 um would be 200 pixels
    assert not Ruler().doubted(1.5, SHAPE)
