"""Objects of many kinds, on a grid twice as fine as the one that they are retrieved on: none is drawn as training
draws its crystals.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Draw = np.random.Generator
Solid = Callable[[Array], Array]  # points (3, ...) in units of the body -> distance to its surface, positive inside

REACH = 1.9  # half a side of the cube in which a solid is looked for
COARSE = 36  # samples per side of it
FACETS = (8, 15)
POISSON_RATIO = 0.4  # of the edge dislocation's displacement field; gold 0.44, platinum 0.38


@dataclass(frozen=True)
class Body:
    """amplitude and phase (m, m, m) of a body in the middle of its box; points (3, m, m, m): of its voxels, in units of
    its half extents.
    """

    amplitude: NDArray[np.floating]
    phase: NDArray[np.floating]
    points: Array

    @property
    def extent(self) -> Array:
        """Voxels along each axis in which there is some of it."""
        inside = self.amplitude > 0.1 * self.amplitude.max()
        lines = [inside.any(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
        return np.array([np.ptp(np.flatnonzero(line)) + 1.0 for line in lines])

    @property
    def object(self) -> NDArray[np.complex64]:
        """The complex object."""
        made: NDArray[np.complex64] = (self.amplitude * np.exp(1j * self.phase)).astype(np.complex64)
        return made


def polyhedron(draw: Draw) -> Solid:
    """A convex solid of 8 to 14 facets in any direction, which always closes."""
    normals = draw.normal(size=(draw.integers(*FACETS), 3))
    normals = np.concatenate([normals, -normals.sum(axis=0, keepdims=True), np.eye(3), -np.eye(3)])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    distances = draw.uniform(0.55, 1.0, len(normals))
    distances[-6:] = 1.2
    return lambda points: (distances.reshape(-1, *[1] * (points.ndim - 1)) - np.tensordot(normals, points, 1)).min(0)


def superellipsoid(draw: Draw) -> Solid:
    """|x|^p + |y|^p + |z|^p <= 1, turned: an octahedron, a sphere, nearly a cube."""
    power, turned = math.exp(draw.uniform(math.log(1.1), math.log(7.0))), _rotation(draw)

    def solid(points: Array) -> Array:
        turn = np.abs(np.tensordot(turned, points, 1))
        radius: Array = (turn**power).sum(axis=0) ** (1 / power)
        return 1 - radius

    return solid


def solid(draw: Draw) -> Solid:
    """One of the two."""
    return polyhedron(draw) if draw.random() < 0.5 else superellipsoid(draw)


def body(draw: Draw, extent: Array, shape: Solid | None = None, rms: float | None = None) -> Body:
    """A solid of `extent` (3,) voxels along the axes, with a smooth phase of `rms` radians (by default 0.05 to 2)."""
    shape = shape or solid(draw)
    low, high = _bounds(shape)
    side = 2 * math.ceil((float(extent.max()) + 4) / 2)
    steps = np.arange(side) - side // 2 + draw.uniform(-0.5, 0.5, (3, 1))  # the edge lies anywhere between voxels
    units = steps / (extent[:, None] / 2)
    points = np.stack(np.meshgrid(*units, indexing="ij"))
    middle, half = (np.reshape(part, (3, 1, 1, 1)) for part in ((low + high) / 2, (high - low) / 2))
    voxel = float(((high - low) / extent).mean())
    density = np.clip(shape(points * half + middle) / voxel + 0.5, 0, 1)
    if rms is None:
        rms = math.exp(draw.uniform(math.log(0.05), math.log(2.0)))
    return Body(density, smooth(draw, points, density, rms), points)


def smooth(draw: Draw, points: Array, density: Array, rms: float) -> Array:
    """A random polynomial of second to fourth degree, without mean and ramp, of `rms` radians inside."""
    z, y, x = points
    field = np.zeros(density.shape)
    for _ in range(8):
        a, b, c = draw.multinomial(draw.integers(2, 5), [1 / 3] * 3)
        field += draw.normal() * z**a * y**b * x**c
    weight = density.ravel()
    terms = np.concatenate([np.ones((1, weight.size)), points.reshape(3, -1)])
    fit = np.linalg.lstsq((terms * weight) @ terms.T, (terms * weight) @ field.ravel(), rcond=None)[0]
    flat: Array = field - (fit @ terms).reshape(field.shape)
    flat *= rms / math.sqrt(float((flat**2 * density).sum() / density.sum()))
    return np.clip(flat, -30, 30)


def shell(draw: Draw, made: Body) -> Body:
    """With a core of another density, empty to as dense again, and another phase."""
    core = np.clip((draw.uniform(0.4, 0.8) - np.linalg.norm(made.points - _place(draw, 0.15), axis=0)) * 12, 0, 1)
    inner = draw.choice([0.0, draw.uniform(0.0, 0.7), draw.uniform(1.2, 2.0)])
    return Body(made.amplitude * (1 + (inner - 1) * core), made.phase + core * draw.uniform(-1.5, 1.5), made.points)


def grains(draw: Draw, made: Body) -> Body:
    """Cut into three to seven grains, each of which diffracts with a strength and a phase of its own."""
    seeds = draw.uniform(-0.8, 0.8, (draw.integers(3, 8), 3))
    nearest = np.argmin([np.square(made.points - s[:, None, None, None]).sum(axis=0) for s in seeds], axis=0)
    strength, offset = draw.uniform(0.3, 1.0, len(seeds)), draw.uniform(-1.0, 1.0, len(seeds)) * draw.uniform(0.5, 3)
    tilts = draw.normal(size=(len(seeds), 3)) * draw.uniform(0, 1.5)
    tilt = (tilts[nearest].transpose(3, 0, 1, 2) * made.points).sum(axis=0)
    return Body(made.amplitude * strength[nearest], made.phase + offset[nearest] + tilt, made.points)


def domains(draw: Draw, made: Body) -> Body:
    """With a phase step of pi / 2 to pi on a plane, or on two."""
    phase = made.phase.copy()
    for _ in range(draw.integers(1, 3)):
        distance = np.tensordot(_direction(draw), made.points, 1)
        phase += (distance > draw.uniform(-0.4, 0.4)) * draw.uniform(0.5, 1.0) * math.pi * draw.choice([-1, 1])
    return Body(made.amplitude, phase, made.points)


def dislocations(draw: Draw, made: Body) -> Body:
    """With one or two straight dislocations, g.b = +-1 (Hirth & Lothe, Theory of Dislocations): a screw's g.u is the
    angle around the line; an edge's, seen along b, that plus sin(2 angle) / (4 (1 - nu)).
    """
    amplitude, phase = made.amplitude.copy(), made.phase.copy()
    for _ in range(draw.integers(1, 3)):
        line = _direction(draw)
        across = np.cross(line, _direction(draw))
        across /= np.linalg.norm(across)
        away = made.points - _place(draw, 0.4)
        x, y = (np.tensordot(axis, away, 1) for axis in (across, np.cross(line, across)))
        angle = np.arctan2(y, x)
        edge = np.sin(2 * angle) / (4 * (1 - POISSON_RATIO)) if draw.random() < 0.5 else 0.0
        phase += draw.choice([-1, 1]) * (angle + edge)
        amplitude *= np.tanh(np.hypot(x, y) / 0.1)  # the core has no order, hence no amplitude
    return Body(amplitude, phase, made.points)


def cell(draw: Draw, made: Body) -> Body:
    """Real and uneven, as a cell or a cluster in forward scattering: blobs of density, hardly any phase."""
    density = 0.3 * made.amplitude
    for _ in range(draw.integers(3, 15)):
        distance = np.linalg.norm(made.points - _place(draw, 0.7), axis=0)
        density += made.amplitude * draw.uniform(0.2, 1.0) * np.exp(-((distance / draw.uniform(0.1, 0.4)) ** 2))
    return Body(density / density.max(), made.phase * draw.uniform(0.0, 0.1), made.points)


def _bounds(shape: Solid) -> tuple[Array, Array]:
    """Lower and upper corner (3,) of a solid."""
    steps = np.linspace(-REACH, REACH, COARSE)
    inside = shape(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"))) > 0
    lines = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    half = (steps[1] - steps[0]) / 2
    return np.array([steps[n[0]] - half for n in lines]), np.array([steps[n[-1]] + half for n in lines])


def _rotation(draw: Draw) -> Array:
    turned, _ = np.linalg.qr(draw.normal(size=(3, 3)))
    return turned


def _direction(draw: Draw) -> Array:
    vector = draw.normal(size=3)
    unit: Array = vector / np.linalg.norm(vector)
    return unit


def _place(draw: Draw, reach: float) -> Array:
    return (_direction(draw) * draw.uniform(0, reach)).reshape(3, 1, 1, 1)
