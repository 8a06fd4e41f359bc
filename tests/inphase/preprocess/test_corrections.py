"""Bad-pixel map and flat field."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.preprocess.corrections import Corrections, Response, correct
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


def test_a_response_subtracts_the_dark_and_divides_by_the_flat() -> None:
    """Back come the counts that the detector would show evenly and without an offset; what shows less than in the dark
    has none.
    """
    generator = np.random.default_rng(0)
    flat, dark = generator.uniform(0.5, 1.5, (16, 16)) * 2e4, generator.uniform(90, 110, (16, 16))
    counts = generator.poisson(50.0, (3, 16, 16))
    shown = counts * flat / flat.mean() + dark
    shown[1, 2, 3] = dark[2, 3] - 7
    wanted = counts.astype(float)
    wanted[1, 2, 3] = 0
    response = Response.of(Corrections(dark, flat), (16, 16))
    found = response.counts(shown)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)  # float32 of numbers around 200
    assert response.alters
    assert not response.bad.any()
    assert "subtracted" in str(response)
    assert "divided" in str(response)


def test_a_pixel_that_counts_in_the_dark_is_bad_where_the_others_do_not() -> None:
    """As for a rocking curve; of a detector whose every pixel has an offset it is no sign. Nothing else is altered by
    a map of zeros, and so counts stay photons.
    """
    dark, flat = np.zeros((16, 16)), np.ones((16, 16))
    dark[1, 2], dark[7, 8], flat[3, 4], flat[5, 6] = 100, np.nan, 0, 0.01
    frames = np.full((8, 16, 16), 9)
    curve, _ = correct(pattern(frames), Corrections(dark, flat))
    response = Response.of(Corrections(dark, flat), (16, 16))
    np.testing.assert_array_equal(response.bad, curve.mask[0] == MaskState.MASKED)
    assert not response.alters
    np.testing.assert_array_equal(response.counts(frames), np.where(response.bad, 0, frames))
    offset = Response.of(Corrections(dark + 30, flat), (16, 16))
    assert not offset.bad[1, 2]
    assert np.count_nonzero(offset.bad) == 3
    assert offset.counts(np.full((16, 16), 150))[1, 2] == 20
    with pytest.raises(DataError, match="every pixel of the frames bad"):
        Response.of(Corrections(np.full((16, 16), np.nan)), (16, 16))
    with pytest.raises(DataError, match="above zero"):
        Response.of(Corrections(flat=np.zeros((16, 16))), (16, 16))


def test_maps_are_cut_to_the_frames_and_keep_their_type() -> None:
    """The same response comes of the cut ones."""
    dark = np.arange(32 * 40, dtype=np.uint16).reshape(32, 40)
    whole = Corrections(dark, roi=((4, 20), (12, 28)))
    cut = whole.on((16, 16))
    assert cut.dark is not None
    assert (cut.dark.dtype, cut.dark.shape, cut.flat, cut.roi) == (np.uint16, (16, 16), None, None)
    np.testing.assert_array_equal(Response.of(cut, (16, 16)).dark, Response.of(whole, (16, 16)).dark)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.float32])
def test_gaps_of_a_flat_field_are_no_response(dtype: type[np.generic]) -> None:
    """They hold the end of its counter, and the level of the counts stays what it is without them."""
    flat = np.full((16, 16), 20_000, dtype)
    flat[:, :8] = 30_000
    plain = Response.of(Corrections(flat=np.where(np.arange(16) // 2 == 4, dtype(0), flat)), (16, 16))
    flat[:, 8:10] = 2**16 - 1 if dtype is np.uint16 else 2**32 - 1
    found = Response.of(Corrections(flat=flat), (16, 16))
    assert np.flatnonzero(found.bad.all(axis=0)).tolist() == [8, 9]
    np.testing.assert_array_equal(found.gain[~found.bad], plain.gain[~found.bad])
    curve, _ = correct(pattern(np.full((8, 16, 16), 9)), Corrections(flat=flat))
    np.testing.assert_array_equal(curve.mask[0] == MaskState.MASKED, found.bad)
