"""Bad-pixel map and flat field."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.preprocess.corrections import Corrections, correct
from tests.inphase.preprocess.simulated import pattern


def test_flat_field_evens_out_an_uneven_detector() -> None:
    """Counts proportional to the flat become even; the mean response is 1, so that the level of counts stays."""
    flat = np.random.default_rng(0).uniform(0.5, 1.5, (16, 16)) * 2e4
    raw = np.broadcast_to(flat / flat.mean() * 100, (8, 16, 16))
    done, report = correct(pattern(raw), Corrections(flat=flat))
    np.testing.assert_allclose(done.intensity, 100, rtol=1e-5)  # float32
    assert report.numbers["bad_pixels"] == 0


def test_dark_and_dead_flat_pixels_are_masked() -> None:
    """dark > 1, flat == 0, a nearly blind flat and NaN in either are masked in every frame, with no count left."""
    dark, flat = np.zeros((16, 16)), np.ones((16, 16))
    dark[1, 2], flat[3, 4], flat[5, 6], flat[7, 8] = 100, 0, 0.01, np.nan
    done, report = correct(pattern(np.full((8, 16, 16), 9)), Corrections(dark, flat))
    bad = np.zeros((16, 16), bool)
    bad[[1, 3, 5, 7], [2, 4, 6, 8]] = True
    np.testing.assert_array_equal(done.mask == MaskState.MASKED, np.broadcast_to(bad, done.shape))
    assert not done.intensity[:, bad].any()
    assert report.numbers["bad_pixels"] == 4


def test_region_of_interest_picks_the_part_of_the_chip() -> None:
    """Maps of the whole chip are cut to the region that the frames show; without a region the shapes must agree."""
    dark = np.zeros((32, 40))
    dark[10, 20] = 5
    frames = pattern(np.ones((8, 16, 16)))
    done, _ = correct(frames, Corrections(dark, roi=((4, 20), (12, 28))))
    assert (done.mask[:, 6, 8] == MaskState.MASKED).all()
    with pytest.raises(DataError, match="region"):
        correct(frames, Corrections(dark))


@pytest.mark.parametrize("dark", [np.full((16, 16), np.nan), np.full((16, 16), 255)])
@pytest.mark.parametrize("flat", [None, np.ones((16, 16))])
def test_maps_that_leave_no_pixel_are_refused(dark: np.ndarray, flat: np.ndarray | None) -> None:
    with pytest.raises(DataError, match="every pixel of the frames bad"):
        correct(pattern(np.ones((8, 16, 16))), Corrections(dark, flat))
