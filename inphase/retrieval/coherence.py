"""Partial coherence: the measured intensity is the coherent one convolved with a kernel (Clark et al., Nat. Commun. 3, 993 (2012)).

Far fields are uncentred and (B, N, ...), kernels (B, k, ...) float32, centred on k // 2, non-negative, of sum 1.
"""

import itertools

import torch
from torch import Tensor

from inphase.retrieval.passes import TINY, misfit, quotient
from inphase.retrieval.resolution import resampled
from inphase.retrieval.terms import PartialCoherence
from inphase.retrieval.transform import Transform

WIDTHS = (0.05, 3.0)  # voxels: narrowest and widest Gaussian of the search
CENTRE = 0.5  # of each axis: what the search looks at, enough for three widths; the photons are there
STEPS = (3.0, 1.7, 1.3, 1.1)  # factors by which the search changes one width at a time, from coarse to fine


class Coherence:
    """Convolution of an intensity with a kernel per start, and the search for the kernel. Everything real has half a spectrum."""

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
        """The blurred intensity, (B, N, ...) float32, never less than what the kernel's centre leaves where it was."""
        shape, spectrum = intensity.shape, self._spectrum(intensity)
        blurred = self._volume(spectrum.mul_(self._frequency_response(shape)), shape)
        return torch.maximum(blurred, self._centres * intensity)

    @property
    def _centres(self) -> Tensor:
        return self._kernels[(slice(None), *(slice(side // 2, side // 2 + 1) for side in self._kernels.shape[1:]))]

    def update(self, intensity: Tensor, constraint: Tensor) -> None:
        """A better kernel from the intensity |F|^2 of the current iterate and the measured one (`Problem.constraint`)."""
        self._response = None
        find = self._richardson_lucy
        if self._clause.kernel == "gauss":
            find = self._search
            sides = zip(intensity.shape[1:], self._kernels.shape[1:], strict=True)
            inner = [max(2 * round(CENTRE * n / 2), side + 1) for n, side in sides]
            if all(m < n for m, n in zip(inner, intensity.shape[1:], strict=True)):
                intensity, constraint = resampled(intensity, inner), resampled(constraint, inner).contiguous()
        shape, source = intensity.shape, self._spectrum(intensity)
        del intensity  # where the caller does not keep it, its memory serves the search
        self.kernels = find(source, shape, constraint)

    def _frequency_response(self, shape: torch.Size) -> Tensor:
        if self._response is None:
            self._response = self._spectrum(_placed(self._kernels, shape))
        return self._response

    def _spectrum(self, volume: Tensor) -> Tensor:
        """Real (B, N, ...) -> (B, ..., N // 2 + 1)."""
        spectrum: Tensor = torch.fft.rfftn(volume, dim=self._transform.dims)
        return spectrum

    def _volume(self, spectrum: Tensor, shape: torch.Size) -> Tensor:
        """The inverse."""
        volume: Tensor = torch.fft.irfftn(spectrum, shape[1:], dim=self._transform.dims)
        return volume

    def _richardson_lucy(self, source: Tensor, shape: torch.Size, constraint: Tensor) -> Tensor:
        """k <- k / (I* w) . (I * (w m^2 / (I conv k))), * the correlation, w the visible voxels (Richardson 1972, Lucy 1974)."""
        sides = tuple(self._kernels.shape[1:])

        def correlated(volume: Tensor) -> Tensor:
            # as a convolution, mirrored: the conjugate of the source's spectrum would take another volume
            spectrum = self._spectrum(volume).conj_physical_()
            del volume
            return _cut(self._volume(spectrum.mul_(source), shape), sides).flip(self._transform.dims)

        exposure = correlated((constraint >= 0).to(constraint.dtype).expand(shape)).clamp(min=TINY)
        kernels = self._kernels
        for _ in range(self._clause.iterations):
            gain = correlated(quotient(self._convolved(kernels, source, shape), constraint)).clamp(min=0)
            kernels = _normalised(kernels * gain / exposure)
        return kernels

    def _search(self, source: Tensor, shape: torch.Size, constraint: Tensor) -> Tensor:
        """The Gaussian whose blurred intensity fits the modulus best: one width after the other, in shrinking steps."""
        sides = tuple(self._kernels.shape[1:])
        widths = _widths(self._kernels)

        def misfits(candidate: Tensor) -> Tensor:
            return misfit(self._convolved(_gaussians(candidate, sides), source, shape), constraint)

        best = misfits(widths)
        for step, axis in itertools.product(STEPS, range(widths.shape[1])):
            for factor in (step, 1 / step):
                candidate = widths.clone()
                candidate[:, axis] = (candidate[:, axis] * factor).clamp(*WIDTHS)
                found = misfits(candidate)
                better = found < best
                widths = torch.where(better[:, None], candidate, widths)
                best = torch.minimum(found, best)
        return _gaussians(widths, sides)

    def _convolved(self, kernels: Tensor, source: Tensor, shape: torch.Size) -> Tensor:
        """A volume of spectrum `source`, blurred; (B, N, ...) float32."""
        return self._volume(self._spectrum(_placed(kernels, shape)).mul_(source), shape)


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


def _around(sides: tuple[int, ...], shape: torch.Size, device: torch.device) -> tuple[Tensor, ...]:
    """Indices of the window of `sides` voxels around index 0, for (B, N, ...)."""
    axes = [(torch.arange(side) - side // 2) % n for side, n in zip(sides, shape[1:], strict=True)]
    return torch.meshgrid(*(axis.to(device) for axis in (torch.arange(shape[0]), *axes)), indexing="ij")


def _placed(kernels: Tensor, shape: torch.Size) -> Tensor:
    """Kernels on a grid, their centres at index 0."""
    out = torch.zeros(shape, dtype=kernels.dtype, device=kernels.device)
    out[_around(tuple(kernels.shape[1:]), shape, kernels.device)] = kernels
    return out


def _cut(volume: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The window of `sides` voxels around index 0."""
    return volume[_around(sides, volume.shape, volume.device)]
