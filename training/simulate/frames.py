"""What the beam and the detector make of one frame: partial coherence, photons, read-out noise, a beam stop, hidden
pixels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inphase.pattern import MaskState
from training.simulate.crystals import grid, uniform
from training.simulate.detector import Measurement, blurred, coherence_lines, islands
from training.transform import far_intensity


@dataclass(frozen=True)
class FrameSettings:
    """What frames are drawn. Shares are probabilities per particle; a share of 0 leaves it out, as the paper does.

    photons: total, log-uniform; noise_share: of frames with Poisson noise, the others are the intensity itself.
    readout: sigma of the Gaussian noise that a detector without single-photon counting adds to each pixel, in photons;
    what it leaves below zero is cut off. stop: radius of the beam stop in pixels. coherence: length (sigma) in units of
    the particle's longest side. free_fraction: hidden pixels, as the service hides them for the free log-likelihood;
    free_share: of frames that have any.
    """

    photons: tuple[float, float] = (1e5, 1e9)
    noise_share: float = 0.0
    readout: tuple[float, float] = (0.2, 1.0)
    readout_share: float = 0.0
    stop: tuple[float, float] = (1.0, 3.0)
    stop_share: float = 0.0
    coherence: tuple[float, float] = (0.6, 3.0)
    coherence_share: float = 0.0
    free_fraction: float = 0.05
    free_share: float = 0.0


def extents(objects: Tensor, threshold: float = 0.1) -> Tensor:
    """Pixels along each axis (B, 2) over which images (B, m, m) exceed the threshold of their largest modulus."""
    amplitude = objects.abs()
    inside = amplitude > threshold * amplitude.amax((1, 2), keepdim=True)
    return torch.stack([inside.any(2).sum(1), inside.any(1).sum(1)], 1).float()


def measure_frame(
    objects: Tensor, frame: tuple[int, int], settings: FrameSettings, generator: torch.Generator
) -> Measurement:
    """Measure projections (B, m, m) complex64 on frames (B, *frame)."""
    device, batch = objects.device, len(objects)

    def chosen(share: float) -> Tensor:
        return torch.rand(batch, 1, 1, generator=generator, device=device) < share

    coherent = far_intensity(objects, frame)
    low, high = settings.photons
    photons = torch.exp(uniform((math.log(low), math.log(high)), (batch, 1, 1), generator, device))
    clean = coherent * (photons / coherent.sum((1, 2), keepdim=True))
    seen = clean
    if settings.coherence_share:
        longest = extents(objects).amax(1, keepdim=True)
        length = uniform(settings.coherence, (batch, 1), generator, device) * longest
        partial = blurred(clean, coherence_lines(length.expand(batch, 2), frame)).clamp_min(0.0)
        seen = torch.where(chosen(settings.coherence_share), partial, clean)
    if settings.noise_share:
        seen = torch.where(chosen(settings.noise_share), torch.poisson(seen, generator=generator), seen)
    if settings.readout_share:
        sigma = uniform(settings.readout, (batch, 1, 1), generator, device) * chosen(settings.readout_share)
        seen = (seen + sigma * torch.randn(seen.shape, generator=generator, device=device)).clamp_min(0.0)
    radius = uniform(settings.stop, (batch, 1, 1), generator, device) * chosen(settings.stop_share)
    stopped = grid(frame, device).square().sum(0) < radius.square()
    mask = torch.where(stopped, int(MaskState.MASKED), int(MaskState.VALID)).to(torch.uint8)
    hidden = torch.zeros_like(stopped)
    if settings.free_share:
        hidden = islands(batch, frame, settings.free_fraction, generator) & ~stopped & chosen(settings.free_share)
    return Measurement(intensity=seen * ~stopped, clean=clean, mask=mask, hidden=hidden)
