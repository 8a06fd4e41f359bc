"""Starts from a prediction and from random phases."""

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.fourier import forward
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts, autocorrelation_support, from_prediction, random


def _problem(shape, box):
    obj = np.zeros(shape, np.complex64)
    obj[tuple(slice(n // 2 - b // 2, n // 2 + (b + 1) // 2) for n, b in zip(shape, box, strict=True))] = 1
    lead = (1,) * (3 - len(shape))
    modulus = np.abs(forward(obj.reshape(lead + shape))).reshape(shape).astype(np.float32)
    return Problem(modulus, np.zeros(shape, np.uint8)), obj.real > 0


def test_a_prediction_is_thresholded_at_a_tenth_of_its_maximum():
    """DESIGN: the support of `50*ER` is the prediction above 0.1 of its maximum; the object is zero outside."""
    amplitude = np.array([[0.0, 0.19], [0.21, 2.0]])
    starts = from_prediction(amplitude, np.full((2, 2), np.pi / 2))
    np.testing.assert_array_equal(starts.supports[0], [[False, False], [True, True]])
    np.testing.assert_allclose(starts.objects[0], [[0, 0], [0.21j, 2j]], atol=1e-7)
    assert starts.objects.dtype == np.complex64
    assert starts.kind == "network"


def test_an_empty_or_broken_prediction_is_refused():
    """A network that returns zeros or NaN cannot start anything."""
    for amplitude in (np.zeros((2, 2)), np.full((2, 2), np.nan)):
        with pytest.raises(DataError):
            from_prediction(amplitude, np.zeros((2, 2)))


def test_random_starts_repeat_with_their_seed_and_differ_among_each_other():
    """Determinism under a seed; unit amplitude within the support, zero outside."""
    problem, _ = _problem((16, 16, 16), (5, 6, 4))
    one, same, other = random(problem, 3, 1), random(problem, 3, 1), random(problem, 3, 2)
    np.testing.assert_array_equal(one.objects, same.objects)
    assert (one.objects != other.objects).any()
    assert (one.objects[0] != one.objects[1]).any()
    np.testing.assert_allclose(np.abs(one.objects), one.supports, atol=1e-6)
    assert one.kind == "random"


@pytest.mark.parametrize(
    ("shape", "box"), [((32, 32, 32), (9, 11, 8)), ((30, 34), (9, 8)), ((32,), (8,)), ((64, 34, 26), (20, 9, 7))]
)
def test_the_halved_autocorrelation_of_a_box_is_the_box(shape, box):
    """A box is convex and has a centre: the start's support is centred, of its size to one voxel a side, in any dimension."""
    problem, truth = _problem(shape, box)
    support = autocorrelation_support(problem)
    for axis in range(len(shape)):
        line = support.any(axis=tuple(a for a in range(len(shape)) if a != axis))
        extent = np.flatnonzero(line)
        assert abs(len(extent) - box[axis]) <= 1
        assert abs((extent[0] + extent[-1]) / 2 - shape[axis] // 2) <= 0.5
    assert support.sum() <= truth.sum() * 1.3


def test_shapes_and_supports_must_fit():
    """Mismatched shapes or an empty support are errors at once."""
    with pytest.raises(DataError):
        Starts(np.ones((1, 4, 4), np.complex64), np.ones((1, 4, 5), bool), "random")
    with pytest.raises(DataError, match="support of start 1"):
        Starts(np.ones((2, 4), np.complex64), np.array([[True] * 4, [False] * 4]), "random")
