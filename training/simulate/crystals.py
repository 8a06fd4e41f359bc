"""The fast simulator: faceted crystals with smooth strain, a batch at a time, on any device.

A crystal is a block cut by 4 to 20 planes along high-symmetry directions at random distances, as in the papers
(3D-CDI-NN 2020, AutoPhaseNN 2022), but clipped analytically instead of relaxed atom by atom: the density of a voxel is
the clipped signed distance to the nearest facet, the phase a random smooth field.
"""

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

SAMPLES = 48  # per axis, of a crystal's bounding box
FAR = 9.0  # distance of a plane that cuts nothing


@dataclass(frozen=True)
class CrystalSettings:
    """What crystals are drawn. Ranges are uniform unless said otherwise."""

    facets: tuple[int, int] = (4, 20)
    plane_distance: tuple[float, float] = (0.35, 1.0)  # of the block's half edge
    oversampling: tuple[float, float] = (2.3, 5.0)  # per axis, independently
    strain_free: float = 0.15  # share of crystals with a constant phase
    phase_rms: tuple[float, float] = (0.05, 1.8)  # rad inside the crystal, log-uniform
    strain_modes: int = 10
    strain_cycles: float = 1.2  # highest number of cycles of a mode across the crystal
    amplitude_variation: float = 0.15  # largest relative smooth change of the amplitude
    peak_offset: float = 0.6  # largest distance of the Bragg peak from the DC voxel, in voxels, per axis


def high_symmetry_directions() -> Tensor:
    """Unit normals of the {100}, {110} and {111} families of a cubic crystal: (26, 3)."""
    directions = [d for d in product((-1.0, 0.0, 1.0), repeat=3) if any(d)]
    return torch.nn.functional.normalize(torch.tensor(directions), dim=1)


def rotations(batch: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniformly random rotation matrices (batch, 3, 3), from normalised quaternions."""
    q = torch.nn.functional.normalize(torch.randn(batch, 4, generator=generator, device=device), dim=1)
    w, x, y, z = q.unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, 1).view(batch, 3, 3)


def grid(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Voxel coordinates about N // 2: (3, n0, n1, n2) float32, (2, n0, n1) of two axes."""
    axes = [torch.arange(n, device=device, dtype=torch.float32) - n // 2 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def uniform(
    bounds: tuple[float, float], size: tuple[int, ...], generator: torch.Generator, device: torch.device
) -> Tensor:
    """Uniform random numbers within bounds."""
    low, high = bounds
    return low + (high - low) * torch.rand(size, generator=generator, device=device)


def facet_planes(
    batch: int, settings: CrystalSettings, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Planes n.x <= d of a randomly turned block and its cuts: normals (batch, 26, 3), distances (batch, 26).

    A direction that is not chosen lies far outside; the block's own six faces always close the crystal.
    """
    directions = high_symmetry_directions().to(device)
    count = len(directions)
    low, high = settings.facets
    wanted = torch.randint(low, high + 1, (batch, 1), generator=generator, device=device)
    rank = torch.rand(batch, count, generator=generator, device=device).argsort(1).argsort(1)
    distance = uniform(settings.plane_distance, (batch, count), generator, device)
    block = (directions.abs().sum(1) == 1.0).expand(batch, count)
    distance = torch.where(
        rank < wanted, distance, torch.where(block, torch.ones_like(distance), torch.full_like(distance, FAR))
    )
    normals = torch.einsum("fi,bji->bfj", directions, rotations(batch, generator, device))
    return normals, distance


def bounding_boxes(normals: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper corner, each (batch, 3), of polyhedra n.x <= d inside [-sqrt 3, sqrt 3]^3, from a 48^3 sampling.

    A polyhedron cuts a line of samples in one interval, so that 48^2 lines tell of all the samples.
    """
    step = torch.linspace(-1.75, 1.75, SAMPLES, device=normals.device)
    spacing = float(step[1] - step[0])
    x, y = (t.flatten() for t in torch.meshgrid(step, step, indexing="ij"))
    n0, n1, n2 = normals[..., None].unbind(2)
    end = (distance[..., None] - n0 * x - n1 * y) / n2  # where the line (x, y) meets each plane
    upper = torch.where(n2 > 0, end, math.inf).amin(1)
    lower = torch.where(n2 < 0, end, -math.inf).amax(1)
    first = ((lower - step[0]) / spacing).ceil().clamp_min(0)
    last = ((upper - step[0]) / spacing).floor().clamp_max(SAMPLES - 1)
    hit = first <= last

    def ends(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(hit, low, math.inf).amin(1), torch.where(hit, high, -math.inf).amax(1)

    corners = [ends(x, x), ends(y, y), ends(step[0] + first * spacing, step[0] + last * spacing)]
    return (
        torch.stack([low for low, _ in corners], 1) - spacing / 2,
        torch.stack([high for _, high in corners], 1) + spacing / 2,
    )


def densities(
    box: tuple[int, int, int], extent: Tensor, settings: CrystalSettings, generator: torch.Generator
) -> Tensor:
    """Shape of random crystals: (batch, *box) float32 in [0, 1], their bounding boxes `extent` (batch, 3)
    voxels long.
    """
    device, batch = extent.device, len(extent)
    normals, distance = facet_planes(batch, settings, generator, device)
    lower, upper = bounding_boxes(normals, distance)
    scale = (upper - lower) / extent  # units of the block per voxel
    centre = 0.5 * (upper + lower) + uniform((-0.5, 0.5), (batch, 3), generator, device) * scale
    points = grid(box, device).view(3, -1)
    result = torch.empty(batch, points.shape[1], device=device)
    for i in range(batch):
        cuts = distance[i] < FAR
        n = normals[i, cuts] * scale[i]  # normals in voxel coordinates
        length = n.norm(dim=1, keepdim=True)
        inwards = (distance[i, cuts] - normals[i, cuts] @ centre[i])[:, None] / length
        result[i] = torch.addmm(inwards, n / length, points, alpha=-1).amin(0)
    return (result + 0.5).clamp_(0.0, 1.0).view(batch, *box)


def smooth_fields(
    box: tuple[int, int, int], extent: Tensor, settings: CrystalSettings, generator: torch.Generator
) -> Tensor:
    """Random smooth fields (batch, *box): a few plane waves of at most `strain_cycles` across the crystal."""
    device, batch, modes = extent.device, len(extent), settings.strain_modes
    waves = torch.randn(batch, modes, 3, generator=generator, device=device)
    radius = uniform((0.1, 1.0), (batch, modes, 1), generator, device)
    waves = (
        torch.nn.functional.normalize(waves, dim=2) * radius * settings.strain_cycles * 2 * math.pi / extent[:, None]
    )
    offset = uniform((0.0, 2 * math.pi), (batch, modes, 1), generator, device)
    weight = torch.randn(batch, 1, modes, generator=generator, device=device)
    points = grid(box, device).view(3, -1)
    fields = [w @ torch.sin(k @ points + o) for k, o, w in zip(waves, offset, weight, strict=True)]
    return torch.stack(fields).view(batch, *box)


def crystals(
    batch: int,
    frame: tuple[int, int, int],
    box: tuple[int, int, int],
    settings: CrystalSettings,
    generator: torch.Generator,
    oversampling: Tensor | None = None,
) -> Tensor:
    """Complex objects (batch, *box) complex64, centred, for patterns of shape `frame`.

    oversampling: (batch, 3); drawn from the settings where None. The crystal's extent is frame / oversampling voxels.
    The linear phase of the off-centre Bragg peak is part of the object.
    """
    device = generator.device
    size = torch.tensor(frame, device=device, dtype=torch.float32)
    if oversampling is None:
        oversampling = uniform(settings.oversampling, (batch, 3), generator, device)
    extent = size / oversampling
    density = densities(box, extent, settings, generator)
    phase = smooth_fields(box, extent, settings, generator)
    weight = density.flatten(1)
    flat = phase.flatten(1)
    flat = flat - (flat * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
    rms = ((flat.square() * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)).sqrt()
    low, high = settings.phase_rms
    wanted = torch.exp(uniform((math.log(low), math.log(high)), (batch, 1), generator, device))
    strained = torch.rand(batch, 1, generator=generator, device=device) >= settings.strain_free
    phase = (flat / rms * wanted * strained).view_as(density)
    variation = smooth_fields(box, extent, settings, generator)
    variation = variation / variation.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    amplitude = density * (
        1 + settings.amplitude_variation * torch.rand(batch, 1, 1, 1, generator=generator, device=device) * variation
    )
    offset = uniform((-settings.peak_offset, settings.peak_offset), (batch, 3), generator, device)
    ramp = torch.einsum("bi,i...->b...", 2 * math.pi * offset / size, grid(box, device))
    return torch.polar(amplitude, phase + ramp)
