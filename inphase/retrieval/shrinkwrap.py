"""Support update by shrink-wrap (Marchesini et al., Phys. Rev. B 68, 140101 (2003));
`terms.ShrinkWrap` says what each option means.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.retrieval.fft import Transform
from inphase.retrieval.passes import above, amplitude, counted, intensity_weighted_amplitude, weigh
from inphase.retrieval.terms import ShrinkWrap


def shrink_wrap(
    whole: Sequence[int],
    projected: Tensor,
    support: Tensor,
    clause: ShrinkWrap,
    progress: float,
    scratch: Tensor,
) -> tuple[Tensor, list[int]]:
    """New supports, bool (B, N, ...), from the smoothed |projected|, and their volumes in voxels; all uncentred.

    whole: sides of the far field, of whose object these may be no more than a box. support: the present ones.
    progress: 0 at the first update of a run, 1 at the last. scratch: a volume like `projected` that is overwritten.
    Where the threshold leaves fewer voxels than the smallest volume or more than the largest, as many of the strongest
    are taken. An update costs about one and a half iterations.
    """
    sigma = clause.sigma[0] * (clause.sigma[1] / clause.sigma[0]) ** progress
    threshold = clause.threshold[0] + (clause.threshold[1] - clause.threshold[0]) * progress
    mean = amplitude(projected, scratch)
    smooth = gaussian(scratch, sigma)
    if clause.within < 1:
        smooth *= _box(smooth.shape[1:], clause.within, smooth.device)
    updated, voxels = above(smooth, threshold * _reference(clause.reference, smooth, mean, support))
    updated, voxels = _bounded(updated, voxels, smooth, clause, whole)
    if clause.component == "largest":
        updated = _largest_components(updated)
    if clause.expand:
        updated = dilated(updated, clause.expand) if clause.expand > 0 else ~dilated(~updated, -clause.expand)
        if clause.within < 1:
            updated &= _box(updated.shape[1:], clause.within, updated.device)
    if clause.component == "largest" or clause.expand:
        voxels = counted(updated)
    return updated, voxels


def gaussian(volume: Tensor, sigma: float) -> Tensor:
    """Periodic convolution of real values in a complex volume (B, N, ...) with a normalised Gaussian of `sigma` voxels.

    Two complex FFTs: torch's real inverse FFT is slower than its complex one.
    """
    transform = Transform(volume.ndim - 1)
    windows = [_window(volume.shape[dim], sigma, volume.device) for dim in transform.dims]
    return transform.backward(weigh(transform.forward(volume), windows))


@lru_cache(maxsize=64)  # on small grids they take as long as the FFT
def _window(n: int, sigma: float, device: torch.device) -> Tensor:
    """The Fourier transform of the Gaussian along one axis."""
    return torch.exp(-2 * (torch.pi * sigma * torch.fft.fftfreq(n, device=device)) ** 2)


def dilated(support: Tensor, voxels: int) -> Tensor:
    """Grown by `voxels` across faces, periodic; bool (B, N, ...)."""
    for _ in range(voxels):
        grown = support.clone()
        for dim in range(1, support.ndim):
            grown |= support.roll(1, dim) | support.roll(-1, dim)
        support = grown
    return support


def _reference(kind: str, smooth: Tensor, mean: Tensor, support: Tensor) -> Tensor:
    """The amplitude that the threshold is a fraction of, (B,) float64."""
    if kind == "intensity":
        return intensity_weighted_amplitude(smooth, mean)  # smoothing keeps the mean
    real = smooth.real
    if kind == "max":
        return real.flatten(1).max(1).values.double()
    inside = [values[where] for values, where in zip(real, support, strict=True)]
    if kind == "rms":
        return torch.stack([values.double().square().mean().sqrt() for values in inside])
    return torch.stack([values.topk(max(1, len(values) // 100)).values[-1].double() for values in inside])


def _bounded(
    support: Tensor, voxels: list[int], smooth: Tensor, clause: ShrinkWrap, whole: Sequence[int]
) -> tuple[Tensor, list[int]]:
    largest = np.prod([n / 2 for n in whole])
    low, high = (min(max(1, round(largest * part)), smooth[0].numel()) for part in clause.volume)
    outside = {b: (low if count < low else high) for b, count in enumerate(voxels) if not low <= count <= high}
    if not outside:
        return support, voxels
    cut = torch.full((len(smooth),), torch.inf, dtype=torch.float64, device=smooth.device)
    for b, wanted in outside.items():
        cut[b] = smooth[b].real.flatten().topk(wanted).values[-1]
    taken, counts = above(smooth, cut)
    for b in outside:
        support[b], voxels[b] = taken[b], counts[b]
    return support, voxels


def _box(shape: tuple[int, ...], within: float, device: torch.device) -> Tensor:
    """The centred box of `within` times each side, uncentred; bool (N, ...)."""
    inside = torch.ones((), dtype=torch.bool, device=device)
    for n in shape:
        half = max(1, round(within * n / 2))
        index = torch.arange(n, device=device)
        inside = inside[..., None] & ((index < half) | (index >= n - half))
    return inside


def _largest_components(support: Tensor) -> Tensor:
    """The largest component of each support; it may reach across index 0, where the object lies,
    hence centred for it.
    """
    axes = tuple(range(support.ndim - 1))
    kept = [
        np.fft.ifftshift(_largest_component(np.fft.fftshift(one, axes=axes)), axes=axes)
        for one in support.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(kept)).to(support.device)


def _largest_component(support: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = scipy.ndimage.label(support, structure=np.ones((3,) * support.ndim))
    if count < 2:
        return support
    largest: NDArray[np.bool_] = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return largest
