"""Support update by shrink-wrap (Marchesini et al., Phys. Rev. B 68, 140101 (2003))."""

import torch
from torch import Tensor


def shrink_wrap(projected: Tensor, threshold: float, sigma: float, low: int, high: int) -> Tensor:
    """New supports, bool (B, N, ...), from the smoothed |projected|: `recipe.ShrinkWrap` defines the reference amplitude.

    Where the threshold leaves fewer than `low` voxels or more than `high`, the `low` or `high` strongest are taken.
    """
    smooth = gaussian(projected.abs(), sigma)
    flat = smooth.flatten(1)
    power = flat.double().square()
    reference = (power.square().sum(1) / power.sum(1)).sqrt()
    cut = threshold * reference.float()
    voxels = (flat >= cut[:, None]).sum(1).tolist()
    for b, count in enumerate(voxels):
        if not low <= count <= high:
            cut[b] = flat[b].topk(low if count < low else high).values[-1]
    return smooth >= cut.view(-1, *(1 for _ in smooth.shape[1:]))


def gaussian(real: Tensor, sigma: float) -> Tensor:
    """Periodic convolution of (B, N, ...) with a normalised Gaussian of standard deviation `sigma` voxels."""
    dims = tuple(range(1, real.ndim))
    spectrum = torch.fft.rfftn(real, dim=dims)
    for dim in dims:
        frequencies = torch.fft.rfftfreq if dim == dims[-1] else torch.fft.fftfreq
        window = torch.exp(-2 * (torch.pi * sigma * frequencies(real.shape[dim], device=real.device)) ** 2)
        spectrum *= window.view(*(-1 if d == dim else 1 for d in range(real.ndim)))
    smooth: Tensor = torch.fft.irfftn(spectrum, s=real.shape[1:], dim=dims)
    return smooth
