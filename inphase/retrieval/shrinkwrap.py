"""Support update by shrink-wrap (Marchesini et al., Phys. Rev. B 68, 140101 (2003))."""

import torch
from torch import Tensor

from inphase.retrieval.passes import above, amplitude, intensity_weighted_amplitude, weigh
from inphase.retrieval.transform import Transform


def shrink_wrap(
    transform: Transform, projected: Tensor, threshold: float, sigma: float, low: int, high: int
) -> tuple[Tensor, list[int]]:
    """New supports, bool (B, N, ...), from the smoothed |projected|, and their volumes in voxels.

    The reference amplitude is defined in `recipe.ShrinkWrap`. Where the threshold leaves fewer than `low` voxels or more
    than `high`, the `low` or `high` strongest are taken. An update costs about one and a half iterations.
    """
    modulus, mean = amplitude(projected)
    smooth = gaussian(transform, modulus, sigma)
    cut = threshold * intensity_weighted_amplitude(smooth, mean)  # smoothing keeps the mean
    support, voxels = above(smooth, cut)
    if all(low <= count <= high for count in voxels):
        return support, voxels
    for b, count in enumerate(voxels):
        if not low <= count <= high:
            cut[b] = smooth[b].real.flatten().topk(low if count < low else high).values[-1]
    return above(smooth, cut)


def gaussian(transform: Transform, volume: Tensor, sigma: float) -> Tensor:
    """Periodic convolution of real values in a complex volume (B, N, ...) with a normalised Gaussian of `sigma` voxels.

    Two complex FFTs: torch's real inverse FFT is slower than its complex one.
    """
    window = torch.ones((), device=volume.device)
    for dim in transform.dims:
        frequency = torch.fft.fftfreq(volume.shape[dim], device=volume.device)
        window = window[..., None] * torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)
    return transform.backward(weigh(transform.forward(volume), window))
