"""The Fourier convention of the project, against a sum written out."""

import numpy as np
import pytest

from inphase.fourier import autocorrelation, backward, embedded, forward

SHAPE = (4, 6, 8)


@pytest.fixture
def obj() -> np.ndarray:
    """A random complex object on a small grid."""
    rng = np.random.default_rng(0)
    return rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)


def _sum_written_out(obj: np.ndarray) -> np.ndarray:
    """sum_r o(r) exp(-2 pi i q r / N) / sqrt(N) with r and q counted from N // 2."""
    field = obj
    for axis, n in enumerate(obj.shape):
        steps = np.arange(n) - n // 2
        matrix = np.exp(-2j * np.pi * np.outer(steps, steps) / n) / np.sqrt(n)
        field = np.moveaxis(np.tensordot(matrix, field, axes=(1, axis)), 0, axis)
    return field


def test_forward_is_the_sum_with_exp_minus_iqr_about_the_centre(obj):
    """Both DC and the object's origin lie at N // 2, the sign is exp(-i q r), the norm is orthonormal."""
    np.testing.assert_allclose(forward(obj), _sum_written_out(obj), atol=1e-12)  # float64 rounding


def test_backward_undoes_forward(obj):
    """The inverse is exact to rounding."""
    np.testing.assert_allclose(backward(forward(obj)), obj, atol=1e-12)


def test_energy_is_kept(obj):
    """Parseval with norm "ortho": an object scaled to its pattern holds the photons."""
    assert np.sum(np.abs(forward(obj)) ** 2) == pytest.approx(np.sum(np.abs(obj) ** 2), rel=1e-12)


def test_backward_is_the_adjoint_of_forward(obj):
    """<F a, b> = <a, F* b>."""
    other = np.random.default_rng(1).standard_normal(SHAPE) + 0j
    assert np.vdot(forward(obj), other) == pytest.approx(np.vdot(obj, backward(other)), rel=1e-12)


def test_single_precision_stays_single(obj):
    """complex64 in, complex64 out: half the memory at 256^3."""
    assert forward(obj.astype(np.complex64)).dtype == np.complex64
    assert autocorrelation(np.ones(SHAPE, np.float32)).dtype == np.complex64


def test_leading_axes_are_a_batch(obj):
    """Each member of a batch is transformed for itself."""
    batch = np.stack([obj, 2 * obj])
    np.testing.assert_allclose(forward(batch)[1], 2 * forward(obj), atol=1e-12)


def test_autocorrelation_is_the_periodic_correlation_of_the_object(obj):
    """backward(|F|^2) = sum_r conj(o(r)) o(r + s) / sqrt(N), the shift s counted from N // 2."""
    ac = autocorrelation(np.abs(forward(obj)) ** 2)
    for s in [(0, 0, 0), (1, 0, 0), (0, -2, 3)]:
        moved = np.roll(obj, [-k for k in s], axis=(0, 1, 2))
        expected = np.vdot(obj, moved) / np.sqrt(obj.size)
        at = tuple(k + n // 2 for k, n in zip(s, SHAPE, strict=True))
        assert ac[at] == pytest.approx(expected, rel=1e-10)


def test_an_embedded_array_keeps_its_centre():
    """Voxel n // 2 comes to N // 2, zeros lie around; on its own grid it is the same array."""
    part = np.arange(1, 4 * 6 * 3 + 1).reshape(4, 6, 3)
    whole = embedded(part, (9, 6, 8))
    assert whole.dtype == part.dtype
    assert whole[4, 3, 4] == part[2, 3, 1]
    assert (np.count_nonzero(whole), whole.sum()) == (part.size, part.sum())
    assert embedded(part, part.shape) is part
