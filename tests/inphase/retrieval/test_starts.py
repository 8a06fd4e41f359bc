"""Starts from a prediction and from random phases."""

import numpy as np
import pytest

from inphase.ambiguity import twin
from inphase.errors import DataError
from inphase.fourier import forward
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import parse
from inphase.retrieval.starts import Starts, autocorrelation_support, flat, from_prediction, jittered, random, together


def _problem(shape, box):
    obj = np.zeros(shape, np.complex64)
    obj[tuple(slice(n // 2 - b // 2, n // 2 + (b + 1) // 2) for n, b in zip(shape, box, strict=True))] = 1
    lead = (1,) * (3 - len(shape))
    modulus = np.abs(forward(obj.reshape(lead + shape))).reshape(shape).astype(np.float32)
    return Problem(modulus, np.zeros(shape, np.uint8)), obj.real > 0


def test_a_prediction_is_thresholded_at_a_tenth_of_its_maximum():
    """The support of `50*ER` is the prediction above 0.1 of its maximum; the object is zero outside."""
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
    """A box is convex and has a centre: the start's support is centred, of its size to one voxel a side,
    in any dimension.
    """
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


def test_jittered_starts_vary_smoothly_around_the_prediction():
    """Phase differences of 0.5 rad rms that hardly change between neighbours; another support each; repeatable."""
    z, y, x = np.indices((32, 32, 32)) - 16
    amplitude = np.exp(-(z**2 + y**2 + x**2) / 60.0)
    phase = 0.1 * x
    one, same = jittered(amplitude, phase, 3, 5), jittered(amplitude, phase, 3, 5)
    np.testing.assert_array_equal(one.objects, same.objects)
    assert (one.kind, one.objects.shape) == ("jittered", (3, 32, 32, 32))
    assert len({int(support.sum()) for support in one.supports}) == 3
    whole = jittered(np.ones_like(amplitude), phase, 3, 5)
    turned = np.angle(whole.objects * np.exp(-1j * phase))
    assert np.sqrt((turned**2).mean()) == pytest.approx(0.5, rel=0.02)
    assert np.sqrt((np.diff(turned, axis=1) ** 2).mean()) < 0.25
    np.testing.assert_allclose(np.log(np.abs(whole.objects)).std(axis=(1, 2, 3)), 0.2, rtol=0.02)


def test_a_flat_start_of_phase_zero_would_stay_its_own_twin():
    """Why `flat` has a phase: from phase zero, an object without a centre stays among the self-twins until rounding
    breaks the tie.
    """
    rng = np.random.default_rng(0)
    obj = np.zeros((16, 16, 16), np.complex64)
    obj[5:10, 6:11, 6:10] = rng.random((5, 5, 4)) + 1j * rng.random((5, 5, 4))
    problem = Problem(np.abs(forward(obj)).astype(np.float32), np.zeros(obj.shape, np.uint8))
    starts = flat(problem, 2, 1)
    assert starts.kind == "autocorrelation"
    np.testing.assert_allclose(np.abs(starts.objects), starts.supports, atol=1e-6)
    zero = Starts(starts.supports[:1].astype(np.complex64), starts.supports[:1], "autocorrelation")
    own_twin = []
    for start in (zero, starts):
        found = retrieve(problem, parse("3*ER"), start)[0].object
        own_twin.append(abs(np.vdot(twin(found), found)) / np.vdot(found, found).real)
    assert own_twin[0] == pytest.approx(1, abs=1e-3)
    assert own_twin[1] < 0.9


def test_batches_are_put_together_in_order():
    """The kind of a batch of several kinds is `mixed`."""
    problem, _ = _problem((16, 16, 16), (5, 6, 4))
    one, other = random(problem, 2, 0), flat(problem, 1, 0)
    joined = together([one, other])
    np.testing.assert_array_equal(joined.objects[2], other.objects[0])
    np.testing.assert_array_equal(joined.supports[0], one.supports[0])
    assert (joined.kind, together([one, one]).kind) == ("mixed", "random")
