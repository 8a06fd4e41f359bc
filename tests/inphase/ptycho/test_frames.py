"""Frames and pixels that hold nothing."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.pattern import MaskState
from inphase.ptycho.frames import usable

IDS = np.arange(10)


def counts(dtype: str = "float32") -> np.ndarray:
    """(10, 8, 8)."""
    return np.random.default_rng(0).poisson(50.0, (10, 8, 8)).astype(dtype)


def valid() -> np.ndarray:
    """No pixel masked."""
    return np.zeros((10, 8, 8), np.uint8)


def test_empty_and_dim_frames_are_left_out() -> None:
    """The beam was off in one, and nearly so in another."""
    frames = counts("uint16")
    frames[2] = 0
    frames[5] = 0
    frames[5, 3, 3] = 7
    found = usable(frames, valid(), IDS, "scan")
    assert list(np.flatnonzero(~found.keep)) == [2, 5]
    assert "2, 5" in found.notes[0]


def test_frame_of_nan_is_left_out_and_single_ones_are_masked() -> None:
    """The patterns come back without a NaN."""
    frames = counts()
    frames[4] = np.nan
    frames[6, 1, 2] = np.nan
    frames[7, 0, 0] = np.inf
    found = usable(frames, valid(), IDS, "scan")
    assert list(np.flatnonzero(~found.keep)) == [4]
    assert found.mask[6, 1, 2] == found.mask[7, 0, 0] == MaskState.MASKED
    assert np.isfinite(found.patterns).all()
    assert np.isnan(frames[6, 1, 2])  # the caller's array is as it was
    assert any("not finite" in note for note in found.notes)


def test_counts_that_wrapped_are_masked() -> None:
    """int16 beyond 32767 is negative: no count is."""
    frames = counts("int16")
    frames[3, 4, 4] = -32000
    found = usable(frames, valid(), IDS, "scan")
    assert found.mask[3, 4, 4] == MaskState.MASKED
    assert found.patterns[3, 4, 4] == 0
    assert "1 negative" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("dtype", "mark"),
    [
        ("uint16", 2**16 - 1),
        ("uint32", 2**32 - 1),
        ("uint32", 2**16 - 1),  # of frames that somebody has widened
        ("int32", 2**31 - 1),
        ("int32", 2**16 - 1),
        ("float32", 2**32 - 1),
        ("float32", 2**16 - 1),
        ("float64", 2**32 - 1),
        ("uint64", 2**64 - 1),
    ],
)
def test_marks_of_a_detector_are_masked(dtype: str, mark: int) -> None:
    """A gap of two columns, in the largest number of the detector's own type or of a wider one."""
    frames = counts(dtype)
    frames[:, :, 3:5] = mark
    found = usable(frames, valid(), IDS, "scan")
    expected = np.zeros((10, 8, 8), bool)
    expected[:, :, 3:5] = True
    np.testing.assert_array_equal(found.mask == MaskState.MASKED, expected)
    assert not found.patterns[:, :, 3:5].any()
    assert found.keep.all()
    assert "160 marked by the detector" in found.notes[0]


def test_pixels_at_the_end_of_the_counter_are_masked() -> None:
    """They are saturated: in 16 bits, and in the 14 bits of another counter, of which nothing lies above."""
    for end in (2**16 - 1, 2**14 - 1):
        frames = counts("uint16")
        frames[2, 4, 4] = frames[7, 4, 5] = end
        found = usable(frames, valid(), IDS, "scan")
        assert np.argwhere(found.mask == MaskState.MASKED).tolist() == [[2, 4, 4], [7, 4, 5]]


def test_counts_are_no_marks() -> None:
    """255 in 8 bits, 255 of many in 16, and the brightest pixel of a scan, whatever it is."""
    narrow = np.clip(counts("uint8"), 0, 60)
    narrow[:, 4, 4] = 255
    assert not usable(narrow[:5], valid()[:5], IDS[:5], "scan").mask.any()
    frames = counts("uint32")
    frames[:, 4, 4] = 1000 + np.arange(10)
    frames[3, 4, 4] = 1023
    assert not usable(frames, valid(), IDS, "scan").mask.any()


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_scan_of_mostly_nothing_is_refused(fill: float) -> None:
    """Six of ten."""
    frames = counts()
    frames[:6] = fill
    with pytest.raises(DataError, match="6 of 10"):
        usable(frames, valid(), IDS, "scan")
