"""What is refused, what is masked, what is kept."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from inphase.errors import DataError
from inphase.pattern import Domain, MaskState, digest
from inphase.preprocess.validate import pattern_from_array


def scan(dtype: str = "int32") -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, (12, 16, 20)).astype(dtype)


def test_counts_become_float_and_nothing_is_masked() -> None:
    """A clean scan keeps every count, and its digest is that of the input array."""
    raw = scan("uint16")
    made = pattern_from_array(raw, metadata={"sample": "Au"})
    assert made.intensity.dtype == np.float32
    np.testing.assert_array_equal(made.intensity, raw)
    assert made.valid.all()
    assert made.digest == digest(raw)
    assert made.metadata == {"sample": "Au"}


def test_modulus_is_squared() -> None:
    """In the modulus domain the intensity is the square of the input."""
    raw = np.sqrt(scan("float32"))
    np.testing.assert_allclose(pattern_from_array(raw, Domain.MODULUS).intensity, raw**2)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones(64), "1 dimensions"),
        (np.ones((4, 4, 4, 4, 4)), "5 dimensions"),
        (np.ones((12, 16, 4)), "at least 8"),
        (np.ones((12, 16, 20), complex), "complex128"),
        (np.zeros((12, 16, 20), np.uint16), "empty"),
        (np.full((12, 16, 20), np.nan), "NaN"),
        (np.full((12, 16, 20), -1), "negative"),
    ],
)
def test_what_is_no_measurement_is_refused(array: np.ndarray, words: str) -> None:
    """Wrong dimensions, size, type, and scans without a count are DataErrors that say what is wrong."""
    with pytest.raises(DataError, match=words):
        pattern_from_array(array)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -5.0])
def test_few_unknown_voxels_are_masked_and_many_refused(bad: float) -> None:
    """Below 1 % of the voxels NaN, infinite or negative counts are masked;
    above, the message has number and first index.
    """
    raw = scan("float32")
    raw[3, 4, 5] = bad
    made = pattern_from_array(raw)
    assert made.mask[3, 4, 5] == MaskState.MASKED
    assert made.intensity[3, 4, 5] == 0
    assert (made.mask != 0).sum() == 1
    raw[2:5, :, 3:] = bad
    with pytest.raises(DataError, match=r"\(2, 0, 3\)"):
        pattern_from_array(raw)


@pytest.mark.parametrize("mark", [-1.0, np.nan])
def test_pixels_marked_in_every_frame_are_gaps(mark: float) -> None:
    """A column that is -1 or NaN in every frame is how many detectors mark a gap:
    5 % of the pixels, masked, no error.
    """
    raw = scan("float32")
    raw[:, :, 7] = mark
    made = pattern_from_array(raw)
    assert (made.mask[:, :, 7] == MaskState.MASKED).all()
    assert made.valid.sum() == raw.size - raw[:, :, 7].size


@pytest.mark.parametrize(
    ("dtype", "value"), [("uint16", 2**16 - 1), ("uint32", 2**32 - 1), ("int64", 2**32 - 1), ("float64", 2**32 - 1)]
)
def test_the_sentinel_of_a_detector_is_masked(dtype: str, value: int) -> None:
    """The integer maximum, also after conversion to a wider type, means not measured, however many voxels have it."""
    raw = scan(dtype)
    raw[:, 5:8] = value
    made = pattern_from_array(raw)
    assert (made.mask[:, 5:8] == MaskState.MASKED).all()
    assert made.intensity.max() < 100


def test_8_bit_maximum_is_a_count() -> None:
    """255 is a plausible count, not a mark."""
    raw = scan("uint8")
    raw[0, 0, 0] = 255
    assert pattern_from_array(raw).valid.all()


def test_what_the_file_masks_is_not_looked_at() -> None:
    """More NaN and negative counts than a scan may have are no fault where the file's own mask names them;
    without it they are.
    """
    counts = np.random.default_rng(0).poisson(5, (8, 10, 12)).astype(np.float32)
    mask = np.zeros(counts.shape, np.uint8)
    mask[2:4], mask[:, :, 11] = MaskState.MASKED, MaskState.PADDING
    spoilt = counts.copy()
    spoilt[2, :, :6], spoilt[3, 4:] = np.nan, -5.0
    with pytest.raises(DataError, match="NaN"):
        pattern_from_array(spoilt)
    pattern = pattern_from_array(spoilt, mask=mask)
    assert np.array_equal(pattern.mask, mask)
    assert np.array_equal(pattern.intensity, np.where(mask == 0, counts, 0))
    assert pattern.digest == digest(spoilt)


def test_the_files_mask_and_the_detectors_sentinel() -> None:
    """An Eiger's gaps hold 2^32 - 1 whether or not its mask names them;
    both are masked, and an all-masked scan is empty.
    """
    counts = np.full((8, 10, 12), 3, np.uint32)
    counts[:, 4] = 2**32 - 1
    mask = np.zeros(counts.shape, np.uint8)
    mask[:, :, 0] = MaskState.MASKED
    pattern = pattern_from_array(counts, mask=mask)
    assert np.array_equal(pattern.mask != 0, (counts > 3) | (mask != 0))
    with pytest.raises(DataError, match="empty"):
        pattern_from_array(counts, mask=np.ones_like(mask))


def subtracted(deviation: float = 0.3) -> np.ndarray:
    """A peak on noise about -0.1 counts, float32: two thirds of the voxels of its far field are negative."""
    random = np.random.default_rng(5)
    rate = 4000 * np.exp(
        -np.square(np.indices((20, 24, 28)) - np.array([10, 12, 14]).reshape(3, 1, 1, 1)).sum(axis=0) / 8
    )
    return (random.poisson(rate) + random.normal(-0.1, deviation, rate.shape)).astype(np.float32)


def test_the_noise_of_a_subtracted_background_keeps_its_sign() -> None:
    """Half of the voxels slightly below zero are measured values:
    nothing is masked or clipped, so that sums stay right.
    """
    raw = subtracted()
    assert (raw < 0).mean() > 0.5
    made = pattern_from_array(raw)
    assert made.valid.all()
    assert made.signed
    assert not pattern_from_array(np.maximum(raw, 0)).signed
    np.testing.assert_array_equal(made.intensity, raw)


def test_whole_negatives_are_noise_and_a_pilatus_gap_is_a_mark() -> None:
    """-1 and -2 in single frames are what subtracting a dark frame leaves;
    a row of -1 and a pixel of -2 in every frame are marks.
    """
    raw = np.rint(subtracted(0.8)).astype(np.int32)
    raw[:, 3] = -1
    raw[:, 20, 5] = -2
    assert (raw < 0).mean() > 0.2
    made = pattern_from_array(raw)
    marks = np.zeros(raw.shape[1:], bool)
    marks[3], marks[20, 5] = True, True
    np.testing.assert_array_equal(made.mask, np.broadcast_to(np.where(marks, MaskState.MASKED, 0), raw.shape))
    np.testing.assert_array_equal(made.intensity, np.where(marks, 0, raw))


def test_an_outlier_among_the_noise_is_masked_and_many_are_refused_with_their_number() -> None:
    """-50 counts on noise of 0.3 are damage: one voxel is masked, 4 % of them are refused,
    and the message counts the negative ones.
    """
    raw = subtracted()
    raw[2, 3, 4] = -50
    made = pattern_from_array(raw)
    assert np.argwhere(~made.valid).tolist() == [[2, 3, 4]]
    raw[2, :, 8:28] = -50
    said = (
        rf"{(raw < 0).sum()} negative counts.*: {(raw == -50).mean():.1%} of the voxels .* than noise does, 100% .* -50"
    )
    with pytest.raises(DataError, match=said):
        pattern_from_array(raw)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_an_offset_below_zero_is_told_with_what_to_do(dtype: str) -> None:
    """3 counts were taken off a pattern whose background is next to nothing: the share of the negative voxels, their
    value, and how it is mended, which is the measurement.
    """
    counts = np.rint(subtracted(0.0) + 0.1).astype(dtype)
    raw = counts - np.dtype(dtype).type(3)
    with pytest.raises(DataError) as refused:
        pattern_from_array(raw)
    assert f"{(raw < 0).mean():.1%} of the voxels lie below zero, " in str(refused.value)
    assert f"{(raw == -3).sum() / (raw < 0).sum():.0%} of these at -3" in str(refused.value)
    assert "add 3 to every voxel" in str(refused.value)
    assert "never measure" not in str(refused.value)
    np.testing.assert_array_equal(pattern_from_array(raw + 3).intensity, counts)


@pytest.mark.parametrize("scale", [0.1, 10.0, 1000.0])
@pytest.mark.parametrize("offset", [1, 3, 10])
def test_an_offset_of_a_bright_pattern_is_told(pattern: np.ndarray, scale: float, offset: int) -> None:
    """Few voxels are dark there, 17 % in the brightest, and their counts less the offset would pass for noise: it is
    refused all the same, with the offset, and without it the pattern is as it was.
    """
    light = gaussian_filter(pattern.astype(float), 1.0) * scale
    counts = np.random.default_rng(0).poisson(light).astype(np.float32)
    with pytest.raises(DataError, match=f"of the voxels lie below zero, .* of these at -{offset}\\..* add {offset} to"):
        pattern_from_array(counts - offset)
    np.testing.assert_array_equal(pattern_from_array(counts).intensity, counts)


def test_an_offset_with_noise_is_told_by_its_range() -> None:
    """Half of normal noise of 0.7 about -5 lies within 0.6745 times that."""
    raw = np.random.default_rng(2).normal(-5, 0.7, (20, 24, 28)).astype(np.float32)
    raw[10, 12, 10:18] = 4000
    with pytest.raises(DataError, match=r"half of these between -5\.4\d* and -4\.5\d*\..* add (5|4\.99|5\.00)\d* to"):
        pattern_from_array(raw)


def test_negative_moduli_are_refused() -> None:
    """A modulus has no noise about zero."""
    with pytest.raises(DataError, match="negative moduli"):
        pattern_from_array(subtracted(), Domain.MODULUS)


def test_marks_in_single_voxels_are_no_noise() -> None:
    """-1 in a tenth of the voxels, wherever they lie, also between voxels of hundreds of counts:
    not measured, and too many.
    """
    raw = np.round(subtracted(0.0) + 0.1).astype(np.int32)
    raw[np.random.default_rng(0).random(raw.shape) < 0.1] = -1
    with pytest.raises(DataError, match=f"{(raw < 0).sum()} negative"):
        pattern_from_array(raw)
