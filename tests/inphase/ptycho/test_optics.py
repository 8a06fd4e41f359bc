"""Sizes of pixels, against the textbook's formulas."""

import math

import pytest

from inphase.errors import DataError
from inphase.ptycho.optics import FarField, NearField, optics


def test_pixel_of_the_far_field_is_lambda_z_over_n_d() -> None:
    """1 A, 2 m, 100 pixels of 50 um: 1e-10 * 2 / (100 * 50e-6) = 40 nm."""
    assert FarField(1e-10, 2.0, (50e-6, 50e-6)).pixel_m((100, 200)) == pytest.approx((40e-9, 20e-9))


def test_cone_behind_a_focus_is_a_parallel_beam_of_smaller_pixels() -> None:
    """Focus 1 mm before the sample, detector 1 m - 1 mm behind: M = 1000, z = z1 z2 / (z1 + z2)."""
    cone = NearField(1e-10, 0.999, (50e-6, 50e-6), 1e-3)
    assert cone.magnification == pytest.approx(1000)
    assert cone.pixel_m((7, 9)) == pytest.approx((50e-9, 50e-9))
    assert cone.effective_distance_m == pytest.approx(1e-3 * 0.999 / 1.0)
    assert cone.fresnel_numbers()[0] == pytest.approx((50e-9) ** 2 / (1e-10 * 0.999e-3))


def test_parallel_beam_changes_nothing() -> None:
    """M = 1."""
    beam = optics(12.39841984, 0.5, (1e-6, 2e-6), math.inf)
    assert isinstance(beam, NearField)
    assert beam.pixel_m((4, 4)) == (1e-6, 2e-6)
    assert beam.effective_distance_m == 0.5
    assert beam.wavelength_m == pytest.approx(1e-10)


@pytest.mark.parametrize(
    ("energy", "distance", "pixel", "name"),
    [
        (8000.0, 2.0, 75e-6, "wavelength"),
        (8.0, 2000.0, 75e-6, "distance"),
        (8.0, 2.0, 0.075, "pixel"),
        (8.0, 2.0, 75.0, "pixel"),
        (1.28e-15, 2.0, 75e-6, "wavelength"),
    ],
    ids=["eV", "mm", "pixel in mm", "pixel in um", "J"],
)
@pytest.mark.parametrize("focus", [None, 1e-3])
def test_numbers_in_another_unit_are_refused(
    energy: float, distance: float, pixel: float, name: str, focus: float | None
) -> None:
    """They would give an image with pixels of another size, and nothing would tell."""
    with pytest.raises(DataError, match=f"a .*{name} of .* Is the unit right"):
        optics(energy, distance, (pixel, pixel), focus)


@pytest.mark.parametrize(
    ("energy", "distance", "pixel", "focus"),
    [
        (0, 1, 1e-6, None),
        (math.nan, 1, 1e-6, None),
        (8, -1, 1e-6, None),
        (8, 1, 0.0, None),
        (8, 1, 1e-6, 0.0),
        (8, math.inf, 1e-6, None),
    ],
)
def test_what_is_no_length_is_refused(energy: float, distance: float, pixel: float, focus: float | None) -> None:
    """Zero, negative, infinite and NaN."""
    with pytest.raises(DataError):
        optics(energy, distance, (pixel, pixel), focus)
