"""The uncentred FFT of a batch."""

import numpy as np
import pytest
import torch

from inphase.fourier import forward
from inphase.retrieval import fft
from inphase.retrieval.fft import Transform


def _random(shape, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def test_it_is_the_centred_transform_with_its_shifts_left_out():
    """Same sign and normalisation as `fourier.forward`, batch by batch."""
    objects = _random((2, 6, 8, 10), 0)
    axes = (1, 2, 3)
    uncentred = torch.from_numpy(np.fft.ifftshift(objects, axes=axes).copy())
    field = np.fft.fftshift(Transform(3).forward(uncentred).numpy(), axes=axes)
    np.testing.assert_allclose(field, forward(objects), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 6, 8, 10), (3, 8, 6), (1, 12)])
def test_backward_is_inverse_and_adjoint(shape):
    """<F x, y> = <x, F* y> in one, two and three dimensions; F* F x = x. Single precision."""
    transform = Transform(len(shape) - 1)
    x, y = (torch.from_numpy(_random(shape, seed)) for seed in (0, 1))
    one, other = (
        torch.vdot(transform.forward(x).flatten(), y.flatten()),
        torch.vdot(x.flatten(), transform.backward(y).flatten()),
    )
    assert abs(one - other) < 1e-4 * abs(one)
    np.testing.assert_allclose(transform.backward(transform.forward(x)).numpy(), x.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("whole", "box"), [((20, 18, 22), (6, 10, 4)), ((16, 24), (8, 12)), ((30,), (12,)), ((12, 10, 14), (12, 4, 14))]
)
def test_an_object_on_a_box_has_the_far_field_of_the_whole_grid(whole, box, monkeypatch):
    """Forward as if zeros lay around it, backward what lies on the box; also where planes come one after the other."""
    monkeypatch.setattr(fft, "SLAB", 2 * np.prod(whole) // whole[0])
    plain, boxed = Transform(len(whole)), Transform.of(whole, box)
    axes = tuple(range(1, len(whole) + 1))
    obj, field = _random((2, *box), 0), torch.from_numpy(_random((2, *whole), 1))
    inside = (slice(None), *(slice((n - k) // 2, (n + k) // 2) for n, k in zip(whole, box, strict=True)))
    around = np.zeros((2, *whole), np.complex64)
    around[inside] = obj

    def uncentred(array):
        return torch.from_numpy(np.fft.ifftshift(array, axes=axes).copy())

    np.testing.assert_allclose(boxed.forward(uncentred(obj)), plain.forward(uncentred(around)), atol=1e-5)
    expected = np.fft.fftshift(plain.backward(field).numpy(), axes=axes)[inside]
    found = boxed.backward(field)
    assert found.is_contiguous()
    np.testing.assert_allclose(np.fft.fftshift(found.numpy(), axes=axes), expected, atol=1e-5)


def test_a_box_as_large_as_the_grid_is_the_plain_transform():
    """Nothing is to be saved there."""
    assert type(Transform.of((8, 6), (8, 6))) is Transform
