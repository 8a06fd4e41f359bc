"""Partial coherence within a network: what is left of the fringes, and the modulus that coherent light would give.

A beam of finite coherence multiplies the autocorrelation of the object by a Gaussian along each axis (Clark et al.,
Nat. Commun. 3, 993 (2012)), and summing detector voxels does nearly the same. An object that is fitted to the pattern
as it is takes up what is missing: its chi2 falls, and it leaves the truth. Nothing here is learned.
"""

import torch
from torch import Tensor, nn

from training.networks.far_field import transform_first_axis, transform_last_axis, transform_middle_axis

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

    def fitted(self, decay: Tensor, intensity: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
        """A better decay: one step of Gauss and Newton on sum known (modulus - scale sqrt(blurred |F|^2))^2, of |F|^2.

        The scale is the best one throughout. modulus: 0 where it is not known.
        """
        left = torch.exp(-decay[..., None] * self.halves)
        plain, bent = self._products(left), self._products(-self.halves * left)
        last, last_bent = (transform_last_axis(each[2], intensity[:, 0]) for each in (plain, bent))
        both = transform_middle_axis(plain[1], last)
        blurred = self._floored(transform_first_axis(plain[0], both)[:, None], intensity)
        derivatives = [
            transform_first_axis(bent[0], both),
            transform_first_axis(plain[0], transform_middle_axis(bent[1], last)),
            transform_first_axis(plain[0], transform_middle_axis(plain[1], last_bent)),
        ]
        size = blurred.sqrt() * known
        axes = (1, 2, 3, 4)
        length = size.square().sum(axes, True).clamp_min(1e-12)
        scale = (size * modulus).sum(axes, True) / length
        rows = (torch.stack(derivatives, 1) * (scale * known / (2 * size).clamp_min(1e-6))).flatten(2)
        # what a row has along `size` is a change of the scale; the rest of the modulus has nothing along it
        along, gradient = (rows @ torch.cat([size, modulus - scale * size], 1).flatten(2).transpose(1, 2)).split(1, 2)
        curvature = rows @ rows.transpose(1, 2) - along @ along.transpose(1, 2) / length[..., 0, 0]
        pull = STIFFNESS * torch.diagonal(curvature, dim1=1, dim2=2) + 1e-6
        step = solved(curvature + torch.diag_embed(pull), gradient[..., 0] + pull * (TYPICAL - decay))
        return (decay + step).clamp_min(0.0).clamp_max(STRONGEST)

    def blurred(self, decay: Tensor, intensity: Tensor) -> Tensor:
        """The intensity that this light gives where coherent light gives `intensity`; positive."""
        first, middle, last = self._products(torch.exp(-decay[..., None] * self.halves))
        blurred = transform_middle_axis(middle, transform_last_axis(last, intensity[:, 0]))
        return self._floored(transform_first_axis(first, blurred)[:, None], intensity)

    def coherent(self, decay: Tensor, intensity: Tensor, modulus: Tensor) -> Tensor:
        """What `modulus` would be in coherent light if |F|^2 were right: modulus |F| / sqrt(blurred |F|^2)."""
        return modulus * (intensity / self.blurred(decay, intensity)).sqrt()

    def _products(self, left: Tensor) -> list[Tensor]:
        """What is left of the autocorrelation (B, 3, ...) -> the convolution along each axis, symmetric, (B,
        side, side).
        """
        return [(self.waves * along[:, None]) @ self.transposed for along in left.unbind(1)]

    @staticmethod
    def _floored(convolved: Tensor, intensity: Tensor) -> Tensor:
        return torch.maximum(convolved, LEAST * intensity) + 1e-12


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
