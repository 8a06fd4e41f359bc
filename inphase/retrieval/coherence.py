"""Partial coherence: the measured intensity is the coherent one convolved with a kernel (Clark et al., Nat. Commun.
3, 993 (2012)).

Far fields are uncentred and (B, N, ...), kernels (B, k, ...) float32, centred on k // 2, non-negative, of sum 1.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from inphase.retrieval.fft import Transform
from inphase.retrieval.passes import TINY, quotient
from inphase.retrieval.resampling import resampled
from inphase.retrieval.terms import PartialCoherence

WIDTHS = (0.15, 3.0)  # voxels: of the Gaussian that is found; a narrower one lies within its voxel and shows no slope
CENTRE = 0.5  # of each axis: what the search looks at, enough for three widths; the photons are there
STEPS = 3  # of the search: from 0.2 as from 1.2 voxels the next would change a width by less than 0.04
FACTOR = 2.0  # between a width and the next: the slope at a narrow Gaussian says nothing of a wide one
DAMPING = 1e-3, 10.0  # at first, in units of the curvature, and its factor from step to step
ROUNDING = 2e-7  # of the largest intensity: what a convolution in single precision leaves where there is nothing


class Coherence:
    """Convolution of an intensity with a kernel per start, and the search for the kernel.
    Everything real has half a spectrum.
    """

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
        """A better kernel from the intensity |F|^2 of the current iterate and the measured one
        (`Problem.constraint`).
        """
        if self._clause.kernel == "gauss":
            self.kernels = _descended(self.kernels, intensity, constraint)
        else:
            shape, source = intensity.shape, self._spectrum(intensity)
            del intensity  # where the caller does not keep it, its memory serves what follows
            self.kernels = self._richardson_lucy(source, shape, constraint)

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
        """k <- k / (I* w) . (I * (w m^2 / (I conv k))), * the correlation,
        w the visible voxels (Richardson 1972, Lucy 1974).
        """
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

    def _convolved(self, kernels: Tensor, source: Tensor, shape: torch.Size) -> Tensor:
        """A volume of spectrum `source`, blurred; (B, N, ...) float32."""
        return self._volume(self._spectrum(_placed(kernels, shape)).mul_(source), shape)


def _descended(kernels: Tensor, intensity: Tensor, constraint: Tensor) -> Tensor:
    """The Gaussian whose blurred intensity fits the modulus best, by the steps of Levenberg and Marquardt in the
    squares of the widths.
    """
    sides = tuple(kernels.shape[1:])
    inner = [max(2 * round(CENTRE * n / 2), side + 1) for n, side in zip(intensity.shape[1:], sides, strict=True)]
    if all(m < n for m, n in zip(inner, intensity.shape[1:], strict=True)):
        intensity, constraint = resampled(intensity, inner), resampled(constraint, inner)
    bounds = WIDTHS[0] ** 2, WIDTHS[1] ** 2
    variances = _widths(kernels).square().clamp(*bounds)
    best = _misfit(variances, sides, intensity, constraint)
    damping = torch.full_like(best.value, DAMPING[0])
    for _ in range(STEPS):
        candidate = variances + best.step(damping)
        candidate = candidate.clamp(variances / FACTOR**2, variances * FACTOR**2).clamp(*bounds)
        tried = _misfit(candidate, sides, intensity, constraint)
        better = tried.value < best.value
        variances = torch.where(better[:, None], candidate, variances)
        damping = torch.where(better, damping / DAMPING[1], damping * DAMPING[1])
        best = tried.where(better, best)
    return _gaussians(variances.sqrt(), sides)


@dataclass(frozen=True)
class _Misfit:
    """Its value (B,), half its negative gradient (B, d) and half its curvature (B, d, d), all float64."""

    value: Tensor
    gradient: Tensor
    curvature: Tensor

    def step(self, damping: Tensor) -> Tensor:
        """(B, d) float32, damped by so much (B,) of the curvature along each axis."""
        stiff = torch.diagonal(self.curvature, dim1=1, dim2=2).clamp(min=TINY)
        damped = self.curvature + torch.diag_embed(stiff * damping[:, None])
        found: Tensor = torch.linalg.solve(damped, self.gradient)
        return found.float()

    def where(self, this: Tensor, other: "_Misfit") -> "_Misfit":
        """This one at the starts of which that is said (B,), the other elsewhere."""
        return _Misfit(
            torch.where(this, self.value, other.value),
            torch.where(this[:, None], self.gradient, other.gradient),
            torch.where(this[:, None, None], self.curvature, other.curvature),
        )


def _misfit(variances: Tensor, sides: tuple[int, ...], intensity: Tensor, constraint: Tensor) -> _Misfit:
    """Of sqrt(I conv k) and the visible modulus, k of (B, d) squared widths, by products with small matrices:
    no FFTs.
    """
    blurred, changes = intensity, list[Tensor]()
    for axis in reversed(range(len(sides))):
        plain, bent = _convolutions(variances[:, axis].sqrt(), sides[axis], intensity.shape[axis + 1])
        changes = [_along(plain, change, axis) for change in changes] + [_along(bent, blurred, axis)]
        blurred = _along(plain, blurred, axis)
    dark = ROUNDING * blurred.flatten(1).amax(1).view(-1, *(1 for _ in sides))
    size = torch.maximum(blurred, dark).sqrt()
    visible = constraint >= 0
    rest = torch.where(visible, constraint - size, 0.0).flatten(1)
    slopes = (torch.stack(changes[::-1], 1) * torch.where(visible, 0.5 / size, 0.0)[:, None]).flatten(2)
    return _Misfit(
        rest.square().sum(1, dtype=torch.float64),
        (slopes @ rest[..., None])[..., 0].double(),
        (slopes @ slopes.transpose(1, 2)).double(),
    )


def _convolutions(widths: Tensor, side: int, n: int) -> tuple[Tensor, Tensor]:
    """(B,) standard deviations -> the periodic convolution of n voxels, (B, n, n),
    and how it changes with their squares.
    """
    index = torch.arange(n, device=widths.device)
    around = (torch.arange(side, device=widths.device) - side // 2) % n
    distance = (index[:, None] - index) % n
    profile, change = (
        torch.zeros((len(widths), n), device=widths.device).index_copy(1, around, values)[:, distance]
        for values in _profiles(widths, side)
    )
    return profile, change


def _along(matrices: Tensor, volume: Tensor, axis: int) -> Tensor:
    """Symmetric matrices (B, n, n) on one axis of (B, N, ...)."""
    shape, n = volume.shape, volume.shape[axis + 1]
    if axis == volume.ndim - 2:
        return (volume.reshape(len(volume), -1, n) @ matrices).view(shape)
    return (matrices[:, None] @ volume.reshape(len(volume), prod(shape[1 : axis + 1]), n, -1)).view(shape)


def _profiles(widths: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """(B,) standard deviations -> Gaussians integrated over voxels, (B, k) of sum 1,
    and how they change with their squares.
    """
    edges = torch.arange(side + 1, device=widths.device) - side / 2
    reduced = edges / (widths[:, None] * 2**0.5)
    profile = torch.erf(reduced).diff(dim=1)
    change = (-reduced * torch.exp(-reduced.square()) / (widths.square()[:, None] * torch.pi**0.5)).diff(dim=1)
    total = profile.sum(1, keepdim=True)
    profile = profile / total
    return profile, (change - profile * change.sum(1, keepdim=True)) / total


def _gaussians(widths: Tensor, sides: tuple[int, ...]) -> Tensor:
    """(B, d) standard deviations -> (B, k, ...) kernels of sum 1."""
    kernels = torch.ones((len(widths), *(1 for _ in sides)), device=widths.device)
    for axis, side in enumerate(sides):
        profile, _ = _profiles(widths[:, axis], side)
        kernels = kernels * profile.view(len(widths), *(side if a == axis else 1 for a in range(len(sides))))
    return kernels


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
