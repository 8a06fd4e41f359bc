"""What noise leaves, against draws of it."""

import numpy as np
import pytest
import torch
from scipy.special import xlogy

from inphase.ptycho.noise import deviance, expected_deviance, expected_residual

DRAWS = 400_000


@pytest.mark.parametrize("rate", [1e-3, 0.03, 0.5, 1.0, 2.7, 11.0, 80.0, 143.0, 150.0, 1e4, 1e7])
def test_expected_misfits_are_those_of_drawn_counts(rate: float) -> None:
    """Within four standard errors of the mean of the draws, and the 0.3 % that are left out of many counts."""
    drawn = np.random.default_rng(round(1e3 * rate)).poisson(rate, DRAWS)
    root = torch.tensor([np.sqrt(rate)])
    residual = np.abs(np.sqrt(drawn) - np.sqrt(rate))
    each = 2 * (rate - drawn + xlogy(drawn, drawn / rate))
    for found, sample in ((expected_residual(root), residual), (expected_deviance(root), each)):
        error = 4 * sample.std() / np.sqrt(DRAWS)
        assert float(found) == pytest.approx(sample.mean(), abs=error + 0.003 * sample.mean())
    np.testing.assert_allclose(
        deviance(root.expand(5), torch.from_numpy(drawn[:5])).numpy(), each[:5], rtol=1e-6, atol=1e-6 * max(1, rate)
    )


def test_without_photons_nothing_is_left() -> None:
    """Neither of a pixel on which no light is calculated, nor an undefined logarithm."""
    dark = torch.zeros(1)
    assert float(expected_residual(dark)) == float(expected_deviance(dark)) == 0
    assert float(deviance(torch.tensor([1e-3]), dark)) == pytest.approx(2e-6)
