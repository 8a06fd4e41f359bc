"""Planes of a scan that were not measured: frames lost on the way, the empty end of a file laid out before a scan was
stopped.

They hold zeros or nothing, and a zero is a measurement: it says that the crystal is dark there. Whether a silent plane
was measured is a question of the light beside it. The wings of a curve fade out plane by plane; a frame without a
single count between frames full of them, or an end that is silent from one plane to the next, was not measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.pattern import AXES, MaskState, Pattern
from inphase.preprocess.pixels import masked
from inphase.preprocess.report import Number, StepReport
from inphase.preprocess.validate import MIN_SIDE

Flags = NDArray[np.bool_]
DEEP = 0.2  # of the lit voxels of the planes beside it: what the darkest minimum between two fringes still has
LOOK_BACK = 3  # planes before the last lit one: how fast they fade
FADING = 3  # planes beyond it in which some of its light must show
FULL = 0.5  # of a plane: with so many lit voxels no light fades to silence in one step
SCATTER = 0.01  # of the lit voxels of a plane that holds counts have more than one
BRIGHT = 0.01  # of all counts: a lost frame that held more is worth a doubt
SPARSE = 8  # every eighth row and column tells most measured planes from silent ones


@dataclass(frozen=True)
class Measured:
    """The measured part of a pattern, which begins at voxel `start` of it."""

    pattern: Pattern
    start: tuple[int, ...]


def measured(pattern: Pattern, least: float = 20.0) -> tuple[Measured, StepReport]:
    """Cut off what was not measured at the ends of each axis, and mask frames that were lost between others.

    At an end lie planes that hold no valid voxel, and silent planes where the lit ones end abruptly. Lost is a frame
    that holds no valid voxel, or no count though its neighbours do. Evidence is the number of lit voxels, which no hot
    pixel can raise: at least `least` of them were to be expected, and a measured plane misses those with a chance of
    exp(-least). (Silent rows and columns between lit ones: `pixels.faulty`.)

    Raises DataError where less than 8 planes are left along an axis.
    """
    rank = len(pattern.shape)
    names = AXES[-rank:]
    axes = [_Planes.across(pattern, axis) for axis in range(rank)]
    spans = [planes.measured(name, least) for planes, name in zip(axes, names, strict=True)]
    found, named, share = pattern, list[int](), 0.0
    if rank == len(AXES):  # a single frame has none that could be lost between others
        frames = axes[0].lost(spans[0], least)
        share = axes[0].share(frames)
        found = masked(pattern, frames[:, None, None]) if frames.any() else pattern
        named = [int(frame) for frame in np.flatnonzero(frames)]
    numbers: dict[str, Number] = {"frames": named, "counts_share": share}
    numbers |= {f"measured_{name}": [span.start, span.stop] for name, span in zip(names, spans, strict=True)}
    return cut(found, spans), StepReport("lost_frames", numbers, doubts=_doubts(named, share))


@dataclass(frozen=True)
class _Planes:
    """The planes across one axis, lines in a single frame. values: (n, ...) intensity.
    known: with a valid voxel. lit: with light, both (n,).
    """

    values: NDArray[np.float32]
    known: Flags
    lit: Flags

    @classmethod
    def across(cls, pattern: Pattern, axis: int) -> "_Planes":
        """Those of `axis`."""
        values, mask = np.moveaxis(pattern.intensity, axis, 0), np.moveaxis(pattern.mask, axis, 0)
        known = _any(mask, lambda part: part == MaskState.VALID)
        return cls(values, known, _any(values, lambda part: part != 0))

    @cached_property
    def counts(self) -> NDArray[np.float64]:
        """(n,) of each plane."""
        counts: NDArray[np.float64] = self.values.sum(axis=self.within, dtype=np.float64)
        return counts

    @property
    def within(self) -> tuple[int, ...]:
        """The axes of a plane."""
        return tuple(range(1, self.values.ndim))

    def measured(self, name: str, least: float) -> slice:
        """The planes between the ends that were not measured. Raises DataError where they are too few."""
        if not self.lit.any():
            raise DataError(f"none of the {len(self.lit)} {name} holds a valid count")
        back = _Planes(self.values[::-1], self.known[::-1], self.lit[::-1])
        span = slice(self._start(least), len(self.lit) - back._start(least))
        if span.stop - span.start < MIN_SIDE:
            raise DataError(
                f"only {name} {span.start} to {span.stop - 1} of {len(self.lit)} were measured, the others hold "
                f"nothing: each axis needs at least {MIN_SIDE} voxels"
            )
        return span

    def lost(self, span: slice, least: float) -> Flags:
        """Planes of the span without a valid voxel, or silent between planes with too much light for that."""
        lit, dark = np.flatnonzero(self.lit), np.flatnonzero(~self.lit)
        dark = dark[(dark > lit[0]) & (dark < lit[-1])]
        found = ~self.known
        if dark.size:
            voxels = np.count_nonzero(self.values, axis=self.within)
            after = np.searchsorted(lit, dark)
            beside = np.minimum(voxels[lit[after - 1]], voxels[lit[after]])
            found[dark[DEEP * beside >= least]] = True
        found[: span.start] = found[span.stop :] = False
        return found

    def share(self, where: Flags) -> float:
        """Of all counts: what the planes `where` probably held, from the lit ones beside them."""
        if not where.any():
            return 0.0
        lit = self.lit
        missing = float(np.interp(np.flatnonzero(where), np.flatnonzero(lit), self.counts[lit]).sum())
        return missing / (missing + float(self.counts.sum()))

    def _start(self, least: float) -> int:
        """First measured plane, from the beginning of the axis.

        Counted photons scatter: where hundreds of voxels have one, a few have two. A plane in which all lit voxels are
        at the faintest level may be what rounding or a threshold left, and its neighbour may have fallen below it.
        """
        first, edge = int(self.known.argmax()), int(self.lit.argmax())
        if first >= edge:
            return first
        if np.count_nonzero(self.values[edge]) >= FULL * self.values[edge].size:
            return edge
        counts = np.maximum(
            self.counts[edge : edge + 1 + LOOK_BACK], 0.0
        )  # noise about a subtracted background may be below 0
        light = self.values[edge][self.values[edge] > 0]
        fades = [(counts[0] / inner) ** (1 / distance) for distance, inner in enumerate(counts[1:], 1) if inner > 0]
        fade = min(1.0, max(fades, default=0.0))
        clear = np.count_nonzero(light >= 2 * light.min(initial=np.inf))
        voxels = light.size if clear >= max(2, SCATTER * light.size) else clear
        expected = DEEP * voxels * sum(fade**k for k in range(1, 1 + min(FADING, edge - first)))
        return edge if expected >= least else first


def _any(planes: NDArray[Any], test: Callable[[NDArray[Any]], Flags]) -> Flags:
    """(n,): whether any voxel of each plane passes."""
    sparse = (slice(None), *(slice(None, None, SPARSE),) * (planes.ndim - 1))
    found = np.asarray(test(planes[sparse]).any(axis=tuple(range(1, planes.ndim))))
    for plane in np.flatnonzero(~found):
        found[plane] = test(planes[plane]).any()
    return found


def cut(pattern: Pattern, spans: list[slice]) -> Measured:
    """The box of `spans`; the DC voxel moves with it."""
    start = tuple(span.start for span in spans)
    box = tuple(spans)
    inner = replace(pattern, intensity=pattern.intensity[box], mask=pattern.mask[box])
    if inner.shape == pattern.shape:
        return Measured(pattern, start)
    geometry = pattern.geometry
    if geometry is not None:
        step = tuple(s + n // 2 - full // 2 for s, n, full in zip(start, inner.shape, pattern.shape, strict=True))
        geometry = geometry.moved(step)
    intensity, mask = np.ascontiguousarray(inner.intensity), np.ascontiguousarray(inner.mask)
    return Measured(replace(inner, intensity=intensity, mask=mask, geometry=geometry), start)


def _doubts(frames: list[int], share: float) -> tuple[str, ...]:
    if share < BRIGHT:
        return ()
    named = f"frame {frames[0]} was" if len(frames) == 1 else f"frames {', '.join(map(str, frames))} were"
    return (f"{named} not measured, where about {share:.0%} of the counts were to be expected",)
