"""Values that mean "not measured", whatever type they are kept in."""

import numpy as np
import pytest

from inphase.pattern import Domain, MaskState
from inphase.preprocess import validate
from inphase.preprocess.validate import pattern_from_array
from tests.inphase.preprocess.simulated import counts, crystal

SHAPE = (32, 40, 48)
LARGEST = 9000  # counts in a voxel, about


@pytest.fixture(scope="module")
def curve() -> np.ndarray:
    truth = crystal(6, SHAPE, (3.0, 3.0, 3.0)).intensity
    return counts(truth, LARGEST / float(truth.max())).astype(np.int64)


MARKS = [
    (2**n - 1, dtype)
    for n, dtypes in [
        (14, ("uint16", "int32", "float32")), (16, ("uint32", "int32", "int64", "uint64", "float32", "float64")),
        (20, ("int32", "float32")), (24, ("uint32", "float64")), (31, ("int32", "uint32", "float32")),
        (32, ("uint32", "int64", "float32", "float64")), (63, ("int64", "uint64")), (64, ("uint64",)),
    ]
    for dtype in dtypes
] + [(999999, "int32"), (1e20, "float64")]  # fmt: skip


@pytest.mark.parametrize(("mark", "dtype"), MARKS)
def test_an_impossible_value_in_every_frame_marks_a_pixel(curve: np.ndarray, mark: float, dtype: str) -> None:
    """The end of a counter, or any constant above all counts, in gaps between modules:
    these pixels are masked, nothing else.
    """
    raw = curve.astype(dtype)
    raw[:, 10:14], raw[:, :, 30] = mark, mark
    made = pattern_from_array(raw)
    gap = np.zeros(SHAPE, bool)
    gap[:, 10:14], gap[:, :, 30] = True, True
    np.testing.assert_array_equal(made.mask == MaskState.MASKED, gap)
    np.testing.assert_array_equal(made.intensity, np.where(gap, 0, curve))
    assert made.unknown["marked_pixels"] == gap[0].sum()


def test_uint8_gaps_hold_255(curve: np.ndarray) -> None:
    """In every frame 255 is a mark; once it is a count."""
    raw = np.minimum(curve, 200).astype(np.uint8)
    raw[:, 10], raw[3, 20, 20] = 255, 255
    made = pattern_from_array(raw)
    assert (made.mask[:, 10] == MaskState.MASKED).all()
    assert made.valid.sum() == raw.size - raw[:, 10].size


def test_a_narrow_mark_is_no_saturation_where_counts_exceed_it(curve: np.ndarray) -> None:
    """Gaps hold 1023, the peak more: single voxels with 1023 are counts."""
    raw = curve.astype(np.uint32)
    raw[:, 10], raw[5, 30, 20] = 1023, 1023
    made = pattern_from_array(raw)
    assert made.valid[5, 30, 20]
    assert not made.valid[:, 10].any()


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "float32"])
@pytest.mark.parametrize("gaps", [False, True])
def test_counts_that_pile_up_at_the_end_of_a_narrower_counter_are_saturated(
    curve: np.ndarray, dtype: str, gaps: bool
) -> None:
    """Clipped at 4095, kept in a wider type, with and without gaps at that value:
    exactly the clipped voxels are masked.
    """
    raw = np.minimum(curve, 4095)
    clipped = raw == 4095
    assert clipped.sum() > 1
    if gaps:
        raw[:, 10], clipped[:, 10] = 4095, True
    made = pattern_from_array(raw.astype(dtype))
    np.testing.assert_array_equal(~made.valid, clipped)


def test_one_voxel_at_the_largest_count_is_a_count(curve: np.ndarray) -> None:
    """A maximum may be 16383 by chance, where no second voxel has it and no pixel marks with it."""
    raw = curve.astype(np.uint32)
    raw[np.unravel_index(raw.argmax(), SHAPE)] = 16383
    assert pattern_from_array(raw).valid.all()


@pytest.mark.parametrize("fill", [np.nan, -1, -9999, 1, 7, 255, 65535, 2**32 - 1, 1e9])
def test_a_frame_filled_with_one_value_is_masked(curve: np.ndarray, fill: float) -> None:
    """However many frames are, and whatever marks the gaps in them and in the others:
    nothing counts against the scan.
    """
    raw = curve.astype(np.float64)
    raw[:, 12] = -2
    raw[[15, 18]] = fill
    raw[27:] = fill
    raw[18, 12] = -2
    made = pattern_from_array(raw)
    lost = np.isin(np.arange(SHAPE[0]), [15, 18, *range(27, SHAPE[0])])
    assert made.unknown["filled_frames"] == np.flatnonzero(lost).tolist()
    expected = np.broadcast_to(lost[:, None, None], SHAPE).copy()
    expected[:, 12] = True
    np.testing.assert_array_equal(~made.valid, expected)


@pytest.mark.parametrize("mark", [-1, 65535])
def test_gaps_are_marked_in_the_frames_that_were_measured(curve: np.ndarray, mark: int) -> None:
    """A lost frame is zero in the gaps, too; they are marked all the same."""
    raw = curve.astype(np.int32)
    raw[:, 8:12], raw[14] = mark, 0
    made = pattern_from_array(raw)
    measured = np.arange(SHAPE[0]) != 14
    assert not made.valid[measured, 8:12].any()
    assert made.valid[measured, 12:].all()


def test_a_pedestal_is_no_fill_value() -> None:
    """Rounded counts without noise on a pedestal of 50: dark frames hold 50 throughout, and were measured."""
    truth = crystal(6, SHAPE, (3.0, 3.0, 3.0)).intensity
    raw = np.rint(truth * 300 / truth.max()).astype(np.int32) + 50
    assert (raw.reshape(len(raw), -1) == 50).all(axis=1).any()
    assert pattern_from_array(raw).valid.all()


def test_frames_that_are_all_alike_mark_nothing(curve: np.ndarray) -> None:
    """One frame many times is no rocking curve, but its bright pixels are no marks."""
    raw = np.repeat(curve[16:17], 12, axis=0).astype(np.int32)
    assert pattern_from_array(raw).valid.all()


def test_moduli_have_no_counter(curve: np.ndarray) -> None:
    """Only what is constant in every frame is a mark."""
    raw = np.sqrt(curve)
    raw[3, 20, 20:23] = 65535
    assert pattern_from_array(raw, Domain.MODULUS).valid.all()


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize("dark", [0.02, 0.4])
def test_counts_that_lost_their_sign_are_masked_and_told(curve: np.ndarray, dark: float, dtype: str) -> None:
    """A dark frame was subtracted in uint16: -1 became 65535 and -2 65534. Exactly these voxels are masked."""
    taken = np.random.default_rng(2).poisson(dark, SHAPE)
    made = pattern_from_array((curve - taken).astype(np.uint16).astype(dtype))
    np.testing.assert_array_equal(~made.valid, curve < taken)
    report = validate.report(made)
    assert report.numbers["below_zero_without_sign"] == (curve < taken).sum()
    assert "lost their sign" in report.doubts[0]


def test_a_saturated_peak_has_its_sign(curve: np.ndarray) -> None:
    """Bright voxels at the end of the counter lie beside bright ones."""
    raw = np.minimum(curve * 20, 65535).astype(np.uint16)
    made = pattern_from_array(raw)
    np.testing.assert_array_equal(~made.valid, raw == 65535)
    assert validate.report(made).doubts == ()
