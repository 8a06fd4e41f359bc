"""Twins, shifts and phases: undone by `align`, fixed by `canonical`, invisible in |F|."""

import numpy as np
import pytest
import scipy.fft
from scipy.ndimage import gaussian_filter

from inphase import ambiguity
from inphase.ambiguity import align, canonical, carried, framed, twin
from inphase.errors import DataError
from inphase.fourier import forward

N = 32


@pytest.fixture(scope="module")
def crystal():
    """A faceted, strained, off-centre crystal without any symmetry: complex64 and its support."""
    z, y, x = np.indices((N, N, N)) - N // 2
    shape = (abs(z) < 6) & (y > -5) & (y < 7) & (x > -6) & (x < 8) & (x + y - z < 6)
    amplitude = gaussian_filter(shape.astype(float), 0.7)
    phase = 0.8 * np.sin(0.3 * x + 0.2 * y) + 0.05 * z * np.cos(0.2 * y)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64), amplitude > 0.2


def _moved(obj, shift):
    """The object rolled by a real number of voxels: a ramp in reciprocal space."""
    spectrum = scipy.fft.fftn(obj.astype(np.complex128))
    for axis, s in enumerate(shift):
        line = np.exp(-2j * np.pi * s * scipy.fft.fftfreq(obj.shape[axis]))
        spectrum *= line.reshape([-1 if a == axis else 1 for a in range(obj.ndim)])
    return scipy.fft.ifftn(spectrum)


def test_twin_conjugates_and_inverts_about_the_centre(crystal):
    """twin(o)(r) = conj(o(-r)), voxel by voxel; twice is nothing; |F| is the same."""
    obj, _ = crystal
    flipped = twin(obj)
    for r in [(0, 0, 0), (3, -4, 5), (-6, 2, 1)]:
        here, there = tuple(N // 2 + k for k in r), tuple(N // 2 - k for k in r)
        assert flipped[here] == np.conj(obj[there])
    np.testing.assert_array_equal(twin(flipped), obj)
    np.testing.assert_allclose(
        np.abs(forward(flipped)), np.abs(forward(obj)), atol=1e-4
    )  # single-precision FFT of values up to 30


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (3.0, -7.0, 1.0), (2.37, -0.5, 15.81)])
def test_align_undoes_twin_shift_and_phase(crystal, flipped, shift):
    """The moved object comes back to 1e-3 (the shift is found to 1/100 voxel) and the numbers say how it was moved."""
    obj, _ = crystal
    moved = _moved(twin(obj) if flipped else obj, shift) * np.exp(2.1j)
    aligned, found = align(moved, obj)
    assert found.twin is flipped
    assert not found.undecided
    # twin(moved by s) is twin moved by -s; shifts are equal modulo the period
    expected = np.array(shift) if flipped else -np.array(shift)
    difference = (np.array(found.shift_voxels) - expected + N / 2) % N - N / 2
    np.testing.assert_allclose(difference, 0, atol=0.0051)
    assert found.score == pytest.approx(1, abs=1e-3)
    assert found.score > found.score_other + 0.02
    assert np.linalg.norm(aligned - obj) < 0.01 * np.linalg.norm(obj)
    assert aligned.dtype == np.complex64


def test_align_keeps_the_modulus_of_the_far_field(crystal):
    """A sub-voxel shift by a ramp leaves |F| alone, to single precision."""
    obj, _ = crystal
    aligned, _ = align(obj, _moved(obj, (0.3, 1.6, -2.2)))
    np.testing.assert_allclose(np.abs(forward(aligned)), np.abs(forward(obj)), atol=2e-5 * np.abs(forward(obj)).max())


def test_a_centrosymmetric_object_is_undecided():
    """A cube without strain is its own twin: the alignment says that it cannot tell."""
    cube = np.zeros((16, 16, 16), np.complex64)
    cube[5:12, 5:12, 5:12] = 1
    _, found = align(cube, cube)
    assert found.undecided
    assert found.score == pytest.approx(found.score_other, abs=1e-6)


def test_align_in_two_dimensions(crystal):
    """A plane aligns as a volume does."""
    obj = crystal[0][N // 2]
    aligned, found = align(twin(np.roll(obj, (3, -2), (0, 1))), obj)
    assert found.twin
    np.testing.assert_allclose(aligned, obj, atol=1e-4)


def test_align_refuses_what_has_no_answer(crystal):
    """Empty, different shapes, NaN: one clear error."""
    obj, _ = crystal
    with pytest.raises(DataError):
        align(np.zeros_like(obj), obj)
    with pytest.raises(DataError):
        align(obj[:16], obj)
    with pytest.raises(DataError):
        align(obj * np.nan, obj)


def test_canonical_leaves_the_modulus_unchanged(crystal):
    """|F| of the stored object times the scale is |F| of the refined one: single precision, 1e-6 of the largest."""
    obj, support = crystal
    form = canonical(obj, support)
    before = np.abs(forward(twin(obj) if form.twin else obj))
    np.testing.assert_allclose(form.scale * np.abs(forward(form.object)), before, atol=1e-6 * before.max())


def test_canonical_holds_what_it_promises(crystal):
    """99.9th percentile 1, arg sum |o| o = 0, centre of mass within half a voxel of N // 2."""
    obj, support = crystal
    form = canonical(np.roll(obj, (9, 0, 14), (0, 1, 2)) * np.complex64(40j), np.roll(support, (9, 0, 14), (0, 1, 2)))
    amplitude = np.abs(form.object)
    assert np.percentile(amplitude[form.support], 99.9) == pytest.approx(1, rel=1e-5)
    assert np.angle(np.sum(amplitude * form.object)) == pytest.approx(0, abs=1e-5)
    centre = [float((amplitude * axis).sum() / amplitude.sum()) for axis in np.indices(amplitude.shape)]
    np.testing.assert_allclose(centre, N // 2, atol=0.501)


@pytest.mark.parametrize("flipped", [False, True])
def test_all_equivalent_objects_have_one_canonical_form(crystal, flipped):
    """Twin, whole-voxel shift (across the border too), phase and scale vanish; rounding 1e-5 of an amplitude of 1."""
    obj, support = crystal
    form = canonical(obj, support)
    other, other_support = (twin(obj), np.abs(twin(support.astype(np.complex64))) > 0.5) if flipped else (obj, support)
    roll = {"shift": (5, -13, 16), "axis": (0, 1, 2)}
    moved = canonical(np.roll(other, **roll) * np.complex64(0.3 * np.exp(1.2j)), np.roll(other_support, **roll))
    np.testing.assert_allclose(moved.object, form.object, atol=1e-5)
    np.testing.assert_array_equal(moved.support, form.support)
    assert moved.twin is (form.twin ^ flipped)


def test_the_numbers_of_canonical_rebuild_it(crystal):
    """object = exp(i global_phase) / scale * roll(twin?(o), shift), as the docstring says."""
    obj, support = crystal
    form = canonical(obj, support)
    rebuilt = (
        np.roll(twin(obj) if form.twin else obj, form.shift, (0, 1, 2)) * np.exp(1j * form.global_phase) / form.scale
    )
    np.testing.assert_allclose(rebuilt, form.object, atol=1e-6)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("shift", [(0, 0, 0), (9, -13, 5)])
def test_a_large_grid_has_the_canonical_form_of_any_other(crystal, flipped, shift, monkeypatch):
    """What is empty is left out of the arithmetic only; wherever the object lies, also across the border."""
    obj = np.roll(twin(crystal[0]) if flipped else crystal[0], shift, (0, 1, 2))
    support = np.abs(obj) > 0.1
    plain = canonical(obj, support)
    monkeypatch.setattr(ambiguity, "LARGE", 0)
    found = canonical(obj, support)
    assert (found.shift, found.twin) == (plain.shift, plain.twin)
    assert (found.scale, found.global_phase) == pytest.approx((plain.scale, plain.global_phase), rel=1e-5)
    assert found.ramp == pytest.approx(plain.ramp, abs=1e-5)
    np.testing.assert_array_equal(found.support, plain.support)
    np.testing.assert_allclose(found.object, plain.object, atol=1e-5)
    np.testing.assert_allclose(found.phase_flat, plain.phase_flat, atol=1e-4)


def test_the_ramp_is_found_stored_and_not_removed():
    """A homogeneous crystal with a known ramp: the vector comes out (sign up to the twin), phase_flat is zero,
    the object keeps its ramp.
    """
    z, y, x = np.indices((N, N, N)) - N // 2
    support = (abs(z) < 5) & (abs(y) < 6) & (x > -7) & (x < 5) & (x + y < 6)
    slope = np.array([0.11, -0.23, 0.05])
    obj = (support * np.exp(1j * (slope[0] * z + slope[1] * y + slope[2] * x))).astype(np.complex64)
    form = canonical(obj, support)
    # conj(o(-r)) has the same ramp: conjugation and inversion both turn its sign
    np.testing.assert_allclose(form.ramp, slope, atol=1e-5)
    np.testing.assert_allclose(form.phase_flat, 0, atol=1e-4)
    assert np.ptp(np.angle(form.object[form.support])) > 1
    assert form.phase_flat.dtype == np.float32
    assert not form.phase_flat[~form.support].any()


def test_an_empty_object_has_no_canonical_form():
    """No support or no amplitude: an error instead of NaN."""
    zero = np.zeros((8, 8, 8), np.complex64)
    for support in (np.zeros(zero.shape, bool), np.ones(zero.shape, bool)):
        with pytest.raises(DataError):
            canonical(zero, support)


def test_framed_undoes_twin_shift_and_phase() -> None:
    """An object moved, turned into its twin and given a phase comes back; what was done to it is told exactly."""
    generator = np.random.default_rng(3)
    obj = np.zeros((24, 20, 16), np.complex64)
    obj[8:15, 6:13, 5:11] = generator.uniform(0.5, 1, (7, 7, 6)) * np.exp(1j * generator.uniform(-1, 1, (7, 7, 6)))
    support = np.abs(obj) > 0
    reference = canonical(obj, support)
    other = np.roll(twin(obj) * np.exp(0.7j), (2, -3, 1), axis=(0, 1, 2)).astype(np.complex64)
    other_support = np.abs(other) > 0
    for start, mask in ((obj, support), (other, other_support)):
        form = canonical(start, mask)
        # the opposite label, as noise may draw it
        flipped, _ = framed(form, np.roll(twin(reference.object), (1, 2, -1), (0, 1, 2)))
        moved, alignment = framed(flipped, reference.object)
        np.testing.assert_allclose(moved.object, reference.object, atol=2e-5)
        np.testing.assert_array_equal(moved.support, reference.support)
        np.testing.assert_allclose(moved.phase_flat, reference.phase_flat, atol=2e-4)
        assert alignment.twin
        assert alignment.score > 0.999 > alignment.score_other
        # the provenance turns the refined object into the stored one
        again = twin(start) if moved.twin else start
        again = np.roll(again, moved.shift, axis=(0, 1, 2)) * np.exp(1j * moved.global_phase) / moved.scale
        np.testing.assert_allclose(again, moved.object, atol=2e-5)


def test_a_volume_is_carried_along_with_the_object_it_lies_on() -> None:
    """What turned one stored form into another is told by the two alone:
    done to the first object it gives the second.
    """
    generator = np.random.default_rng(5)
    obj = np.zeros((24, 20, 16), np.complex64)
    obj[8:15, 6:13, 5:11] = generator.uniform(0.5, 1, (7, 7, 6)) * np.exp(1j * generator.uniform(-1, 1, (7, 7, 6)))
    form = canonical(obj, np.abs(obj) > 0)
    for reference in (form.object, twin(form.object)):
        moved, alignment = framed(form, np.roll(reference * np.exp(0.4j), (1, 2, -3), (0, 1, 2)).astype(np.complex64))
        np.testing.assert_allclose(carried(form.object, form, moved), moved.object, atol=2e-5)
        assert alignment.twin == (moved.twin != form.twin)
    assert moved.twin != form.twin
