"""Saturated, dead and hot: found where they are, and nothing else taken for them."""

import numpy as np
import pytest

from inphase.pattern import MaskState, Pattern
from inphase.preprocess import pixels
from inphase.preprocess.recipe import DeadPixels, HotPixels
from tests.inphase.preprocess.simulated import counts, crystal, pattern

DEAD, HOT = DeadPixels(), HotPixels()


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """A finely sampled crystal of 3e6 photons on a background of 0.02."""
    return counts(crystal(3, (48, 64, 64), (5.0, 4.0, 3.0)).intensity, 3e6, background=0.02)


def masked_pixels(done: Pattern) -> set[tuple[int, int]]:
    return {(int(r), int(c)) for r, c in np.argwhere((done.mask == MaskState.MASKED).all(axis=0))}


def test_saturated_voxels_are_masked(clean: np.ndarray) -> None:
    """Counts at or above the level go, the others stay."""
    level = float(clean.max()) / 2
    done, report = pixels.saturated(pattern(clean), level)
    np.testing.assert_array_equal(done.mask == MaskState.MASKED, clean >= level)
    assert report.numbers["voxels"] == int((clean >= level).sum())


def test_dead_pixels_and_gaps_are_found(clean: np.ndarray) -> None:
    """A dead pixel near the peak and module gaps of 3 and 6 pixels, also crossing the peak, are masked,
    nothing else.
    """
    raw = clean.copy()
    raw[:, 36, 30] = 0
    raw[:, :, 20:26] = 0
    raw[:, 33:36, :] = 0
    done, _ = pixels.faulty(pattern(raw), DEAD, None)
    dead = np.zeros((64, 64), bool)
    dead[36, 30] = dead[:, 20:26] = dead[33:36] = True
    np.testing.assert_array_equal((done.mask == MaskState.MASKED).all(axis=0), dead)


def test_an_empty_far_field_is_not_dead() -> None:
    """At 1e4 photons without background most pixels are zero in all frames, and all of them are valid zeros."""
    raw = counts(crystal(3, (48, 64, 64), (5.0, 4.0, 3.0)).intensity, 1e4)
    assert (raw.sum(axis=0) == 0).mean() > 0.5
    done, (report,) = pixels.faulty(pattern(raw), DEAD, None)
    assert report.numbers["pixels"] == 0
    assert done.valid.all()


def test_a_whole_silent_column_is_a_gap_even_where_little_light_falls() -> None:
    """The line test: a silent column through a sparse far field is masked from end to end."""
    raw = counts(crystal(3, (48, 64, 64), (5.0, 4.0, 3.0)).intensity, 1e4, background=0.01)
    raw[:, :, 50:52] = 0
    done, _ = pixels.faulty(pattern(raw), DEAD, None)
    np.testing.assert_array_equal(np.unique(np.argwhere(done.mask)[:, 2]), [50, 51])
    assert (done.mask[:, :, 50:52] == MaskState.MASKED).all()


def test_spikes_clusters_and_stuck_pixels_are_hot(clean: np.ndarray) -> None:
    """A spike in one frame, a pair, a triple, a bright and a dim pixel in every frame: all masked."""
    raw = clean.copy()
    raw[10, 5, 5] += 400
    raw[11, 50, 8:10] += 900
    raw[12, 8, 50] += 900
    raw[12, 9, 50:52] += 700
    raw[:, 60, 3] += 50
    raw[:, 60, 60] += 2  # 96 counts over the scan where neighbours have 1
    done, (report,) = pixels.faulty(pattern(raw), None, HOT)
    assert (done.mask[10, 5, 5], done.mask[11, 50, 8], done.mask[11, 50, 9]) == (1, 1, 1)
    assert (done.mask[12, 8, 50], done.mask[12, 9, 50], done.mask[12, 9, 51]) == (1, 1, 1)
    assert masked_pixels(done) == {(60, 3), (60, 60)}
    assert report.numbers["pixels_in_every_frame"] == 2
    assert int((done.mask != 0).sum()) == 2 * 48 + 6
    assert not done.intensity[done.mask != 0].any()


@pytest.mark.parametrize("oversampling", [(2.3, 2.3, 2.3), (3.0, 2.4, 4.0), (12.0, 8.0, 6.0)])
@pytest.mark.parametrize("photons", [1e4, 1e5, 1e7, 1e9])
def test_a_crystal_alone_is_never_hot(oversampling: tuple[float, float, float], photons: float) -> None:
    """Peaks of barely and of finely sampled crystals, dim and bright, pass:
    fewer than 1e-5 of the voxels are masked.
    """
    raw = counts(crystal(11, (64, 64, 64), oversampling, peak=(0.3, -0.4, 0.2)).intensity, photons)
    done, _ = pixels.faulty(pattern(raw), None, HOT)
    assert (done.mask != 0).sum() <= 2
    assert done.mask[np.unravel_index(int(raw.argmax()), raw.shape)] == MaskState.VALID


def test_already_masked_and_padded_voxels_keep_their_state() -> None:
    """A step only turns VALID into MASKED."""
    raw = np.zeros((8, 16, 16), np.float32)
    raw[4, 8, 8] = 100
    mask = np.zeros(raw.shape, np.uint8)
    mask[:, :, :2] = MaskState.PADDING
    done, _ = pixels.faulty(Pattern(raw, mask), None, HOT)
    assert (done.mask[:, :, :2] == MaskState.PADDING).all()
    assert done.mask[4, 8, 8] == MaskState.MASKED


def test_noise_that_sums_to_less_than_nothing_is_not_dead(clean: np.ndarray) -> None:
    """After a subtraction the far field sums to about zero over the frames, in whole rows too;
    a pixel without any value is dead.
    """
    raw = clean + np.random.default_rng(6).normal(-0.2, 0.4, clean.shape)
    raw[:, 36, 30] = 0
    assert (raw.sum(axis=0) <= 0).mean() > 0.2
    done, (report,) = pixels.faulty(pattern(raw), DEAD, None)
    assert masked_pixels(done) == {(36, 30)}
    assert report.numbers["pixels"] == 1


def test_a_level_that_float32_does_not_hold(clean: np.ndarray) -> None:
    """Counts of 2^24 + 1 are rounded as the pattern is made, and so is the level: they are found."""
    raw = clean.copy()
    raw[5, 6, 7] = 2**24 + 1
    done, _ = pixels.saturated(pattern(raw.astype(np.float32)), 2.0**24 + 1)
    assert np.array_equal(np.argwhere(done.mask == MaskState.MASKED), [[5, 6, 7]])


def test_a_pixel_that_is_hot_in_the_sum_is_found_without_the_spikes_of_others(clean: np.ndarray) -> None:
    """A spike beside it would hide it in the sum of all frames; a spike on it is left out of its own sum. What is
    given stays as it was.
    """
    raw = clean * 0.0
    raw[:, 10, 10] = 1.0  # 48 counts in all frames: a faint pixel that never ends
    raw[7, 10, 11] = 5000.0
    raw[9, 10, 10] = 900.0
    given = pattern(raw)
    before = given.intensity.copy()
    done, (report,) = pixels.faulty(given, None, HOT)
    assert masked_pixels(done) == {(10, 10)}
    assert report.numbers == {"voxels": 2, "pixels_in_every_frame": 1}
    assert done.mask[7, 10, 11] == MaskState.MASKED
    assert not done.intensity.any()
    np.testing.assert_array_equal(given.intensity, before)


def test_dead_and_hot_are_masked_at_once_and_where_the_arrays_are_owned_in_place(clean: np.ndarray) -> None:
    """The same as one after the other; of a pattern that is not owned nothing changes."""
    raw = clean.copy()
    raw[:, 36, 30] = 0
    raw[10, 5, 5] += 400
    raw[:, 60, 3] += 50
    given = pattern(raw)
    once, reports = pixels.faulty(given, DEAD, HOT)
    assert not np.may_share_memory(once.intensity, given.intensity)
    assert given.valid.all()
    first, before = pixels.faulty(given, DEAD, None)
    twice, after = pixels.faulty(first, None, HOT)
    assert reports == [*before, *after]
    np.testing.assert_array_equal(once.mask, twice.mask)
    np.testing.assert_array_equal(once.intensity, twice.intensity)
    own, _ = pixels.faulty(given, DEAD, HOT, own=True)
    assert own.intensity is given.intensity
    np.testing.assert_array_equal(own.mask, once.mask)
    np.testing.assert_array_equal(own.intensity, once.intensity)
