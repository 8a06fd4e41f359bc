"""How likely the measured counts are, given the fields that a model sends to the detector; and the gradient.

Gradients are d/d(Re F) + i d/d(Im F), torch's convention, so that -gradient is the direction of steepest descent.
"""

from typing import Protocol

import torch
from torch import Tensor

DARK = 1e-6  # photons: added to the calculated intensity, so that nothing is divided by zero


class Likelihood(Protocol):
    """Negative log-likelihood of frames (B, y, x)."""

    def __call__(self, intensity: Tensor, modulus: Tensor) -> tuple[Tensor, Tensor]:
        """Value of each frame, (B,) float64, and what the field is to be multiplied with for the gradient, (B, y, x).

        intensity: calculated; modulus: square root of the counts, negative where unknown: such pixels weigh nothing.
        """


def amplitude(intensity: Tensor, modulus: Tensor) -> tuple[Tensor, Tensor]:
    """sum (sqrt I - m)^2: counts whose square root has the variance 1/4, Thibault & Guizar-Sicairos, New J. Phys. 14,
    063004 (2012), eq. 6, but for a factor of 2.
    """
    root = torch.sqrt(intensity + DARK)
    known = modulus >= 0
    difference = torch.where(known, root - modulus, 0.0)
    return difference.square().sum((1, 2), dtype=torch.float64), 2 * difference / root


def poisson(intensity: Tensor, modulus: Tensor) -> tuple[Tensor, Tensor]:
    """sum I - y ln I + ln y!: counts of photons, the same article, eq. 4."""
    expected = intensity + DARK
    known = modulus >= 0
    counts = modulus.square()
    value = torch.where(known, expected - counts * torch.log(expected) + torch.lgamma(counts + 1), 0.0)
    return value.sum((1, 2), dtype=torch.float64), torch.where(known, 2 * (1 - counts / expected), 0.0)
