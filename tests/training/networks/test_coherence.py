"""training.networks.coherence: against the simulator's blur, and what a fit finds."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.networks.coherence import LEAST, TYPICAL, Coherence, solved
from training.simulate.detector import binning_lines, blurred, coherence_lines
from training.transform import embed, forward

FRAME = (64, 64, 64)
LENGTHS = torch.tensor([[20.0, 26.0, 32.0]])  # voxels
DECAY = (32 / LENGTHS).square()


@pytest.fixture(scope="module")
def field() -> Tensor:
    """The far field of a strained block, (1, 64, 64, 64)."""
    x, y, z = torch.meshgrid(*[torch.arange(32.0) - 16] * 3, indexing="ij")
    inside = (x.abs() <= 9) & (y.abs() <= 8) & (z.abs() <= 7) & (x + y + 0.5 * z <= 10)
    return forward(embed(torch.polar(inside.float(), 0.1 * x + 0.004 * y * z)[None], FRAME))


@pytest.fixture(scope="module")
def seen(field: Tensor) -> Tensor:
    """Its modulus in light of those lengths, as the simulator's FFTs have it."""
    return blurred(field.abs().square(), coherence_lines(LENGTHS, FRAME)).clamp_min(0).sqrt()


def test_the_convolution_is_the_simulators(field: Tensor, seen: Tensor) -> None:
    """On the whole pattern, to 1e-5 of the largest intensity: both in single precision;
    no less than LEAST of what was there.
    """
    intensity = field.abs().square()[:, None]
    found = Coherence(64, 64).blurred(DECAY, intensity)
    expected = torch.maximum(seen[:, None].square(), LEAST * intensity)
    assert (found - expected).abs().max() < 1e-5 * intensity.max()


def test_the_centre_is_blurred_alike(field: Tensor, seen: Tensor) -> None:
    """On the central 32^3 but for its two outermost voxels, where what lies beyond is missing:
    to 1e-3 of the largest intensity.
    """
    inner = slice(16, 48)
    intensity = field.abs().square()[:, None, inner, inner, inner]
    found = Coherence(64, 32).blurred(DECAY, intensity)[..., 2:-2, 2:-2, 2:-2]
    expected = seen[:, None, 18:46, 18:46, 18:46].square()
    assert (found - expected).abs().max() < 1e-3 * intensity.max()


@pytest.mark.parametrize("side", [24, 32, 64])
def test_the_lengths_are_found_from_the_object(side: int, field: Tensor, seen: Tensor) -> None:
    """In eight steps, in another scale and with a gap: to a tenth, which the pull to what is typical may take of it."""
    inner = slice(32 - side // 2, 32 + side // 2)
    part, modulus = (x[:, inner, inner, inner] for x in (field, 3 * seen))
    known = torch.ones_like(modulus)
    known[:, :, side // 2 + 4 : side // 2 + 7] = 0
    decay = torch.full((1, 3), TYPICAL)
    for _ in range(8):
        decay = Coherence(64, side).fitted(
            decay, part[:, None].abs().square(), modulus[:, None] * known[:, None], known[:, None]
        )
    np.testing.assert_allclose(decay, DECAY, rtol=0.1)


def test_in_coherent_light_nothing_is_blurred(field: Tensor) -> None:
    """The fit comes below a fifth of what it is drawn to, and the modulus stays to 3 % of its mean."""
    modulus, known = field.abs()[:, None], torch.ones_like(field.abs()[:, None])
    coherence, decay, intensity = Coherence(64, 64), torch.full((1, 3), TYPICAL), modulus.square()
    for _ in range(8):
        decay = coherence.fitted(decay, intensity, modulus, known)
    assert decay.max() < 0.12
    change = (coherence.coherent(decay, intensity, modulus) - modulus).abs().mean() / modulus.mean()
    assert change < 0.03


def test_the_modulus_of_coherent_light_comes_back(field: Tensor, seen: Tensor) -> None:
    """From the true phases and lengths: to 1 % wherever a thousandth of the largest modulus is left,
    a millionth of the intensity.
    """
    found = Coherence(64, 64).coherent(DECAY, field.abs().square()[:, None], seen[:, None])
    bright = field.abs() > 1e-3 * field.abs().max()
    assert ((found[:, 0] - field.abs()).abs()[bright] / field.abs()[bright]).max() < 0.01


def test_binning_is_nearly_such_a_decay() -> None:
    """By 2 to 4: a Gaussian of the typical decay is within 0.09 of what summing detector voxels leaves up to half a
    frame, 0.65 to 0.71.
    """
    for bins in (2, 3, 4):
        line = binning_lines(torch.tensor([[bins] * 3]), FRAME)[0][0, 32:]
        gaussian = torch.exp(-TYPICAL * (torch.arange(32) / 32).square() / 2)
        assert (line - gaussian).abs().max() < 0.09


def test_three_equations_are_solved() -> None:
    """Against numpy."""
    generator = torch.Generator().manual_seed(0)
    matrix, right = torch.rand(5, 3, 3, generator=generator), torch.rand(5, 3, generator=generator)
    matrix = matrix @ matrix.transpose(1, 2) + torch.eye(3)
    np.testing.assert_allclose(solved(matrix, right), torch.linalg.solve(matrix, right), rtol=1e-4)
