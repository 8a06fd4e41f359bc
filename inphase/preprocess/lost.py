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
        light = _Light.of(pattern, axis, lit)
        span = slice(_start(known, lit, light, least), len(lit) - _start(known[::-1], lit[::-1], light.reversed, least))
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
    def of(cls, pattern: Pattern, axis: int, lit: NDArray[np.bool_]) -> "_Light":
        """Of the planes across `axis`; not looked at where all are lit, and nothing is to be judged."""
        if lit.all():
            return cls(np.ones(len(lit)), np.ones(len(lit)))
        others = tuple(a for a in range(3) if a != axis)
        counts = pattern.intensity.sum(axis=others, dtype=np.float64)
        return cls(np.count_nonzero(pattern.intensity, axis=others).astype(np.float64), counts)

    @property
    def reversed(self) -> "_Light":
        """From the other end."""
        return _Light(self.voxels[::-1], self.counts[::-1])

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
    found: NDArray[np.bool_] = test(planes[:, ::SPARSE, ::SPARSE]).any(axis=(1, 2))
    for plane in np.flatnonzero(~found):
        found[plane] = test(planes[plane]).any()
    return found


def _start(known: NDArray[np.bool_], lit: NDArray[np.bool_], light: _Light, least: float) -> int:
    """First measured plane, from the beginning of an axis."""
    first, first_lit = int(known.argmax()), int(lit.argmax())
    edge, before = light.counts[first_lit], light.counts[first_lit + 1 : first_lit + 1 + LOOK_BACK]
    fades = [(edge / counts) ** (1 / distance) for distance, counts in enumerate(before, 1) if counts > 0]
    fade = min(1.0, max(fades, default=0.0))
    expected = DEEP * light.voxels[first_lit] * sum(fade**k for k in range(1, 1 + min(FADING, first_lit - first)))
    return first_lit if expected >= least else first


def _dark_between(lit: NDArray[np.bool_], light: _Light, least: float) -> NDArray[np.bool_]:
    """Silent planes of an axis with so much light in the nearest lit planes on both sides that they cannot be dark."""
    at, bright = np.arange(len(lit)), np.flatnonzero(lit)
    left = np.clip(np.searchsorted(bright, at) - 1, 0, None)
    right = np.clip(np.searchsorted(bright, at), None, bright.size - 1)
    beside = np.minimum(light.voxels[bright[left]], light.voxels[bright[right]])
    found: NDArray[np.bool_] = ~lit & (DEEP * beside >= least)
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
