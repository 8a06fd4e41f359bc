"""Likelihoods against scipy, gradients against torch's own."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from scipy.stats import poisson as scipy_poisson

from inphase.ptycho.likelihood import DARK, Likelihood, amplitude, poisson

COUNTS = torch.from_numpy(np.random.default_rng(0).poisson(5.0, (3, 6, 5)).astype(np.float32))
INTENSITY = torch.from_numpy(np.random.default_rng(1).uniform(1, 9, (3, 6, 5)).astype(np.float32))


def test_poisson_is_scipys() -> None:
    """-sum ln p(y | I), with the factorial."""
    value, _ = poisson(INTENSITY, COUNTS.sqrt())
    expected = -scipy_poisson.logpmf(COUNTS.numpy().round(), INTENSITY.numpy() + DARK).sum(axis=(1, 2))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_amplitude_is_the_log_likelihood_of_a_normal_distribution() -> None:
    """sum (sqrt I - m)^2 is half of -sum ln p with the variance 1/4, but for a constant."""
    value, _ = amplitude(INTENSITY, COUNTS.sqrt())
    root = np.sqrt(INTENSITY.numpy())
    log = norm.logpdf(COUNTS.sqrt().numpy(), loc=root, scale=0.5) - norm.logpdf(0.0, scale=0.5)
    np.testing.assert_allclose(2 * value, -log.sum(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("likelihood", [amplitude, poisson])
def test_gradient_is_that_of_automatic_differentiation(likelihood: Likelihood) -> None:
    """factor * F, of two modes."""
    field = torch.randn(3, 2, 6, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(2)) * 2
    field.requires_grad_()
    intensity = field.abs().square().sum(1)
    value, factor = likelihood(intensity, COUNTS.sqrt())
    value.sum().backward()
    assert field.grad is not None
    torch.testing.assert_close((factor[:, None] * field).detach(), field.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("likelihood", [amplitude, poisson])
def test_unknown_pixels_weigh_nothing(likelihood: Likelihood) -> None:
    """The value is that of the others, and their gradient is zero."""
    modulus = COUNTS.sqrt()
    modulus[:, 2] = -1
    value, factor = likelihood(INTENSITY, modulus)
    rest = [0, 1, 3, 4, 5]
    expected, _ = likelihood(INTENSITY[:, rest], modulus[:, rest])
    torch.testing.assert_close(value, expected)
    assert not factor[:, 2].any()
    assert factor[:, rest].any()
