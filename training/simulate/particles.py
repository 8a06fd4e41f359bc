"""Projections of particles with phase domains (Wu et al., IUCrJ 8, 12 (2021)), a batch at a time, on any device.

A particle is a superellipsoid (eq. 2) whose phase is a Gaussian-correlated random field (eq. 3), turned at random in
three dimensions. One detector frame through the middle of the Bragg peak is the central slice of its far field, which
is the far field of its projection: the projection is what a two-dimensional network can know, and what is drawn here.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from training.simulate.crystals import grid, rotations, uniform
from training.transform import far_intensity

MODES = 8  # waves per period of the phase on either side of zero: the shortest correlation length needs no more
PERIOD = 2.6  # of the phase field, in units of the particle's length along each axis: what repeats is uncorrelated
SURFACE = 9  # points along each of the two parameters of an octant of the surface


@dataclass(frozen=True)
class ParticleSettings:
    """What particles are drawn; the paper gives no ranges. Ranges are uniform.

    half_length: voxels from the centre to the surface along the longer axis of the frame. aspect: of each semi-axis a,
    b, c to the unit. roundness: of e and of n; 0.2 is nearly a box, 1 an ellipsoid, 2 an octahedron. correlation: L
    along each of the particle's axes, in units of its half_length. span: of the phase within the particle, in turns:
    1 reaches from -pi to pi. edge: sigma of the smoothed surface in voxels. depth: samples along the beam.
    """

    half_length: tuple[float, float] = (8.0, 13.0)
    aspect: tuple[float, float] = (0.5, 1.0)
    roundness: tuple[float, float] = (0.3, 2.0)
    correlation: tuple[float, float] = (0.4, 0.9)
    span: tuple[float, float] = (0.5, 1.0)
    edge: tuple[float, float] = (0.5, 1.0)
    depth: int = 24


@dataclass(frozen=True)
class Fields:
    """A batch of particles in three dimensions: what `projected` adds up along the beam.

    density (B, depth, m, m) in [0, 1] and phase of the same shape in radians, zero in the middle of its span.
    """

    density: Tensor
    phase: Tensor


def half_lengths(axes: Tensor, roundness: Tensor, turns: Tensor) -> Tensor:
    """Distance (B, 3) from the centre to the farthest surface point along each axis of the frame.

    axes: (B, 3) semi-axes a, b, c. roundness: (B, 2) e and n. turns: (B, 3, 3) from the particle's axes to the frame's.
    """
    angle = torch.linspace(0, math.pi / 2, SURFACE, device=axes.device)
    sine, cosine = angle.sin().clamp_min(1e-6), angle.cos().clamp_min(1e-6)
    e, n = roundness[:, :1], roundness[:, 1:]
    around = torch.stack([cosine**e, sine**e], 1)  # (B, 2, SURFACE): the section's x and y
    upright = (cosine**n)[:, None, :, None] * around[:, :, None]
    height = (sine**n)[:, None, :, None].expand(-1, 1, -1, SURFACE)
    octant = (torch.cat([upright, height], 1) * axes[:, :, None, None]).flatten(2)
    # the signs of a point's mirror images are free: each axis of the frame takes those that reach farthest
    reach: Tensor = (turns.abs() @ octant).amax(2)
    return reach


def fields(batch: int, box: tuple[int, int], settings: ParticleSettings, generator: torch.Generator) -> Fields:
    """Random particles in the middle of boxes (m, m), sampled `depth` times along the beam."""
    device, m = generator.device, box

    def draw(bounds: tuple[float, float], *size: int) -> Tensor:
        return uniform(bounds, (batch, *size), generator, device)

    axes, roundness, turns = draw(settings.aspect, 3), draw(settings.roundness, 2), rotations(batch, generator, device)
    wanted, edge = draw(settings.half_length, 1), draw(settings.edge, 1, 1, 1)
    reach = half_lengths(axes, roundness, turns)
    scale = wanted / reach[:, 1:].amax(1, keepdim=True)  # voxels per unit
    axes, reach = axes * scale, reach * scale
    lines = [
        # three sigma beyond the surface on either side
        torch.linspace(-1, 1, settings.depth, device=device) * (reach[:, :1] + 3 * settings.edge[1]),
        *((torch.arange(n, device=device, dtype=torch.float32) - n // 2).expand(batch, n) for n in m),
    ]
    density = densities(lines, axes, roundness, turns, edge)
    lengths = draw(settings.correlation, 3) * wanted
    phase = correlated(lines, reach, lengths, turns, generator)
    inside = density > 0.5
    low = phase.masked_fill(~inside, math.inf).amin((1, 2, 3), keepdim=True)
    high = phase.masked_fill(~inside, -math.inf).amax((1, 2, 3), keepdim=True)
    span = draw(settings.span, 1, 1, 1) * 2 * math.pi
    return Fields(density, (phase - (low + high) / 2) / (high - low) * span)


def densities(lines: list[Tensor], axes: Tensor, roundness: Tensor, turns: Tensor, edge: Tensor) -> Tensor:
    """Superellipsoids with a surface smoothed by `edge` (B, 1, 1, 1): (B, n0, n1, n2) in [0, 1].

    lines: coordinates (B, n) along each axis of the frame, in voxels; axes in voxels as well.
    """
    z, y, x = lines[0][:, :, None, None], lines[1][:, None, :, None], lines[2][:, None, None, :]

    def along(i: int) -> Tensor:  # the particle's coordinate i over its semi-axis
        back = (turns[:, :, i] / axes[:, i : i + 1])[:, :, None, None, None]
        return ((back[:, 0] * z + back[:, 1] * y) + back[:, 2] * x).abs_().clamp_min_(1e-6)

    e, n = roundness[:, 0].view(-1, 1, 1, 1), roundness[:, 1].view(-1, 1, 1, 1)
    section = along(0).pow_(2 / e).add_(along(1).pow_(2 / e)).pow_(e / n)
    radius = section.add_(along(2).pow_(2 / n)).pow_(n / 2).clamp_min_(1e-4)  # 1 on the surface, of first degree
    distance = ((z * z + y * y) + x * x).sqrt_().clamp_min_(1e-3)
    beyond = distance.mul_(1 - radius.reciprocal_())  # voxels along the ray from the centre
    density: Tensor = torch.special.erfc(beyond.div_(math.sqrt(2) * edge)).mul_(0.5)
    return density


def correlated(
    lines: list[Tensor], reach: Tensor, lengths: Tensor, turns: Tensor, generator: torch.Generator
) -> Tensor:
    """Random fields (B, n0, n1, n2) whose correlation falls as exp(-d^2 / 4 L^2) along each axis of the particle.

    White noise under the Gaussian of eq. 3, drawn by its waves: those of a box PERIOD times as long as the particle.
    lengths: (B, 3), L along the particle's axes, in voxels.
    """
    device, batch = generator.device, len(reach)
    order = torch.arange(-MODES, MODES + 1, device=device, dtype=torch.float32)
    waves = [2 * math.pi * order / (PERIOD * 2 * reach[:, i : i + 1]) for i in range(3)]
    waves[2] = waves[2][:, MODES:]  # the others are the conjugates
    k = torch.stack(
        torch.broadcast_tensors(waves[0][:, :, None, None], waves[1][:, None, :, None], waves[2][:, None, None]), 1
    ).flatten(2)
    filtered = torch.exp(-0.5 * ((turns.transpose(1, 2) * lengths[:, :, None]) @ k).square().sum(1))
    shape = (batch, 2 * MODES + 1, 2 * MODES + 1, MODES + 1)
    noise = torch.randn(*shape, 2, generator=generator, device=device) * filtered.view(*shape, 1)
    noise[..., 0, :] *= math.sqrt(0.5)  # both halves of this plane are there
    field = torch.view_as_complex(noise)
    one = torch.ones((), device=device)
    z, y, x = (torch.polar(one, wave[:, None] * line[..., None]) for wave, line in zip(waves, lines, strict=True))
    field = (z @ field.flatten(2)).unflatten(2, field.shape[2:])  # (B, n0, k1, k2)
    field = y[:, None] @ field  # (B, n0, n1, k2)
    flat, last = field.flatten(1, 2), x.transpose(1, 2)
    found: Tensor = (flat.real @ last.real - flat.imag @ last.imag).unflatten(1, (lines[0].shape[1], -1))
    return found


def projected(found: Fields) -> Tensor:
    """The sum along the beam, over its largest modulus: (B, m, m) complex64."""
    projection = torch.complex((found.density * found.phase.cos()).sum(1), (found.density * found.phase.sin()).sum(1))
    return projection / projection.abs().amax((1, 2), keepdim=True)


def particles(
    batch: int,
    frame: tuple[int, int],
    box: tuple[int, int],
    settings: ParticleSettings,
    generator: torch.Generator,
) -> Tensor:
    """Projections (batch, *box) complex64 of random particles, centred, the largest modulus 1.

    The brightest pixel of their patterns of shape `frame` is the DC pixel, as the preprocessing lays it: the ramp that
    brings it there is part of the object.
    """
    return peaked(projected(fields(batch, box, settings, generator)), frame)


def peaked(objects: Tensor, frame: tuple[int, int]) -> Tensor:
    """Images (B, m, m) complex64 with the ramp that brings the brightest pixel of their patterns to the DC pixel."""
    brightest = far_intensity(objects, frame).flatten(1).argmax(1)
    rows, columns = torch.unravel_index(brightest, frame)
    m0, m1 = objects.shape[1:]
    y, x = grid((m0, m1), objects.device)
    down, along = ((at - n // 2).view(-1, 1, 1) / n for at, n in zip((rows, columns), frame, strict=True))
    return objects * torch.polar(torch.ones((), device=objects.device), -2 * math.pi * (down * y + along * x))
