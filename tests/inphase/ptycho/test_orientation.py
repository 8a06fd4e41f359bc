"""Eight of eight are found."""

from dataclasses import replace

import numpy as np
import pytest

from inphase.ptycho import engine
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.optics import FarField
from inphase.ptycho.options import Options
from inphase.ptycho.orientation import ALL, Orientation, decided, turned
from tests.inphase.ptycho.scenes import measured, small

SCENE = small(frames=8)


def wrongly(orientation: Orientation) -> Measurement:
    """The scene whose positions must be turned so to fit."""
    inverse = next(one for one in ALL if _undoes(one, orientation))
    return turned(measured(SCENE), inverse)


def _undoes(one: Orientation, other: Orientation) -> bool:
    square = np.array([[1.0, 2.0], [3.0, 5.0]])
    return np.array_equal(other.positions(one.positions(square)), square)


@pytest.mark.parametrize("orientation", ALL, ids=str)
def test_each_of_the_eight_is_found(orientation: Orientation) -> None:
    """By a curved, asymmetric probe: the positions are as they were, and where they were turned a note says how."""
    found = engine.oriented(wrongly(orientation), Options())
    np.testing.assert_allclose(found.positions_px, measured(SCENE).positions_px)
    turns = [note for note in found.notes if str(orientation) in note]
    assert bool(turns) == (orientation != Orientation())


def test_turning_is_done_in_metres() -> None:
    """Where pixels are not square, exchanged axes are as long as they were."""
    optics = FarField(1e-10, 1.0, (50e-6, 100e-6))
    whole = replace(measured(SCENE), optics=optics)
    exchanged = turned(whole, Orientation(exchanged=True))
    assert whole.positions_m is not None
    assert exchanged.positions_m is not None
    np.testing.assert_allclose(exchanged.positions_m, whole.positions_m[:, ::-1])


def test_twins_are_told_and_left_as_given() -> None:
    """Of two that fit alike the given one is kept, and the notes say that it might be the other."""
    scores = dict.fromkeys(ALL, 0.5) | {Orientation(): 0.2, Orientation().negative: 0.199}
    found = decided(measured(SCENE), scores)
    np.testing.assert_array_equal(found.positions_px, measured(SCENE).positions_px)
    assert "twin" in found.notes[-1]


def test_small_differences_turn_nothing() -> None:
    """A share of one in a hundred is noise."""
    scores = dict.fromkeys(ALL, 0.3) | {Orientation(exchanged=True): 0.298, Orientation(): 0.3}
    np.testing.assert_array_equal(decided(measured(SCENE), scores).positions_px, measured(SCENE).positions_px)


def test_few_frames_tell_nothing() -> None:
    """And that is said."""
    found = engine.oriented(measured(SCENE).only(np.arange(5)), Options())
    assert "too few" in found.notes[-1]
