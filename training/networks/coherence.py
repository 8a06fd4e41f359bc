"""Partial coherence within a network: what is left of the fringes, and the modulus that coherent light would give.

A beam of finite coherence multiplies the autocorrelation of the object by a Gaussian along each axis (Clark et al., Nat.
Commun. 3, 993 (2012)), and summing detector voxels does nearly the same. An object that is fitted to the pattern as
it is takes up what is missing: its chi2 falls, and it leaves the truth. Nothing here is learned.
"""

import torch
from torch import Tensor, nn

from training.networks.far_field import square

TYPICAL = 0.6  # decay, of sum-binning by 2 to 4: where a fit begins, and what it is drawn to
STIFFNESS = 0.1  # of that pull, in units of the curvature of the misfit
STRONGEST = 6.0  # decay: a coherence length of 13 voxels in a frame of 64
LEAST = 0.1  # of |F|^2, that blurring leaves of it: bounds what a fringe's minimum is divided by


class Coherence(nn.Module):
    """The convolution of the central `side`^3 of an intensity that the decay of the autocorrelation stands for.

    decay: (B, 3) >= 0 for the three axes. What is left at a distance of r voxels is exp(-decay (2 r / frame)^2 / 2): a
    coherence length of frame / 2 sqrt(decay) voxels. Intensities and moduli: (B, 1, side, side, side).
    """

    def __init__(self, frame: int, side: int) -> None:
        super().__init__()
        distance = torch.arange(frame // 2 + 1, dtype=torch.float64)
        angle = 2 * torch.pi * torch.arange(side)[:, None] * distance / frame
        share = torch.where((distance == 0) | (distance == frame // 2), 1.0, 2.0) / frame  # both signs
        waves = torch.cat([angle.cos(), angle.sin()], 1) * share.repeat(2).sqrt()
        # two buffers, not one and its transpose: a loop of a graph takes no views
        self.register_buffer("waves", waves.float(), persistent=False)
        self.register_buffer("transposed", waves.T.float().contiguous(), persistent=False)
        self.register_buffer("halves", (2 * (distance / frame).square()).float().repeat(2), persistent=False)
        self.waves: Tensor
        self.transposed: Tensor
        self.halves: Tensor

    def fitted(self, decay: Tensor, field: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """A better decay: one step of Gauss and Newton on sum known (modulus - scale sqrt(blurred |F|^2))^2, F (B, 2, ...).

        The scale is the best one throughout.
        """
        intensity = square(field)
        left = torch.exp(-decay[..., None] * self.halves)
        plain, bent = self._products(left), self._products(-self.halves * left)
        size = self._floored(plain, intensity).sqrt() * known
        axes = (1, 2, 3, 4)
        scale = (size * modulus).sum(axes, True) / size.square().sum(axes, True).clamp_min(1e-12)
        slopes = [
            scale * _convolved([bent[a] if a == axis else plain[a] for a in range(3)], intensity) * known / (2 * size).clamp_min(1e-6)
            for axis in range(3)
        ]  # fmt: skip
        rows = torch.cat(slopes, 1).flatten(2)
        shape = size.flatten(2)
        rest = (modulus * known - scale * size).flatten(2)
        overlaps = rows @ shape.transpose(1, 2) / shape.square().sum(2, True).clamp_min(1e-12)
        rows = rows - overlaps * shape
        curvature = rows @ rows.transpose(1, 2)
        pull = STIFFNESS * torch.diagonal(curvature, dim1=1, dim2=2) + 1e-6
        step = solved(
            curvature + torch.diag_embed(pull), (rows @ rest.transpose(1, 2))[..., 0] + pull * (TYPICAL - decay)
        )
        return (decay + step).clamp_min(0.0).clamp_max(STRONGEST)

    def blurred(self, decay: Tensor, intensity: Tensor) -> Tensor:
        """The intensity that this light gives where coherent light gives `intensity`; positive."""
        return self._floored(self._products(torch.exp(-decay[..., None] * self.halves)), intensity)

    def coherent(self, decay: Tensor, field: Tensor, modulus: Tensor) -> Tensor:
        """What `modulus` would be in coherent light if F (B, 2, ...) were right: modulus |F| / sqrt(blurred |F|^2)."""
        intensity = square(field)
        return modulus * (intensity / self.blurred(decay, intensity)).sqrt()

    def _products(self, left: Tensor) -> list[Tensor]:
        """What is left of the autocorrelation (B, 3, ...) -> the convolution along each axis, (B, side, side)."""
        return [(self.waves * along[:, None]) @ self.transposed for along in left.unbind(1)]

    @staticmethod
    def _floored(products: list[Tensor], intensity: Tensor) -> Tensor:
        return torch.maximum(_convolved(products, intensity), LEAST * intensity) + 1e-12


def _convolved(products: list[Tensor], volume: Tensor) -> Tensor:
    """A matrix (B, n, n) along each axis of (B, 1, n, n, n). Each takes the first axis and leaves it last."""
    n = volume.shape[-1]
    for product in products:
        volume = (product @ volume.reshape(-1, n, n * n)).transpose(1, 2)
    return volume.reshape(-1, 1, n, n, n)


def solved(matrix: Tensor, right: Tensor) -> Tensor:
    """x of A x = b for (B, 3, 3) and (B, 3), by Cramer's rule: a graph has no solver."""
    first, second, third = matrix.unbind(2)
    normal = cross(second, third)
    determinant = (first * normal).sum(1, keepdim=True)
    parts = [(right * normal).sum(1), (first * cross(right, third)).sum(1), (first * cross(second, right)).sum(1)]
    return torch.stack(parts, 1) / determinant


def cross(a: Tensor, b: Tensor) -> Tensor:
    """The vector product of (B, 3)."""
    (a0, a1, a2), (b0, b1, b2) = a.unbind(1), b.unbind(1)
    return torch.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], 1)
