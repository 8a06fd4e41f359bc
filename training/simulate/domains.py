"""Crystals of phase domains in two dimensions, a batch at a time, on any device.

An outline, a polygon of facets or a superellipse, is cut into the Voronoi cells of random points; each cell is a domain
with a phase of its own. What is drawn is sharp and three times as fine as the pixels, and a Gaussian of less than a
pixel takes the place of the resolution: where two domains meet, their waves add up, and the amplitude dips the more,
the more their phases differ.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from training.simulate.crystals import uniform
from training.simulate.particles import peaked

FINER = 3  # samples per pixel along each axis; odd, so that one lies on the pixel's centre
DIRECTIONS = 360  # in which the outline is looked at for its extent
FAR = 9.0  # distance of a facet that cuts nothing


@dataclass(frozen=True)
class DomainSettings:
    """What crystals of domains are drawn. Ranges are uniform.

    domains: how many. span: of their phases in turns; 1 reaches from -pi to pi. half_length: pixels from the middle to
    the edge along the longer axis of the frame. faceted_share: of polygons; the others are superellipses. facets: of a
    polygon. facet_distance: from its middle, in units that the half_length replaces. aspect: of the shorter semi-axis
    of a superellipse to the longer. exponent: of a superellipse; 2 is an ellipse, 6 nearly a box. edge: sigma of the
    Gaussian that smooths edges and walls, in pixels.
    """

    domains: tuple[int, int] = (2, 20)
    span: float = 1.0
    half_length: tuple[float, float] = (9.0, 13.0)
    faceted_share: float = 0.5
    facets: tuple[int, int] = (4, 8)
    facet_distance: tuple[float, float] = (0.6, 1.0)
    aspect: tuple[float, float] = (0.5, 1.0)
    exponent: tuple[float, float] = (2.0, 6.0)
    edge: tuple[float, float] = (0.5, 0.8)


@dataclass(frozen=True)
class Outlines:
    """A batch of convex outlines about the origin: the points whose `gauge` is less than 1.

    normals: (B, K, 2) of facets. distances: (B, K). turns: (B, 2, 2) to the axes of the superellipses. axes: (B, 2).
    exponents: (B,). faceted: (B,) bool.
    """

    normals: Tensor
    distances: Tensor
    turns: Tensor
    axes: Tensor
    exponents: Tensor
    faceted: Tensor

    def gauge(self, points: Tensor) -> Tensor:
        """How far points (B, P, 2) are from the middle, 1 on the outline: (B, P)."""
        facets = (points @ self.normals.transpose(1, 2) / self.distances[:, None]).amax(2)
        along = ((points @ self.turns) / self.axes[:, None]).abs().clamp_min(1e-6)
        power = self.exponents[:, None, None]
        round_ = along.pow(power).sum(2).pow(1 / power[:, 0])
        return torch.where(self.faceted[:, None], facets, round_)

    def box(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest coordinates (B, 2) of the outline."""
        angle = torch.arange(DIRECTIONS, device=self.axes.device) * (2 * math.pi / DIRECTIONS)
        rays = torch.stack([angle.cos(), angle.sin()], 1).expand(len(self.axes), -1, -1)
        edge = rays / self.gauge(rays)[..., None]
        return edge.amin(1), edge.amax(1)


def outlines(batch: int, settings: DomainSettings, generator: torch.Generator) -> Outlines:
    """Random outlines of about unit size."""
    device = generator.device

    def draw(bounds: tuple[float, float], *size: int) -> Tensor:
        return uniform(bounds, (batch, *size), generator, device)

    low, high = settings.facets
    count = torch.randint(low, high + 1, (batch, 1), generator=generator, device=device)
    number = torch.arange(high, device=device)
    # no two neighbours more than 0.8 of half a turn apart: the polygon is closed
    angle = 2 * math.pi / count * (number + draw((-0.3, 0.3), high)) + draw((0.0, 2 * math.pi), 1)
    distance = torch.where(number < count, draw(settings.facet_distance, high), FAR)
    turn = draw((0.0, math.pi))
    cosine, sine = turn.cos(), turn.sin()
    return Outlines(
        normals=torch.stack([angle.cos(), angle.sin()], 2),
        distances=distance,
        turns=torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1),
        axes=torch.cat([torch.ones(batch, 1, device=device), draw(settings.aspect, 1)], 1),
        exponents=draw(settings.exponent),
        faceted=draw((0.0, 1.0)) < settings.faceted_share,
    )


@dataclass(frozen=True)
class Cells:
    """A batch of crystals in boxes of n x n samples, FINER to a pixel, before anything is smoothed.

    labels: (B, n, n) int64, the number of the domain, -1 outside. phases: (B, D) of the domains in radians.
    """

    labels: Tensor
    phases: Tensor


def cells(batch: int, side: int, settings: DomainSettings, generator: torch.Generator) -> Cells:
    """Random crystals in the middle of boxes of `side` pixels; every domain has at least one sample."""
    device, (low, high) = generator.device, settings.domains
    shapes = outlines(batch, settings, generator)
    first, last = shapes.box()
    wanted = uniform(settings.half_length, (batch, 1), generator, device)
    scale = 2 * wanted / (last - first).amax(1, keepdim=True)  # pixels per unit
    line = (torch.arange(side * FINER, device=device) - FINER // 2) / FINER - side // 2
    pixels = torch.stack(torch.meshgrid(line, line, indexing="ij"), 2).flatten(0, 1)
    points = pixels / scale[:, None] + ((first + last) / 2)[:, None]
    inside = shapes.gauge(points) < 1
    count = torch.randint(low, high + 1, (batch, 1), generator=generator, device=device)
    seeds = pixels[torch.multinomial(inside.float(), high, generator=generator)]  # one is the domain of its own sample
    distance = torch.cdist(pixels.expand(batch, -1, -1), seeds)
    distance = distance.masked_fill(torch.arange(high, device=device) >= count[:, None], math.inf)
    labels = distance.argmin(2).masked_fill(~inside, -1)
    phases = uniform((-math.pi * settings.span, math.pi * settings.span), (batch, high), generator, device)
    return Cells(labels.unflatten(1, (side * FINER, side * FINER)), phases)


def smoothed(found: Cells, edge: Tensor) -> Tensor:
    """The crystals on pixels, (B, m, m) complex64: the Gaussian mean of their samples, of `edge` (B,) pixels."""
    sides = found.labels.shape[1]
    line = torch.arange(sides, device=edge.device, dtype=torch.float32)
    middle = line[FINER // 2 :: FINER]
    weights = torch.exp(-0.5 * ((middle[:, None] - line) / (FINER * edge[:, None, None])).square())
    weights = weights / weights.sum(2, keepdim=True)
    phase = found.phases.gather(1, found.labels.clamp_min(0).flatten(1)).view_as(found.labels)
    inside = (found.labels >= 0).float()
    real, imaginary = (weights @ (part * inside) @ weights.transpose(1, 2) for part in (phase.cos(), phase.sin()))
    return torch.complex(real, imaginary)


def domain_crystals(
    batch: int, frame: tuple[int, int], side: int, settings: DomainSettings, generator: torch.Generator
) -> Tensor:
    """Crystals (batch, side, side) complex64, centred, of density 1.

    The brightest pixel of their patterns of shape `frame` is the DC pixel (`particles.peaked`).
    """
    found = cells(batch, side, settings, generator)
    edge = uniform(settings.edge, (batch,), generator, generator.device)
    return peaked(smoothed(found, edge), frame)
