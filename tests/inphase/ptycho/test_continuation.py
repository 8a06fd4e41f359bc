"""An image that goes on growing, against the one of all frames and against the truth of a simulation."""

from dataclasses import replace

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.ptycho.continuation import continued, joined, likeness
from inphase.ptycho.engine import reconstruct
from inphase.ptycho.options import Options
from inphase.ptycho.orientation import ALL, between, turned
from inphase.ptycho.scores import compared
from tests.inphase.ptycho.scenes import measured, small, truth

SCENE = small()
FIRST = Options("20*RPIE", turn=False, hold_out=0.0)
NEXT = Options("10*RPIE", turn=False, hold_out=0.0, probe_start=0)


def test_an_image_that_grows_becomes_the_image_of_all_frames() -> None:
    """Upper half first; then the whole from there, in fewer iterations than from nothing, on one grid of pixels."""
    whole = measured(SCENE)
    half = reconstruct(whole.only(np.arange(28)), FIRST)
    few = replace(NEXT, recipe="3*RPIE")
    assert reconstruct(whole, few, start=half).report.r_factor < 0.8 * reconstruct(whole, few).report.r_factor
    found = reconstruct(whole, NEXT, start=half)
    lies = half.origin_px - found.origin_px
    np.testing.assert_allclose(lies, np.round(lies), atol=1e-9)
    score = compared(found.object, truth(SCENE, found.object.shape, found.origin_px), found.coverage > 0.2)
    assert score.correlation > 0.999


def test_a_field_grows_only_where_windows_lie() -> None:
    """Continued with its own frames it stays as large as it was, however often."""
    whole = measured(SCENE)
    found = reconstruct(whole, replace(FIRST, recipe="1*EPIE"))
    for _ in range(3):
        again = reconstruct(whole, replace(NEXT, recipe="1*EPIE"), start=found)
        assert again.object.shape == found.object.shape
        np.testing.assert_allclose(again.origin_px, found.origin_px)
        found = again


@pytest.mark.parametrize("orientation", ALL, ids=str)
def test_positions_are_turned_as_the_earlier_image_has_them(orientation: object) -> None:
    """Whatever of the eight was found for the first frames holds for the next ones."""
    whole = measured(SCENE)
    right = turned(whole, orientation)  # type: ignore[arg-type]
    assert between(whole.positions_px, right.positions_px) == orientation
    half = reconstruct(right.only(np.arange(20)), replace(FIRST, recipe="1*EPIE"))
    begun = continued(whole.only(np.arange(10, 49)), half)
    np.testing.assert_allclose(begun.measured.positions_px, right.positions_px[10:])


def test_coverage_and_frames_of_both_are_kept() -> None:
    """Of an image that was made of the new frames and some of the old ones."""
    whole = measured(SCENE)
    half = reconstruct(whole.only(np.arange(28)), FIRST)
    more = reconstruct(whole.only(np.arange(21, 49)), NEXT, start=half)
    both = joined(half, more)
    np.testing.assert_array_equal(both.ids, np.arange(49))
    np.testing.assert_allclose(both.positions_px, whole.positions_px)
    all_lit = reconstruct(whole, replace(FIRST, recipe="1*EPIE")).coverage
    assert np.count_nonzero(both.coverage > 0.1) > 0.9 * np.count_nonzero(all_lit > 0.1)
    assert np.count_nonzero(more.coverage > 0.1) < 0.8 * np.count_nonzero(all_lit > 0.1)
    assert likeness(half, half) == pytest.approx(1)
    assert 0.97 < likeness(half, both) < 1


def test_a_probe_of_another_window_is_refused() -> None:
    """It says which shapes differ."""
    half = reconstruct(measured(SCENE), replace(FIRST, recipe="1*EPIE"))
    with pytest.raises(DataError, match=r"\(32, 32\) pixels, the patterns have \(24, 24\)"):
        continued(measured(small(side=24)), half)
