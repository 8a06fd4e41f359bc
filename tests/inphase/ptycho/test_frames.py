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


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_scan_of_mostly_nothing_is_refused(fill: float) -> None:
    """Six of ten."""
    frames = counts()
    frames[:6] = fill
    with pytest.raises(DataError, match="6 of 10"):
        usable(frames, valid(), IDS, "scan")
