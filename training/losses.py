"""Losses that need no label: the measured modulus is the only target."""

from torch import Tensor

from training.transform import embed, forward


def calculated_modulus(amplitude: Tensor, phase: Tensor, frame: tuple[int, int, int]) -> Tensor:
    """|F| of the predicted object: amplitude, phase (B, m, m, m) -> (B, *frame) float32."""
    return forward(embed((amplitude * phase.cos()) + 1j * (amplitude * phase.sin()), frame)).abs()


def scale_to(calculated: Tensor, measured: Tensor, known: Tensor) -> Tensor:
    """Least-squares scale of the calculated modulus over the known voxels: (B, 1, 1, 1)."""
    cross = (calculated * measured * known).sum((1, 2, 3), keepdim=True)
    return cross / (calculated.square() * known).sum((1, 2, 3), keepdim=True).clamp_min(1e-12)


def modulus_error(calculated: Tensor, measured: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(R, chi2), each (B,): R = sum |s Fc - Fm| / sum Fm, chi2 = sum (s Fc - Fm)^2 / sum Fm^2 over the known voxels."""
    difference = (scale_to(calculated, measured, known) * calculated - measured) * known
    target = measured * known
    r_factor = difference.abs().sum((1, 2, 3)) / target.sum((1, 2, 3))
    return r_factor, difference.square().sum((1, 2, 3)) / target.square().sum((1, 2, 3))
