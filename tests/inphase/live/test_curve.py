"""Unfinished curves as measurements."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.geometry import Geometry
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.way import prepare
from inphase.live.curve import Curve, places_of
from inphase.pattern import MaskState
from tests.toy import counts

FRAME = RawScan(np.zeros((4, 5), np.uint16), None, "", "")


def frame(value: int) -> np.ndarray:
    """Of the curve of FRAME."""
    return np.full((4, 5), value, np.uint16)


def test_what_is_not_measured_is_padding_beyond_and_masked_between() -> None:
    """Frames lie at their places, whatever the order in which they came."""
    scan = Curve(FRAME, 9).scan({6: frame(6), 2: frame(2), 3: frame(3)})
    assert scan.array[:, 0, 0].tolist() == [0, 0, 2, 3, 0, 0, 6, 0, 0]
    assert scan.mask is not None
    assert [{int(s) for s in np.unique(plane)} for plane in scan.mask] == [{2}, {2}, {0}, {0}, {1}, {1}, {0}, {2}, {2}]


def test_the_whole_curve_is_the_measurement_of_a_file() -> None:
    """Array, mask and geometry are those of the template, and nothing is masked for the sake of frames."""
    mask = np.zeros((4, 5), np.uint8)
    mask[1, 2] = MaskState.MASKED
    geometry = Geometry(np.eye(3), np.array([1.0, 2.0, 3.0]))
    plain, told = Curve(FRAME, 3), Curve(RawScan(FRAME.array, geometry, "", "", mask=mask), 3)
    frames = {place: frame(place) for place in (2, 0, 1)}
    assert plain.scan(frames).mask is None
    scan = told.scan(frames)
    np.testing.assert_array_equal(scan.array, np.stack([frame(0), frame(1), frame(2)]))
    np.testing.assert_array_equal(scan.mask, np.stack([mask] * 3))
    assert scan.geometry is geometry
    del frames[1]
    assert told.scan(frames).mask[1].all()  # type: ignore[index]


def test_a_curve_with_an_open_end_ends_with_its_last_frame() -> None:
    """Q is told at place 0 then, so every voxel keeps its Q, however long the curve becomes."""
    steps = np.diag([1e6, 2e6, 3e6])
    curve = Curve(RawScan(FRAME.array, Geometry(steps, np.array([5e6, 0, 0])), "", ""))
    for n in (3, 8):
        scan = curve.scan({place: frame(place) for place in range(n)})
        assert scan.array.shape == (n, 4, 5)
        assert scan.geometry is not None
        np.testing.assert_allclose(scan.geometry.q(np.array([2 - n // 2, 0, 0])), [5e6 + 2e6, 0, 0])


def test_the_pattern_of_a_part_is_that_of_the_whole_where_it_was_measured() -> None:
    """On the grid: the measured voxels hold the same counts, and the others are padding with a bound above zero."""
    pattern = counts()
    curve = Curve(RawScan(pattern[0], None, "", ""), len(pattern))
    options = Options(
        model=None, start="random", preprocess="auto: binning(factors=1x1x1) background(off)", grid="model"
    )
    whole, part = (
        prepare(curve.scan({place: pattern[place] for place in range(n)}), options, None, Clock()) for n in (64, 45)
    )
    assert whole.report.preprocess.offset == part.report.preprocess.offset
    measured = part.pattern.mask != MaskState.PADDING
    assert np.flatnonzero(measured.any(axis=(1, 2))).tolist() == list(range(45))
    np.testing.assert_array_equal(part.pattern.intensity[:45], whole.pattern.intensity[:45])
    assert part.prepared.problem.padding_bound > 0
    assert whole.prepared.problem.padding_bound == 0


def test_what_lies_beyond_the_last_frame_need_not_be_there() -> None:
    """The grid of a curve up to its last frame is that of the finished curve with padding, value by value; so is Q."""
    pattern, geometry = counts(), Geometry(np.diag([1e6, 2e6, 3e6]), np.array([1e9, 2e9, 3e9]))
    curve = Curve(RawScan(pattern[0], geometry, "", ""), len(pattern))
    frames = {place: pattern[place] for place in range(2, 45)}
    scans = [curve.scan(frames, reached=reached) for reached in (False, True)]
    assert [len(scan.array) for scan in scans] == [64, 45]
    assert scans[0].chosen == scans[1].chosen
    for n, scan in zip((64, 45), scans, strict=True):
        assert scan.geometry is not None
        np.testing.assert_allclose(scan.geometry.q(np.array([10 - n // 2, 0, 0])), [1e9 - 22e6, 2e9, 3e9])
    options = Options(start="random", preprocess="auto", grid="model")
    padded, short = (prepare(scan, options, None, Clock()) for scan in scans)
    for name in ("modulus", "mask", "free"):
        np.testing.assert_array_equal(getattr(padded.prepared.problem, name), getattr(short.prepared.problem, name))
    assert padded.prepared.problem.padding_bound == short.prepared.problem.padding_bound > 0
    assert padded.report.preprocess.offset == short.report.preprocess.offset
    assert padded.report.oversampling == short.report.oversampling


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 5), np.uint16), r"\(5, 5\) of uint16"),
        (np.zeros((4, 5), np.uint32), r"\(4, 5\) of uint32"),
    ],
)
def test_frames_of_another_curve_are_refused(array: np.ndarray, words: str) -> None:
    """By shape and by type."""
    with pytest.raises(DataError, match=words):
        Curve(FRAME).scan({0: array})


def test_frames_that_are_no_numbers_are_refused() -> None:
    """With the first pixel of them."""
    broken = np.zeros((4, 5), np.float32)
    broken[2, 3] = np.inf
    with pytest.raises(DataError, match=r"frame 3 holds 1 values .* \(2, 3\)"):
        Curve(RawScan(np.zeros((4, 5), np.float32), None, "", "")).scan({3: broken})


def test_places_outside_are_refused() -> None:
    """Of a finished curve by its frames, of an open end by the bound."""
    assert Curve(FRAME, 3).refusal(2, 99) == ""
    assert "places are 0 to 2" in Curve(FRAME, 3).refusal(3, 99)
    assert "open end" in Curve(FRAME).refusal(99, 99)
    with pytest.raises(DataError, match="place -1"):
        Curve(FRAME, 3).scan({-1: frame(1)})
    with pytest.raises(DataError, match="no frame"):
        Curve(FRAME, 3).scan({})


def test_a_template_is_one_frame() -> None:
    """Also as a stack of one, with its mask; a stack of two and complex numbers are none."""
    mask = np.ones((1, 4, 5), np.uint8)
    one = Curve.of(RawScan(np.zeros((1, 4, 5)), None, "", "", mask=mask), 7)
    assert (one.shape, one.frames, one.valid.any()) == ((4, 5), 7, False)
    for array in (np.zeros((2, 4, 5)), np.zeros((4, 5), complex), np.zeros(5)):
        with pytest.raises(DataError, match="one frame"):
            Curve.of(RawScan(array, None, "", ""))


def test_places_follow_from_positions() -> None:
    """In any order and with jitter, upwards and downwards; what lies between two places is refused."""
    positions = np.array([10.02, 10.0, 10.0105])
    assert places_of(positions, 10.0, 0.01) == [2, 0, 1]
    assert places_of(positions, 10.02, -0.01) == [0, 2, 1]
    with pytest.raises(DataError, match=r"10.004 lies 0.40 steps from place 0"):
        places_of(np.array([10.0, 10.004]), 10.0, 0.01)
    with pytest.raises(DataError, match="not zero"):
        places_of(positions, 10.0, 0.0)
