"""Partial coherence: the measured intensity is the coherent one convolved with a kernel (Clark et al., Nat. Commun. 3, 993 (2012)).

Far fields are uncentred and (B, N, ...), kernels (B, k, ...) float32, centred on k // 2, non-negative, of sum 1.
"""

import itertools

import torch
from torch import Tensor

from inphase.retrieval.passes import TINY
from inphase.retrieval.terms import PartialCoherence
from inphase.retrieval.transform import Transform

WIDTHS = (0.05, 3.0)  # voxels: narrowest and widest Gaussian of the search
STEPS = (1.5, 1.2, 1.07)  # factors by which the search changes one width at a time, from coarse to fine


class Coherence:
    """Convolution of an intensity with a kernel per start: an operator with its adjoint, and the search for the kernel."""

    def __init__(self, clause: PartialCoherence, transform: Transform, kernels: Tensor) -> None:
        self._clause = clause
        self._transform = transform
        self.kernels = kernels

    @property
    def kernels(self) -> Tensor:
        """(B, k, ...) float32."""
        return self._kernels

    @kernels.setter
    def kernels(self, kernels: Tensor) -> None:
        self._kernels = kernels
        self._response: Tensor | None = None

    @classmethod
    def gaussian(
        cls, clause: PartialCoherence, transform: Transform, starts: int, shape: tuple[int, ...], device: torch.device
    ) -> "Coherence":
        """Begins with a Gaussian of the clause's sigma."""
        sides = tuple(min(clause.size, n - 1) // 2 * 2 + 1 for n in shape)  # odd, so that it has a centre
        widths = torch.full((starts, len(shape)), clause.sigma, device=device)
        return cls(clause, transform, _gaussians(widths, sides))

    def forward(self, intensity: Tensor) -> Tensor:
        """The blurred intensity, (B, N, ...) float32, never negative."""
        return self._filtered(intensity, self._frequency_response(intensity)).clamp_(min=0)

    def adjoint(self, intensity: Tensor) -> Tensor:
        """Correlation with the kernel, (B, N, ...) float32."""
        return self._filtered(intensity, self._frequency_response(intensity).conj())

    def update(self, intensity: Tensor, constraint: Tensor) -> None:
        """A better kernel from the intensity |F|^2 of the current iterate and the measured one (`Problem.constraint`)."""
        if self._clause.kernel == "gauss":
            self.kernels = self._search(intensity, constraint)
        else:
            self.kernels = self._richardson_lucy(intensity, constraint)

    def _frequency_response(self, like: Tensor) -> Tensor:
        if self._response is None:
            self._response = torch.fft.fftn(_placed(self._kernels, like), dim=self._transform.dims)
        return self._response

    def _filtered(self, volume: Tensor, response: Tensor) -> Tensor:
        dims = self._transform.dims
        spectrum = torch.fft.fftn(volume.to(response.dtype), dim=dims)
        filtered: Tensor = torch.fft.ifftn(spectrum.mul_(response), dim=dims).real.contiguous()
        return filtered

    def _richardson_lucy(self, intensity: Tensor, constraint: Tensor) -> Tensor:
        """k <- k / (I* w) . (I * (w m^2 / (I conv k))), * the correlation, w the visible voxels (Richardson 1972, Lucy 1974)."""
        dims, sides = self._transform.dims, self._kernels.shape[1:]
        visible = (constraint >= 0).to(intensity.dtype)
        measured = constraint.clamp(min=0).square()
        source = torch.fft.fftn(intensity.to(torch.complex64), dim=dims)

        def correlated(volume: Tensor) -> Tensor:
            spectrum = torch.fft.fftn(volume.to(torch.complex64), dim=dims)
            return _cut(torch.fft.ifftn(spectrum.mul_(source.conj()), dim=dims).real, sides)

        exposure = correlated(visible.expand_as(intensity)).clamp(min=TINY)
        kernels = self._kernels
        for _ in range(self._clause.iterations):
            response = torch.fft.fftn(_placed(kernels, intensity), dim=dims)
            blurred = torch.fft.ifftn(response.mul_(source), dim=dims).real.clamp(min=TINY)
            kernels = kernels * correlated(visible * measured / blurred).clamp(min=0) / exposure
            kernels = _normalised(kernels)
        return kernels

    def _search(self, intensity: Tensor, constraint: Tensor) -> Tensor:
        """The Gaussian whose blurred intensity fits the modulus best: one width after the other, in shrinking steps."""
        sides = self._kernels.shape[1:]
        widths = _widths(self._kernels)
        source = torch.fft.fftn(intensity.to(torch.complex64), dim=self._transform.dims)

        def misfit(candidate: Tensor) -> Tensor:
            response = torch.fft.fftn(_placed(_gaussians(candidate, sides), intensity), dim=self._transform.dims)
            blurred = torch.fft.ifftn(response.mul_(source), dim=self._transform.dims).real.clamp(min=0)
            residual = torch.where(constraint >= 0, blurred.sqrt() - constraint, 0.0)
            return residual.flatten(1).square().sum(1, dtype=torch.float64)

        best = misfit(widths)
        for step, axis in itertools.product(STEPS, range(widths.shape[1])):
            for factor in (step, 1 / step):
                candidate = widths.clone()
                candidate[:, axis] = (candidate[:, axis] * factor).clamp(*WIDTHS)
                found = misfit(candidate)
                better = found < best
                widths = torch.where(better[:, None], candidate, widths)
                best = torch.minimum(found, best)
        return _gaussians(widths, sides)


def _gaussians(widths: Tensor, sides: tuple[int, ...]) -> Tensor:
    """(B, d) standard deviations -> (B, k, ...) normalised kernels: the Gaussian integrated over each voxel."""
    kernels = torch.ones((len(widths), *(1 for _ in sides)), device=widths.device)
    for axis, side in enumerate(sides):
        edges = torch.arange(side + 1, device=widths.device) - side / 2
        cumulative = torch.erf(edges / (widths[:, axis, None] * 2**0.5))
        profile = cumulative.diff(dim=1)
        kernels = kernels * profile.view(len(widths), *(side if a == axis else 1 for a in range(len(sides))))
    return _normalised(kernels)


def _widths(kernels: Tensor) -> Tensor:
    """(B, d): the Gaussian widths of the kernels, from their second moments less that of a voxel."""
    found = []
    for axis in range(1, kernels.ndim):
        others = tuple(a for a in range(1, kernels.ndim) if a != axis)
        profile = kernels.sum(dim=others) if others else kernels
        position = torch.arange(profile.shape[1], device=kernels.device) - profile.shape[1] // 2
        moment = (profile * position.square()).sum(1)
        found.append((moment - 1 / 12).clamp(min=WIDTHS[0] ** 2).sqrt())
    return torch.stack(found, 1)


def _normalised(kernels: Tensor) -> Tensor:
    total = kernels.flatten(1).sum(1).clamp(min=TINY)
    return kernels / total.view(-1, *(1 for _ in kernels.shape[1:]))


def _placed(kernels: Tensor, like: Tensor) -> Tensor:
    """Kernels on the grid of `like`, their centres at index 0; complex64."""
    out = torch.zeros(like.shape, dtype=torch.complex64, device=like.device)
    out[(slice(None), *(slice(0, side) for side in kernels.shape[1:]))] = kernels.to(torch.complex64)
    return out.roll([-(side // 2) for side in kernels.shape[1:]], list(range(1, kernels.ndim)))


def _cut(volume: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The window of `sides` voxels around index 0."""
    rolled = volume.roll([side // 2 for side in sides], list(range(1, volume.ndim)))
    return rolled[(slice(None), *(slice(0, side) for side in sides))]
