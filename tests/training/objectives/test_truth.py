"""training.objectives.truth, by the likeness of training.objectives.correlation:
neither twin nor shift nor phase offset counts.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from inphase import ambiguity
from training.objectives.truth import PARTS, SHIFT, likeness, nearest, squared_correlation, subvoxel_aligned, twins


def crystals(batch: int) -> Tensor:
    """Random objects well inside their box (batch, 32, 32, 32)."""
    result = torch.zeros(batch, 32, 32, 32, dtype=torch.complex64)
    result[:, 9:20, 10:24, 8:19] = torch.randn(batch, 11, 14, 11, dtype=torch.complex64)
    return result


def twin(x: Tensor) -> Tensor:
    """conj(x(-r)) about voxel N // 2."""
    return x.flip(1, 2, 3).roll((1, 1, 1), (1, 2, 3)).conj()


@pytest.mark.parametrize("turned", [False, True])
def test_twin_shift_and_phase_offset_do_not_count(turned: bool) -> None:
    """A prediction that is the truth up to the ambiguities of the modulus correlates fully, and did not before."""
    truth = crystals(2)
    prediction = (twin(truth) if turned else truth).roll((SHIFT, -SHIFT, 1), (1, 2, 3)) * 2j
    assert torch.allclose(squared_correlation(prediction, nearest(truth, prediction)), torch.ones(2), atol=1e-5)
    assert squared_correlation(prediction, truth).max() < 0.1


def test_images_are_aligned_as_volumes_are() -> None:
    """The twin of an image, moved by 2.3 and -1.4 pixels: nearest, then below a pixel, to a part of it."""
    truth = torch.zeros(1, 32, 32, dtype=torch.complex64)
    truth[:, 9:20, 10:24] = torch.randn(1, 11, 14, dtype=torch.complex64)
    frequency = torch.fft.fftfreq(32)
    down, along = (torch.exp(-2j * torch.pi * frequency * shift) for shift in (2.3, -1.4))
    moved = torch.fft.ifft2(torch.fft.fft2(twins(truth)) * down[:, None] * along)
    assert squared_correlation(moved, truth).item() < 0.2
    assert likeness(truth, moved).item() > 0.97


def test_shifts_end_where_they_should() -> None:
    """A prediction further away than SHIFT is another one."""
    truth = crystals(1)
    prediction = truth.roll(SHIFT + 1, 1)
    assert squared_correlation(prediction, nearest(truth, prediction)).item() < 0.1


def test_agrees_with_the_alignment_of_the_results() -> None:
    """inphase.ambiguity, which aligns below a voxel, finds at least what is found here, and no more than a little."""
    truth = crystals(1)
    prediction = twin(truth).roll((1, 2, -1), (1, 2, 3)) + 0.5 * torch.randn(1, 32, 32, 32, dtype=torch.complex64)
    found = squared_correlation(prediction, nearest(truth, prediction)).sqrt().item()
    expected = ambiguity.align(prediction[0].numpy().astype(np.complex64), truth[0].numpy())[1].score
    assert found <= expected + 1e-4
    assert found == pytest.approx(expected, abs=0.02)


def test_parts_of_a_voxel_do_not_count_either() -> None:
    """Moved by a Fourier shift, nearest to whole voxels, then to a fraction of one:
    what is left is at most half a part along each axis.
    """
    truth = crystals(2)
    frequency = torch.fft.fftfreq(32)
    offset = (1.3, -0.45, 0.1)
    ramps = [torch.exp(-2j * torch.pi * frequency * shift) for shift in offset]
    spectrum = torch.fft.fftn(truth, dim=(1, 2, 3))
    prediction = torch.fft.ifftn(spectrum * ramps[0][:, None, None] * ramps[1][:, None] * ramps[2], dim=(1, 2, 3))
    whole = nearest(truth, prediction)
    found = squared_correlation(prediction, subvoxel_aligned(whole, prediction))
    # white noise in a box falls off as sinc^2 of what is left of the shift: sinc(1 / 16)^6 = 0.96
    assert PARTS == 8
    assert squared_correlation(prediction, whole).max() < 0.8
    assert found.min() > 0.96
