"""The uncentred FFT of a batch."""

import numpy as np
import pytest
import torch

from inphase.fourier import forward
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
