"""Propagation keeps energy, is undone by its adjoint, and is the textbook's."""

import numpy as np
import pytest
import torch

from inphase.ptycho.propagation import FarFieldPropagation, NearFieldPropagation, Propagation, ramps

SHAPE = (16, 12)


def waves(seed: int) -> torch.Tensor:
    """(3, 2, y, x) complex64."""
    return torch.randn(3, 2, *SHAPE, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def near() -> NearFieldPropagation:
    """Different along rows and columns."""
    return NearFieldPropagation((0.3, 0.2), SHAPE, torch.device("cpu"))


SHIFT = torch.tensor([[0.25, -0.4], [0.0, 0.5], [-0.3, 0.1]])


@pytest.mark.parametrize("onwards", [FarFieldPropagation(), near()])
@pytest.mark.parametrize("shift", [None, SHIFT])
def test_energy_is_conserved_and_the_adjoint_undoes(onwards: Propagation, shift: torch.Tensor | None) -> None:
    """Unitary: sum |D psi|^2 = sum |psi|^2, D^H D = 1, and <D a, b> = <a, D^H b>."""
    a, b = waves(0), waves(1)
    field = onwards.forward(a, shift)
    assert float(field.abs().square().sum()) == pytest.approx(float(a.abs().square().sum()), rel=1e-5)
    torch.testing.assert_close(onwards.adjoint(field, shift), a, rtol=0, atol=1e-5)
    left, right = torch.vdot(b.flatten(), field.flatten()), torch.vdot(onwards.adjoint(b, shift).flatten(), a.flatten())
    assert complex(left) == pytest.approx(complex(right), rel=1e-4)


def test_near_field_is_fresnel_diffraction() -> None:
    """A Gaussian beam in a parallel beam: its width at z is w sqrt(1 + (z / z_R)^2), z_R = pi w^2 / lambda."""
    n, waist, fresnel_number = 128, 4.0, 0.01
    x = np.arange(n) - n // 2
    amplitude = np.exp(-(x[:, None] ** 2 + x**2) / waist**2)
    onwards = NearFieldPropagation((fresnel_number,) * 2, (n, n), torch.device("cpu"))
    field = onwards.forward(torch.from_numpy(amplitude.astype(np.complex64))[None, None], None)[0, 0].numpy()
    intensity = np.abs(field) ** 2
    width = 2 * np.sqrt((intensity * x[:, None] ** 2).sum() / intensity.sum())
    # in pixels lambda z is 1 / fresnel_number
    assert width == pytest.approx(waist * np.sqrt(1 + (1 / fresnel_number / (np.pi * waist**2)) ** 2), rel=1e-3)
    # a wave that spreads has its phase growing outwards in the sign of exp(i k z)
    phase = np.angle(field[n // 2, n // 2 + 8] * field[n // 2, n // 2].conj())
    assert phase > 0


def test_ramps_move_an_image_by_whole_pixels() -> None:
    """Against numpy.roll."""
    image = waves(2)[:1, :1]
    moved = torch.fft.ifft2(torch.fft.fft2(image) * ramps(torch.tensor([[3.0, -2.0]]), SHAPE))
    np.testing.assert_allclose(moved[0, 0], np.roll(image[0, 0].numpy(), (3, -2), (0, 1)), atol=1e-5)
