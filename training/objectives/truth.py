"""Which of the crystals that have the measured pattern a prediction is compared with."""

import torch
from torch import Tensor

from training.transform import last_axes, spatial

SHIFT = 3  # voxels along each axis that a prediction may stand beside the truth
PARTS = 8  # of a voxel, to which `subvoxel_aligned` finds the place


def twins(objects: Tensor) -> Tensor:
    """conj(o(-r)) about N // 2 of objects (B, m, ...) complex: the same modulus.

    Rolled and mirrored as they are: out of an FFT the empty voxels would come with a phase.
    """
    axes = last_axes(objects.ndim - 1)
    return objects.flip(axes).roll((1,) * len(axes), axes).conj().resolve_conj()


@torch.no_grad()
def nearest(truth: Tensor, prediction: Tensor) -> Tensor:
    """`truth` (B, m, ...) complex, or its twin, shifted by up to SHIFT voxels:
    what correlates best with the prediction.

    Shifts are cyclic within the box, which is wider than any crystal by more than SHIFT.
    """
    n, axes = truth.shape[-1], last_axes(truth.ndim - 1)
    line = torch.zeros(n, dtype=torch.bool, device=truth.device)
    line[: SHIFT + 1] = line[-SHIFT:] = True
    allowed = line
    for _ in axes[1:]:
        allowed = allowed[..., None] & line
    far = torch.fft.fftn(prediction, dim=axes)
    twin = twins(truth)
    result, best = truth, torch.full((len(truth),), -1.0, device=truth.device)
    for candidate in (truth, twin):
        correlation = torch.fft.ifftn(far * torch.fft.fftn(candidate, dim=axes).conj(), dim=axes)
        height, place = (correlation.abs() * allowed).flatten(1).max(1)
        shifts = torch.stack(torch.unravel_index(place, allowed.shape), 1).tolist()
        shifted = torch.stack([x.roll(shift, axes) for x, shift in zip(candidate, shifts, strict=True)])
        result = torch.where((height > best).view(-1, *[1] * len(axes)), shifted, result)
        best = torch.maximum(best, height)
    return result


@torch.no_grad()
def subvoxel_aligned(truth: Tensor, prediction: Tensor) -> Tensor:
    """`truth` (B, m, ...) complex moved by at most half a voxel along each axis:
    where it correlates best with the prediction.

    The pattern says nothing of where between two voxels a crystal stands. The shift is that of the Fourier transform,
    which keeps the modulus and makes edges ring as they do in any object that has this pattern; the place is found to 1
    / PARTS voxel.
    """
    axes = last_axes(truth.ndim - 1)
    frequency = torch.fft.fftfreq(truth.shape[-1], device=truth.device)
    offsets = torch.arange(-PARTS // 2, PARTS // 2 + 1, device=truth.device) / PARTS
    waves = torch.exp(2j * torch.pi * offsets[:, None] * frequency)
    spectrum = torch.fft.fftn(truth, dim=axes)
    heights = torch.fft.fftn(prediction, dim=axes) * spectrum.conj()
    for _ in axes:  # contracted axes move behind the others: after all of them they are in order again
        heights = torch.tensordot(heights, waves, dims=([1], [1]))
    heights = heights.abs()
    place = torch.unravel_index(heights.flatten(1).argmax(1), heights.shape[1:])
    for axis, index in zip(axes, place, strict=True):
        ramp = waves[index].conj()
        spectrum = spectrum * ramp.view([len(truth)] + [-1 if a == axis else 1 for a in axes])
    moved: Tensor = torch.fft.ifftn(spectrum, dim=axes)
    return moved


def squared_correlation(a: Tensor, b: Tensor) -> Tensor:
    """|<a, b>|^2 / (|a|^2 |b|^2), (B,), of complex objects (B, m, ...)."""
    over = spatial(a)
    product: Tensor = (a.conj() * b).sum(over).abs().square()
    return product / (a.abs().square().sum(over) * b.abs().square().sum(over)).clamp_min(1e-12)


def likeness(truth: Tensor, prediction: Tensor) -> Tensor:
    """`squared_correlation`, (B,), of predictions with the truth or its twin conj(t(-r)), shifted,
    also by parts of a voxel.

    Whichever of them each prediction is nearest to.
    """
    return squared_correlation(prediction, subvoxel_aligned(nearest(truth, prediction), prediction))
