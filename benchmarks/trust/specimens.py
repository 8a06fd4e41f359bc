"""Simulated measurements with a known truth, by kind and seed: objects that networks have not seen, and data with the
faults of real ones.

No inverse crime: an object is drawn on a grid of 128^3, whose far field is cut to what the detector sees; the truth of
a result is what the window of its preprocessing can resolve.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from benchmarks.trust import bodies
from benchmarks.trust.bodies import Array, Body, Draw
from inphase import fourier
from inphase.formats import RawScan
from inphase.pattern import Domain

FIELD = 128  # voxels a side of the far field; as fine as the raw frames
SEED = 4_000_000  # of all draws of this benchmark


class Kind(StrEnum):
    """What is particular about a measurement."""

    POLYHEDRON = "polyhedra"
    SUPERELLIPSOID = "superellipsoids"
    SHELL = "shells"
    GRAINS = "grains"
    DOMAINS = "domains"
    DISLOCATION = "dislocations"
    TWO = "two particles"
    FORWARD = "forward CDI"
    BEAM_STOP = "beam stop"
    NO_CENTRE = "missing centre"
    CUT_PEAK = "cut peak"
    LOST_FRAMES = "lost frames"
    UNDERSAMPLED = "undersampling"
    WRONG_DOMAIN = "wrong domain"
    NO_DARK = "no dark"
    SECOND_CRYSTAL = "second crystal"


@dataclass(frozen=True)
class Specimen:
    """A measurement as a file would hold it, what its numbers are called, and the field behind it.

    field: complex64 (128,)^3, far field of the object, coherent and without noise. corner: its voxel that is the first
    one of the measured array.
    """

    kind: Kind
    seed: int
    scan: RawScan
    domain: Domain
    corner: tuple[int, ...]
    field: NDArray[np.complex64] = field(repr=False)

    def truth(self, offset: tuple[int, ...], binning: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.complex64]:
        """The object on the grid of a result: (shape) complex64. offset: first measured voxel of the window; binning:
        measured voxels per voxel of the grid, as the report has them.
        """
        size = tuple(n * b for n, b in zip(shape, binning, strict=True))
        first = tuple(c + o for c, o in zip(self.corner, offset, strict=True))
        window = np.zeros(size, np.complex64)
        cuts = [(max(0, f), min(FIELD, f + n)) for f, n in zip(first, size, strict=True)]
        place = tuple(slice(low - f, high - f) for (low, high), f in zip(cuts, first, strict=True))
        window[place] = self.field[tuple(slice(*cut) for cut in cuts)]
        obj = fourier.backward(window)
        middle = tuple(
            slice(n // 2 - side // 2, n // 2 - side // 2 + side) for n, side in zip(size, shape, strict=True)
        )
        obj = obj[middle]
        for axis, (n, b, side) in enumerate(zip(size, binning, shape, strict=True)):
            # the DC voxel of a bin lies between its measured voxels: a ramp
            wave = np.exp(-2j * np.pi * (b - 1) / 2 * (np.arange(side) - side // 2) / n).astype(np.complex64)
            obj = obj * wave.reshape([-1 if a == axis else 1 for a in range(3)])
        truth: NDArray[np.complex64] = obj.astype(np.complex64)
        return truth


def specimen(kind: Kind, seed: int) -> Specimen:
    """One measurement; the same kind and seed, the same measurement."""
    draw = np.random.default_rng((SEED, list(Kind).index(kind), seed))
    made = _drawn(kind, draw)
    far = _far_field(made, draw)
    light = np.abs(far).astype(np.float32) ** 2
    if draw.random() < 0.4:
        light = _blurred(light, made.extent * draw.uniform(0.6, 2.5))
    if kind is Kind.SECOND_CRYSTAL:
        light = _with_another(light, draw)
    peak = np.unravel_index(int(light.argmax()), light.shape)
    shape, corner = _frame(kind, draw, tuple(int(p) for p in peak))
    cut = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
    light = light[cut] * (10 ** draw.uniform(4.5, 8.7) / float(light[cut].sum(dtype=np.float64)))
    if draw.random() < 0.3:
        light = light + np.float32(10 ** draw.uniform(-3, -0.5))
    counts, mask = _detected(kind, draw, light)
    array, domain = _named(kind, draw, counts)
    scan = RawScan(array, None, f"{kind} {seed}", "simulated", mask=mask)
    return Specimen(kind, seed, scan, domain, corner, far)


def _drawn(kind: Kind, draw: Draw) -> Body:
    """The object, in a box; its extents give the oversampling of the raw frames."""
    sampling = draw.uniform(2.3, 4.6, 3)
    if kind is Kind.UNDERSAMPLED:
        few = draw.permutation(3)[: draw.integers(1, 4)]
        sampling[few] = draw.uniform(1.3, 2.3, len(few))
    extent = FIELD / sampling
    usual = (bodies.shell, bodies.grains, bodies.domains, bodies.dislocations)
    match kind:
        case Kind.SUPERELLIPSOID:
            return bodies.body(draw, extent, bodies.superellipsoid(draw))
        case Kind.POLYHEDRON:
            return bodies.body(draw, extent, bodies.polyhedron(draw))
        case Kind.SHELL:
            return bodies.shell(draw, bodies.body(draw, extent))
        case Kind.GRAINS:
            return bodies.grains(draw, bodies.body(draw, extent))
        case Kind.DOMAINS:
            return bodies.domains(draw, bodies.body(draw, extent))
        case Kind.DISLOCATION:
            return bodies.dislocations(draw, bodies.body(draw, extent))
        case Kind.FORWARD:
            return bodies.cell(draw, bodies.body(draw, extent))
        case Kind.TWO:
            return _two(draw, extent)
    made = bodies.body(draw, extent)
    return usual[int(draw.integers(len(usual)))](draw, made) if draw.random() < 0.3 else made


def _two(draw: Draw, extent: Array) -> Body:
    """Two bodies side by side within `extent`, of unequal size and brightness, each with a phase of its own."""
    axis = int(draw.integers(3))
    share = draw.uniform(0.25, 0.6)
    sides = [extent * draw.uniform(0.6, 1.0, 3) for _ in range(2)]
    sides[0][axis], sides[1][axis] = extent[axis] * share, extent[axis] * (1 - share) * draw.uniform(0.6, 0.9)
    first, second = (bodies.body(draw, np.maximum(side, 5.0)) for side in sides)
    side = 2 * math.ceil((float(extent.max()) + 8) / 2)
    obj = np.zeros((side, side, side), np.complex64)
    for made, sign, weight in ((first, -1, 1.0), (second, 1, draw.uniform(0.3, 1.0))):
        centre = np.full(3, side / 2)
        long = extent[axis] * (share if sign < 0 else 1 - share)
        centre[axis] += sign * (extent[axis] - long) / 2
        _add(obj, made.object * np.float32(weight), centre)
    return Body(np.abs(obj), np.angle(obj), np.zeros((3, 1, 1, 1)))


def _add(obj: NDArray[np.complex64], part: NDArray[np.complex64], centre: Array) -> None:
    """Add a part (m, m, m) about a voxel, cut off at the border."""
    starts = [round(float(c)) - part.shape[0] // 2 for c in centre]
    spans = [(max(0, s), min(obj.shape[0], s + part.shape[0])) for s in starts]
    inner = tuple(slice(low - s, high - s) for (low, high), s in zip(spans, starts, strict=True))
    obj[tuple(slice(*span) for span in spans)] += part[inner]


def _far_field(made: Body, draw: Draw) -> NDArray[np.complex64]:
    """(128,)^3, the peak within half a voxel of the middle but for what strain does to it."""
    obj = made.object
    side = min(FIELD, obj.shape[0])
    full = np.zeros((FIELD,) * 3, np.complex64)
    inner = (slice((obj.shape[0] - side) // 2, (obj.shape[0] - side) // 2 + side),) * 3
    full[(slice(FIELD // 2 - side // 2, FIELD // 2 - side // 2 + side),) * 3] = obj[inner]
    for axis, offset in enumerate(draw.uniform(-0.5, 0.5, 3)):
        wave = np.exp(2j * np.pi * offset * (np.arange(FIELD) - FIELD // 2) / FIELD).astype(np.complex64)
        full *= wave.reshape([-1 if a == axis else 1 for a in range(3)])
    far: NDArray[np.complex64] = fourier.forward(full).astype(np.complex64)
    return far


def _blurred(light: NDArray[np.float32], length: Array) -> NDArray[np.float32]:
    """Light that is partly coherent, of Gaussian coherence lengths (3,) in voxels of the object."""
    correlation = scipy.fft.rfftn(light)
    for axis, n in enumerate(correlation.shape):
        r = scipy.fft.fftfreq(FIELD, 1 / FIELD) if axis < 2 else np.arange(n)
        factor = np.exp(-0.5 * (r / length[axis]) ** 2).astype(np.float32)
        correlation *= factor.reshape([-1 if a == axis else 1 for a in range(3)])
    blurred: NDArray[np.float32] = np.maximum(scipy.fft.irfftn(correlation, s=light.shape), 0).astype(np.float32)
    return blurred


def _with_another(light: NDArray[np.float32], draw: Draw) -> NDArray[np.float32]:
    """Light of a second crystal, which does not interfere: near to the peak or far from it, faint or as bright."""
    other = _far_field(bodies.body(draw, FIELD / draw.uniform(2.3, 5, 3)), draw)
    more = np.abs(other).astype(np.float32) ** 2
    share = math.exp(draw.uniform(math.log(0.01), math.log(0.45)))
    more *= np.float32(share / (1 - share) * float(light.sum(dtype=np.float64) / more.sum(dtype=np.float64)))
    away = draw.normal(size=3)
    away *= draw.uniform(3, 40) / np.linalg.norm(away)
    return light + np.roll(more, [round(float(a)) for a in away], (0, 1, 2))


def _frame(kind: Kind, draw: Draw, peak: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape of the measured array, and its first voxel in the field."""
    shape = (int(draw.integers(40, 97)), *(int(n) for n in draw.integers(60, 113, 2)))
    away = draw.integers(-6, 7, 3)
    corner = [min(max(0, p - n // 2 + int(a)), FIELD - n) for p, n, a in zip(peak, shape, away, strict=True)]
    if kind is Kind.CUT_PEAK:
        axis = int(draw.integers(3))
        near = int(draw.integers(1, 9))  # voxels before the peak
        first = max(0, peak[axis] - near)
        shape = tuple(min(n, FIELD - first) if a == axis else n for a, n in enumerate(shape))
        corner[axis] = first
    return shape, tuple(corner)


def _detected(
    kind: Kind, draw: Draw, light: NDArray[np.float32]
) -> tuple[NDArray[np.uint32], NDArray[np.uint8] | None]:
    """Counts and mask."""
    if kind is Kind.NO_DARK:
        light = light + draw.exponential(10 ** draw.uniform(-2.5, 0.3), light.shape[1:]).astype(np.float32)
    counts = draw.poisson(light).astype(np.uint32)
    mask = np.zeros(light.shape, np.uint8)
    if draw.random() < 0.35:
        _gap(mask, draw)
    distance = _distance(light)
    match kind:
        case Kind.NO_DARK:
            hot = int(draw.integers(10, 300))
            rows, columns = (draw.integers(0, n, hot) for n in light.shape[1:])
            bright = draw.lognormal(3.0, 2.0, hot)
            counts[:, rows, columns] += draw.poisson(bright, (len(light), hot)).astype(np.uint32)
        case Kind.BEAM_STOP:
            shadow = np.broadcast_to(np.hypot(distance[1], distance[2]) < draw.uniform(1.0, 6.0), light.shape)
            if draw.random() < 0.6:
                mask[shadow] = 1
            counts[shadow] = (counts[shadow] * draw.choice([0.0, 0.02])).astype(np.uint32)
        case Kind.NO_CENTRE:
            missing = np.sqrt(sum(d**2 for d in distance)) < draw.uniform(0.8, 6.0)
            mask[missing] = 1
            counts[missing] = 0
        case Kind.FORWARD if draw.random() < 0.5:
            missing = np.sqrt(sum(d**2 for d in distance)) < draw.uniform(0.8, 3.0)
            mask[missing] = 1
            counts[missing] = 0
        case Kind.LOST_FRAMES:
            peak = int(np.unravel_index(int(light.argmax()), light.shape)[0])
            lost = peak + draw.integers(-12, 13, draw.integers(1, 7))
            counts[np.clip(lost, 0, len(counts) - 1)] = 0
    return counts, mask if mask.any() else None


def _distance(light: NDArray[np.float32]) -> list[Array]:
    """From the brightest voxel, along each axis, to be broadcast."""
    peak = np.unravel_index(int(light.argmax()), light.shape)
    return [axis - float(p) for axis, p in zip(np.ogrid[tuple(slice(n) for n in light.shape)], peak, strict=True)]


def _gap(mask: NDArray[np.uint8], draw: Draw) -> None:
    """A gap of two to six pixels between modules, not through the middle of the array."""
    axis, width = int(draw.integers(1, 3)), int(draw.integers(2, 7))
    n = mask.shape[axis]
    at = int(draw.integers(0, n - width))
    if abs(at - n // 2) < 10:
        at = n // 2 + 10
    mask[tuple(slice(at, at + width) if a == axis else slice(None) for a in range(3))] = 1


def _named(kind: Kind, draw: Draw, counts: NDArray[np.uint32]) -> tuple[NDArray[np.generic], Domain]:
    """The numbers as a file holds them, and what they are called."""
    if kind is not Kind.WRONG_DOMAIN:
        return counts, Domain.COUNTS
    match int(draw.integers(4)):
        case 0:
            return counts, Domain.MODULUS
        case 1:
            return (np.sqrt(counts) * draw.uniform(10, 1000)).astype(np.float32), Domain.COUNTS
        case 2:
            return (counts * np.float32(draw.uniform(0.01, 0.5))).astype(np.float32), Domain.COUNTS
        case _:
            return np.sqrt(counts).astype(np.float32), Domain.MODULUS
