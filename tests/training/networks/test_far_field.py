"""training.networks.far_field: products with matrices, against torch's FFT."""

import pytest
import torch

from tests.training.networks.pairs import pair
from training.networks.far_field import FarField, lines, parts
from training.transform import centre, embed, forward

FRAME = (64, 64, 64)


@pytest.mark.parametrize("kept", [64, 32])
def test_far_field_is_the_fft_of_the_padded_box(kept: int) -> None:
    """Or the centre of it; single precision sums 32768 terms: 1e-5 of the largest value."""
    box = torch.randn(2, 32, 32, 32, dtype=torch.complex64)
    expected = pair(centre(forward(embed(box, FRAME)), (kept, kept, kept)))
    found = FarField(32, 64, kept)(lines(pair(box)))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("kept", [64, 32])
def test_adjoint_is_the_inverse_fft_cut_to_the_box(kept: int) -> None:
    """With zeros around what is kept of the field, and <F x, y> = <x, F* y>."""
    field, transform = torch.randn(2, kept, kept, kept, dtype=torch.complex64), FarField(32, 64, kept)
    expected = pair(centre(forward(embed(field, FRAME), inverse=True), (32, 32, 32)))
    found = parts(transform.adjoint(pair(field)))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    box = torch.randn(2, 2, 32, 32, 32)
    left, right = (transform(lines(box)) * pair(field)).double().sum(), (box * found).double().sum()
    assert abs(float(left - right)) < 1e-5 * float(box.norm() * pair(field).norm())


def test_mixed_precision_stays_out_of_it() -> None:
    """Networks train in bfloat16 where there is hardware for it; the transform does not: the same bits."""
    box, transform = torch.randn(1, 32, 32, 2, 32), FarField(32, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = transform(box)
    assert torch.equal(found, transform(box))


@pytest.mark.parametrize("kept", [64, 32])
def test_images_are_transformed_along_two_axes(kept: int) -> None:
    """Both ways against torch's FFT of the padded image: single precision."""
    transform = FarField(32, 64, kept, rank=2)
    box, field = (torch.randn(3, n, n, dtype=torch.complex64) for n in (32, kept))
    expected = pair(centre(forward(embed(box, FRAME[1:]), rank=2), (kept, kept)))
    assert (transform(lines(pair(box))) - expected).abs().max() < 1e-5 * expected.abs().max()
    back = pair(centre(forward(embed(field, FRAME[1:]), inverse=True, rank=2), (32, 32)))
    assert (parts(transform.adjoint(pair(field))) - back).abs().max() < 1e-5 * back.abs().max()
