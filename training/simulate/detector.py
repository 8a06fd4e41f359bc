"""What the beam and the detector make of a far field:
partial coherence, binning, photons, gaps, bad pixels, a finite range.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inphase.pattern import MaskState
from training.simulate.crystals import grid, uniform
from training.transform import checkerboard, far_intensity, spatial

Shape = tuple[int, ...]


@dataclass(frozen=True)
class DetectorSettings:
    """What measurements are drawn. Shares are probabilities per crystal."""

    photons: tuple[float, float] = (1e5, 1e9)  # total, log-uniform
    background: tuple[float, float] = (1e-4, 3e-2)  # counts per voxel left after preprocessing, log-uniform
    background_share: float = 0.5
    coherence: tuple[float, float] = (0.6, 3.0)  # coherence length (sigma) in units of the crystal's extent
    coherence_share: float = 0.4
    bins: tuple[int, int] = (1, 4)  # sum-binning that brought the pattern onto this grid, per axis
    gap_share: float = 0.3
    gap_width: tuple[int, int] = (1, 4)
    bad_pixel_share: float = 0.5
    bad_pixel_fraction: float = 0.004  # largest fraction of detector pixels that are dead or hot (masked in all frames)
    short_range_share: float = 0.6  # share of curves that measure less than the grid along the rocking axis
    short_range: tuple[int, int] = (40, 64)
    free_fraction: float = 0.05  # hidden voxels, as the service hides them for the free log-likelihood


@dataclass(frozen=True)
class Measurement:
    """A batch of simulated measurements on the model grid, all (batch, *frame).

    intensity: float32 photon counts, 0 where not valid. clean: the noise-free intensity of the coherent object, same
    scale. mask: uint8 of MaskState. hidden: bool, free voxels.
    """

    intensity: Tensor
    clean: Tensor
    mask: Tensor
    hidden: Tensor


def binning_lines(bins: Tensor, frame: Shape) -> list[Tensor]:
    """Factors on the autocorrelation left by sum-binning (batch, 3) voxels of a finer pattern: per axis (batch, n).

    Summing b neighbours multiplies the autocorrelation at r by sin(pi r / N) / (b sin(pi r / (N b))) per axis.
    """
    lines = []
    for n, b in zip(frame, bins.float().unbind(1), strict=True):
        r = (torch.arange(n, device=bins.device) - n // 2) / n
        lines.append(torch.sinc(r)[None] / torch.sinc(r[None] / b[:, None]))
    return lines


def coherence_lines(length: Tensor, frame: Shape) -> list[Tensor]:
    """Gaussian factors exp(-r^2 / 2 l^2) on the autocorrelation for coherence lengths (batch, 3) in voxels:
    per axis (batch, n).
    """
    lines = []
    for n, one in zip(frame, length.unbind(1), strict=True):
        r = torch.arange(n, device=length.device) - n // 2
        lines.append(torch.exp(-0.5 * (r[None] / one[:, None]).square()))
    return lines


def blurred(intensity: Tensor, lines: list[Tensor]) -> Tensor:
    """Intensity (batch, *frame) whose autocorrelation is multiplied by real, even factors along each axis.

    The factors are even and the intensity is real, so that half of the transform does, and its direction is no matter.
    """
    frame, over = tuple(intensity.shape[1:]), spatial(intensity)
    signs = checkerboard(frame, intensity.device)
    half = torch.fft.rfftn(intensity * signs, dim=over)
    factor = lines[0]
    for line in lines[1:]:
        factor = factor[..., None] * line.view(len(line), *[1] * (factor.ndim - 1), -1)
    half *= factor[..., : frame[-1] // 2 + 1]
    found: Tensor = torch.fft.irfftn(half, s=frame, dim=over) * signs
    return found


def islands(batch: int, frame: Shape, fraction: float, generator: torch.Generator) -> Tensor:
    """Random islands, 3 pixels a side, covering about `fraction` of the grid, away from the centre:
    bool (batch, *frame).
    """
    device, rank = generator.device, len(frame)
    seeds = (torch.rand(batch, *frame, generator=generator, device=device) < fraction / 3**rank).nonzero()
    steps = grid((3,) * rank, device).view(rank, -1).long().T
    places = seeds.repeat_interleave(len(steps), 0)
    places[:, 1:] += steps.repeat(len(seeds), 1)
    limits = torch.tensor(frame, device=device) - 1
    places[:, 1:] = torch.minimum(places[:, 1:].clamp_min(0), limits)
    covered = torch.zeros(batch, *frame, dtype=torch.bool, device=device)
    covered[tuple(places.T)] = True
    radius = grid(frame, device).square().sum(0).sqrt()
    return covered & (radius > 0.1 * min(frame))


def measured_range(batch: int, frame: Shape, settings: DetectorSettings, generator: torch.Generator) -> Tensor:
    """True inside the measured range: bool (batch, *frame); the rocking axis is often shorter than the grid."""
    device = generator.device
    low, high = settings.short_range
    length = torch.randint(low, high + 1, (batch, 1), generator=generator, device=device)
    short = torch.rand(batch, 1, generator=generator, device=device) < settings.short_range_share
    length = torch.where(short, length, torch.full_like(length, frame[0]))
    slack = (frame[0] - length).float()
    start = (slack / 2 + uniform((-0.15, 0.15), (batch, 1), generator, device) * slack).round()
    index = torch.arange(frame[0], device=device)[None]
    inside = (index >= start) & (index < start + length)
    return inside[:, :, None, None].expand(batch, *frame)


def bad_pixels(batch: int, frame: Shape, settings: DetectorSettings, generator: torch.Generator) -> Tensor:
    """Detector pixels masked in every frame (gaps, dead and hot ones): bool (batch, 1, rows, columns)."""
    device = generator.device
    rows, columns = frame[1:]
    has_bad = torch.rand(batch, 1, 1, generator=generator, device=device) < settings.bad_pixel_share
    fraction = settings.bad_pixel_fraction * torch.rand(batch, 1, 1, generator=generator, device=device)
    bad = (torch.rand(batch, rows, columns, generator=generator, device=device) < fraction) & has_bad
    for i in range(batch):
        if torch.rand((), generator=generator, device=device) >= settings.gap_share:
            continue
        width = int(
            torch.randint(settings.gap_width[0], settings.gap_width[1] + 1, (), generator=generator, device=device)
        )
        along_rows = bool(torch.rand((), generator=generator, device=device) < 0.5)
        size = rows if along_rows else columns
        at = int(torch.randint(0, size - width, (), generator=generator, device=device))
        if at <= size // 2 < at + width:  # nobody measures with the peak in the gap: move it beside
            at = size // 2 + 2
        if along_rows:
            bad[i, at : at + width] = True
        else:
            bad[i, :, at : at + width] = True
    return bad[:, None]


def measure(
    objects: Tensor, frame: Shape, extent: Tensor, settings: DetectorSettings, generator: torch.Generator
) -> Measurement:
    """Measure objects (batch, *box) complex64 whose crystals are `extent` (batch, 3) voxels long."""
    device, batch = objects.device, len(objects)
    coherent = far_intensity(objects, frame)
    low, high = settings.photons
    photons = torch.exp(uniform((math.log(low), math.log(high)), (batch, 1, 1, 1), generator, device))
    clean = coherent * (photons / coherent.sum((1, 2, 3), keepdim=True))
    bins = torch.randint(settings.bins[0], settings.bins[1] + 1, (batch, 3), generator=generator, device=device)
    lines = binning_lines(bins, frame)
    partial = torch.rand(batch, 1, generator=generator, device=device) < settings.coherence_share
    length = uniform(settings.coherence, (batch, 1), generator, device) * extent
    lines = [
        torch.where(partial, line * envelope, line)
        for line, envelope in zip(lines, coherence_lines(length, frame), strict=True)
    ]
    seen = blurred(clean, lines).clamp_min_(0.0)
    low, high = settings.background
    level = torch.exp(uniform((math.log(low), math.log(high)), (batch, 1, 1, 1), generator, device))
    level = level * (torch.rand(batch, 1, 1, 1, generator=generator, device=device) < settings.background_share)
    counts = torch.poisson(seen + level, generator=generator)
    mask = torch.full((batch, *frame), int(MaskState.VALID), dtype=torch.uint8, device=device)
    mask.masked_fill_(bad_pixels(batch, frame, settings, generator), int(MaskState.MASKED))
    mask.masked_fill_(~measured_range(batch, frame, settings, generator), int(MaskState.PADDING))
    hidden = islands(batch, frame, settings.free_fraction, generator) & (mask == int(MaskState.VALID))
    return Measurement(intensity=counts * (mask == int(MaskState.VALID)), clean=clean, mask=mask, hidden=hidden)
