"""The central slice of a rocking curve is the far field of the object's projection."""

from dataclasses import replace

import numpy as np
import pytest

from inphase import fourier
from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.pattern import Domain, Pattern
from inphase.preprocess.pipeline import preprocess
from inphase.preprocess.recipe import preset
from inphase.preprocess.slicing import central, frame_geometry
from tests.toy import crystal


def pattern(shift: int = 0) -> Pattern:
    """The noise-free intensity of the toy crystal, its peak `shift` frames off the middle."""
    intensity = np.abs(fourier.forward(crystal())) ** 2
    intensity *= 1e8 / intensity.sum()
    return Pattern(np.roll(intensity, shift, 0).astype(np.float32), np.zeros((64, 64, 64), np.uint8))


@pytest.mark.parametrize("shift", [0, 5])
def test_it_is_the_pattern_of_the_projection(shift: int) -> None:
    """Prepared as a frame: the transform of the sum along the rocking axis, wherever along it the peak lies."""
    recipe = replace(preset("none", Domain.COUNTS), centring=preset("auto", Domain.COUNTS).centring)
    found = preprocess(pattern(shift), recipe, (64, 64), central_slice=True)
    projection = np.abs(fourier.forward(crystal().sum(0))) ** 2
    np.testing.assert_allclose(
        found.pattern.intensity / found.pattern.intensity.max(), projection / projection.max(), atol=1e-5
    )
    step = next(step for step in found.steps if step.name == "central_slice")
    assert step.numbers == {"frame": 32 + shift}
    assert len(found.transform.offset) == 2


def test_its_geometry_is_that_of_the_frame() -> None:
    """Two steps of q are left, and the momentum transfer is that of the frame's middle pixel."""
    steps = np.diag([1e5, 2e5, 3e5])
    found = frame_geometry(Geometry(steps, np.array([0.0, 0.0, 2e10])), 5)
    np.testing.assert_array_equal(found.q_steps, steps[1:])
    np.testing.assert_allclose(found.q_centre, [5e5, 0.0, 2e10])
    taken, _ = central(replace(pattern(5), geometry=Geometry(steps, np.array([0.0, 0.0, 2e10]))), (37, 32, 32))
    assert taken.geometry is not None
    np.testing.assert_allclose(taken.geometry.q_centre, [5e5, 0.0, 2e10])


def test_what_has_no_central_slice_is_refused() -> None:
    """A single frame, a curve whose frame through the peak is lost, and a grid of three axes: said with the way out."""
    flat = Pattern(np.ones((64, 64), np.float32), np.zeros((64, 64), np.uint8))
    with pytest.raises(DataError, match="single frame: leave it out"):
        central(flat, (32, 32))
    dark = pattern()
    dark.intensity[32] = 0
    with pytest.raises(DataError, match="frame 34, through the Bragg peak, holds no count"):
        central(dark, (32, 32, 32), origin=2)
    with pytest.raises(DataError, match="family image"):
        preprocess(pattern(), preset("auto", Domain.COUNTS), (64, 64, 64), central_slice=True)


def test_a_curve_for_a_network_of_frames_is_told_of_its_slice() -> None:
    """Two ways out: the central slice, or the stack."""
    with pytest.raises(DataError, match=r"slice=center.*stack"):
        preprocess(pattern(), preset("auto", Domain.COUNTS), (64, 64))
