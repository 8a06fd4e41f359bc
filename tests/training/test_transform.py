"""training.transform holds to the convention of inphase.fourier."""

import numpy as np
import pytest
import torch

from inphase import fourier
from training.transform import centre, embed, far_intensity, far_modulus, forward


@pytest.mark.parametrize("shape", [(64, 64, 64), (6, 10, 4)])
def test_forward_and_inverse_equal_inphase_fourier(shape: tuple[int, int, int]) -> None:
    """Same field as scipy's shifted transform to single precision, both ways,
    for even sizes of either parity of N / 2.
    """
    x = torch.randn(2, *shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(forward(x).numpy(), fourier.forward(x.numpy()), atol=3e-6)
    np.testing.assert_allclose(forward(x, inverse=True).numpy(), fourier.backward(x.numpy()), atol=3e-6)


def test_odd_sizes_are_refused() -> None:
    """Alternating signs centre even sizes only."""
    with pytest.raises(ValueError, match="even sizes"):
        forward(torch.zeros(1, 5, 4, 4, dtype=torch.complex64))


def test_embed_and_centre_are_adjoint_and_keep_the_centre() -> None:
    """<embed(a), b> = <a, centre(b)>, and voxel m // 2 lands on N // 2."""
    a, b = torch.randn(1, 4, 6, 4), torch.randn(1, 8, 10, 12)
    torch.testing.assert_close((embed(a, (8, 10, 12)) * b).sum(), (a * centre(b, (4, 6, 4))).sum())
    box = torch.zeros(4, 6, 4)
    box[2, 3, 2] = 1
    assert embed(box, (8, 10, 12))[4, 5, 6] == 1


def test_far_intensity_is_that_of_the_embedded_box() -> None:
    """Transforming the box axis by axis gives |F|^2 of the whole frame, for sizes of either parity of N / 2."""
    box = torch.randn(2, 6, 8, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    expected = forward(embed(box, (16, 14, 10))).abs().square()
    torch.testing.assert_close(far_intensity(box, (16, 14, 10)), expected, atol=1e-5, rtol=1e-5)


def test_two_axes_follow_the_convention_of_inphase() -> None:
    """Images, as inphase.fourier transforms them, one by one."""
    image = torch.randn(2, 6, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
    frame = embed(image, (16, 12))
    field = forward(frame, rank=2)
    for one, found, modulus in zip(frame, field, far_modulus(image, (16, 12)), strict=True):
        expected = fourier.forward(one.numpy())
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(modulus, np.abs(expected), atol=1e-5)
    torch.testing.assert_close(centre(frame, (6, 8)), image)
