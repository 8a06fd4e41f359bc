"""What the noise of photons alone leaves: the misfit of the model that is right.

Counts n of a rate lambda follow Poisson's law. A perfect model, which calculates I = lambda, has of every pixel the
expected residual E|sqrt n - sqrt I| and the expected deviance E[2 (I - n + n ln(n / I))]. For many photons they come
to 1 / sqrt(2 pi) = 0.399 and 1; for few they are sums over n, which are tabulated here.
"""

import numpy as np
import torch
from scipy.special import xlogy
from torch import Tensor

from inphase.metrics import poisson_probabilities

_STEP = 0.01  # of the square root of the rate
_LAST = 12.0  # beyond, at rates above 144, both differ from their limits by less than 0.3 %


def _tables() -> tuple[Tensor, Tensor]:
    """Expected residual and expected deviance, (1201,) float64 each, by the square root of the rate."""
    roots, n = np.linspace(0, _LAST, round(_LAST / _STEP) + 1), np.arange(400)
    rate = roots**2
    probability = poisson_probabilities(rate, n)
    residual = (probability * np.abs(np.sqrt(n) - roots[:, None])).sum(axis=1)
    deviance = 2 * (probability @ xlogy(n, n) - xlogy(rate, rate))
    return torch.from_numpy(residual), torch.from_numpy(deviance)


_RESIDUAL, _DEVIANCE = _tables()


def expected_residual(root: Tensor) -> Tensor:
    """E|sqrt n - sqrt I| of pixels whose calculated intensity has this square root (...), float64."""
    return _interpolated(_RESIDUAL, root)


def expected_deviance(root: Tensor) -> Tensor:
    """E[2 (I - n + n ln(n / I))] of the same, float64."""
    return _interpolated(_DEVIANCE, root)


def deviance(root: Tensor, counts: Tensor) -> Tensor:
    """2 (I - n + n ln(n / I)) of every pixel, float64; I = root^2."""
    rate = root.double().square()
    n = counts.double()
    return 2 * (rate - n + torch.xlogy(n, n / rate))


def _interpolated(table: Tensor, root: Tensor) -> Tensor:
    place = (root.double() / _STEP).clamp(0, len(table) - 1.001)
    low = place.long()
    part = place - low
    held = table.to(root.device)
    return held[low] * (1 - part) + held[low + 1] * part
