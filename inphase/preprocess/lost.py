"""Planes of a scan that were not measured: frames lost on the way, the empty end of a file laid out before a scan was stopped.

They hold zeros or nothing, and a zero is a measurement: it says that the crystal is dark there. Whether a silent plane was
measured is a question of the light beside it. The wings of a curve fade out plane by plane; a frame without a single count
between frames full of them, or an end that is silent from one plane to the next, was not measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern
from inphase.preprocess.pixels import masked
from inphase.preprocess.report import Number, StepReport
from inphase.preprocess.validate import MIN_SIDE

AXES = ("frames", "rows", "columns")
DEEP = 0.2  # of the lit voxels of the planes beside it: what the darkest minimum between two fringes still has
LOOK_BACK = 3  # planes before the last lit one: how fast they fade
FADING = 3  # planes beyond it in which some of its light must show
SCATTER = 0.01  # of the lit voxels of a plane that holds counts have more than one
BRIGHT = 0.01  # of all counts: a lost frame that held more is worth a doubt
SPARSE = 8  # every eighth row and column tells most measured planes from silent ones


@dataclass(frozen=True)
class Measured:
    """The measured part of a pattern, which begins at voxel `start` of it."""

    pattern: Pattern
    start: tuple[int, int, int]


def measured(pattern: Pattern, least: float = 20.0) -> tuple[Measured, StepReport]:
    """Cut off what was not measured at the ends of each axis, and mask frames that were lost between others.

    At an end lie planes that hold no valid voxel, and silent planes where the lit ones end abruptly. Lost is a frame that
    holds no valid voxel, or no count though its neighbours do. Evidence is the number of lit voxels, which no hot pixel can
    raise: at least `least` of them were to be expected, and a measured plane misses those with a chance of exp(-least).
    (Silent rows and columns between lit ones: `pixels.dead`.)

    Raises DataError where less than 8 planes are left along an axis.
    """
    silent, spans = np.zeros(0, bool), []
    for axis, name in enumerate(AXES):
        known = _planes(pattern.mask, axis, lambda part: part == MaskState.VALID)
        lit = _planes(pattern.intensity, axis, lambda part: part != 0)
        if not lit.any():
            raise DataError(f"none of the {len(lit)} {name} holds a valid count")
        planes = np.moveaxis(pattern.intensity, axis, 0)
        light = _Light.of(planes, lit)
        end = _start(planes[::-1], known[::-1], light.counts[::-1], least)
        span = slice(_start(planes, known, light.counts, least), len(lit) - end)
        if span.stop - span.start < MIN_SIDE:
            raise DataError(
                f"only {name} {span.start} to {span.stop - 1} of {len(lit)} were measured, the others hold nothing: each "
                f"axis needs at least {MIN_SIDE} voxels"
            )
        if axis == 0:
            silent = ~known | _dark_between(lit, light, least)
            silent[: span.start] = silent[span.stop :] = False
            share = light.share(silent, lit)
        spans.append(span)
    lost_frames = [int(frame) for frame in np.flatnonzero(silent)]
    found = masked(pattern, silent[:, None, None]) if lost_frames else pattern
    numbers: dict[str, Number] = {"frames": lost_frames, "counts_share": share}
    numbers |= {f"measured_{name}": [span.start, span.stop] for name, span in zip(AXES, spans, strict=True)}
    return _cut(found, spans), StepReport("lost_frames", numbers, doubts=_doubts(lost_frames, share))


@dataclass(frozen=True)
class _Light:
    """Per plane: lit voxels, and counts."""

    voxels: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, planes: NDArray[np.float32], lit: NDArray[np.bool_]) -> "_Light":
        """Of each plane; not looked at where all are lit, and nothing is to be judged."""
        if lit.all():
            return cls(np.ones(len(lit)), np.ones(len(lit)))
        counts = planes.sum(axis=(1, 2), dtype=np.float64)
        return cls(np.count_nonzero(planes, axis=(1, 2)).astype(np.float64), counts)

    def share(self, where: NDArray[np.bool_], lit: NDArray[np.bool_]) -> float:
        """Of all counts: what the planes `where` probably held, from the lit ones beside them."""
        if not where.any():
            return 0.0
        missing = float(np.interp(np.flatnonzero(where), np.flatnonzero(lit), self.counts[lit]).sum())
        return missing / (missing + float(self.counts.sum()))


def _planes(
    volume: NDArray[np.generic], axis: int, test: Callable[[NDArray[np.generic]], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Whether any voxel of each plane across `axis` passes."""
    planes = np.moveaxis(volume, axis, 0)
    found = np.asarray(test(planes[:, ::SPARSE, ::SPARSE]).any(axis=(1, 2)))
    for plane in np.flatnonzero(~found):
        found[plane] = test(planes[plane]).any()
    return found


def _start(planes: NDArray[np.float32], known: NDArray[np.bool_], counts: NDArray[np.float64], least: float) -> int:
    """First measured plane, from the beginning of an axis.

    Counted photons scatter: where hundreds of voxels have one, a few have two. A plane in which all lit voxels are at the
    faintest level may be what rounding or a threshold left, and its neighbour may have fallen below it.
    """
    first, edge = int(known.argmax()), int((counts > 0).argmax())
    if first >= edge:
        return first
    before = counts[edge + 1 : edge + 1 + LOOK_BACK]
    fades = [(counts[edge] / inner) ** (1 / distance) for distance, inner in enumerate(before, 1) if inner > 0]
    fade = min(1.0, max(fades, default=0.0))
    plane = planes[edge]
    voxels, clear = np.count_nonzero(plane), np.count_nonzero(plane >= 2 * plane[plane > 0].min())
    if clear < max(2, SCATTER * voxels):
        voxels = clear
    expected = DEEP * voxels * sum(fade**k for k in range(1, 1 + min(FADING, edge - first)))
    return edge if expected >= least else first


def _dark_between(lit: NDArray[np.bool_], light: _Light, least: float) -> NDArray[np.bool_]:
    """Silent planes of an axis with so much light in the nearest lit planes on both sides that they cannot be dark."""
    bright = np.flatnonzero(lit)
    dark = np.flatnonzero(~lit)
    dark = dark[(dark > bright[0]) & (dark < bright[-1])]
    after = np.searchsorted(bright, dark)
    beside = np.minimum(light.voxels[bright[after - 1]], light.voxels[bright[after]])
    found = np.zeros(len(lit), bool)
    found[dark[DEEP * beside >= least]] = True
    return found


def _cut(pattern: Pattern, spans: list[slice]) -> Measured:
    """The box of `spans`; the DC voxel moves with it."""
    start = (spans[0].start, spans[1].start, spans[2].start)
    box = tuple(spans)
    inner = replace(pattern, intensity=pattern.intensity[box], mask=pattern.mask[box])
    if inner.shape == pattern.shape:
        return Measured(pattern, start)
    geometry = pattern.geometry
    if geometry is not None:
        a, b, c = (s + n // 2 - full // 2 for s, n, full in zip(start, inner.shape, pattern.shape, strict=True))
        geometry = geometry.moved((a, b, c))
    intensity, mask = np.ascontiguousarray(inner.intensity), np.ascontiguousarray(inner.mask)
    return Measured(replace(inner, intensity=intensity, mask=mask, geometry=geometry), start)


def _doubts(frames: list[int], share: float) -> tuple[str, ...]:
    if share < BRIGHT:
        return ()
    named = f"frame {frames[0]} was" if len(frames) == 1 else f"frames {', '.join(map(str, frames))} were"
    return (f"{named} not measured, where about {share:.0%} of the counts were to be expected",)
