"""Crop or pad onto a window of the measured grid. Nothing wraps; what was not measured is padding."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inphase.pattern import MaskState, Pattern
from inphase.preprocess.centring import Window
from inphase.preprocess.core import Core
from inphase.preprocess.report import Number, StepReport

LAYERS = 2  # next to the padding, whose modulus bounds it


def cut(pattern: Pattern, window: Window) -> tuple[Pattern, StepReport]:
    """The measured voxels in the window, (shape * bins) voxels, PADDING where it reaches beyond the measurement."""
    size = tuple(n * b for n, b in zip(window.shape, window.bins, strict=True))
    source = tuple(
        slice(max(0, s), max(0, min(s + n, full))) for s, n, full in zip(window.start, size, pattern.shape, strict=True)
    )
    target = tuple(slice(part.start - s, part.stop - s) for part, s in zip(source, window.start, strict=True))
    intensity = np.zeros(size, np.float32)
    mask = np.full(size, MaskState.PADDING, np.uint8)
    intensity[target] = pattern.intensity[source]
    mask[target] = pattern.mask[source]
    geometry = pattern.geometry
    if geometry is not None:
        step = tuple(s + n // 2 - full // 2 for s, n, full in zip(window.start, size, pattern.shape, strict=True))
        geometry = geometry.moved(step)
    before, inside = pattern.intensity.sum(dtype=np.float64), intensity.sum(dtype=np.float64)
    numbers: dict[str, Number] = {"size": list(size), "counts_share": float(inside / before) if before else 0.0}
    return replace(pattern, intensity=intensity, mask=mask, geometry=geometry), StepReport("window", numbers)


def expected(around: Core, window: Window, background: float) -> NDArray[np.float32]:
    """Counts per measured voxel of the window as the filled core has them, (shape * bins) float32;
    NaN outside the core.
    """
    size = tuple(n * b for n, b in zip(window.shape, window.bins, strict=True))
    counts = np.full(size, np.nan, np.float32)
    source, target = [], []
    for start, n, first, length in zip(window.start, size, around.start, around.intensity.shape, strict=True):
        low, high = max(start, first), max(start, first, min(start + n, first + length))
        source.append(slice(low - first, high - first))
        target.append(slice(low - start, high - start))
    counts[tuple(target)] = around.intensity[tuple(source)] + np.float32(background)
    return counts


def counts_kept(pattern: Pattern, mask: NDArray[np.uint8], bins: tuple[int, ...], background: float) -> float:
    """Measured counts above background in a window's valid voxels whose bin is VALID in `mask` (the binned one)."""
    kept = mask == MaskState.VALID
    for axis, b in enumerate(bins):
        kept = np.repeat(kept, b, axis=axis)
    kept &= pattern.valid
    return float(pattern.intensity[kept].sum(dtype=np.float64)) - background * int(kept.sum())


def padding_bound(pattern: Pattern) -> float:
    """Largest |F| that a PADDING voxel may keep: the RMS modulus of the valid voxels in the two layers next to the
    padding.

    The far field falls off outwards, so what was not measured is not brighter than the last of what was. 0 where there
    is no padding. The measured part is a box.
    """
    measured = pattern.mask != MaskState.PADDING
    if measured.all() or not measured.any():
        return 0.0
    edge = np.zeros(pattern.shape, bool)
    for axis in range(edge.ndim):
        lines = np.flatnonzero(measured.any(axis=tuple(a for a in range(edge.ndim) if a != axis)))
        first, last = int(lines[0]), int(lines[-1])
        along = np.moveaxis(edge, axis, 0)
        if first > 0:
            along[first : first + LAYERS] = True
        if last < pattern.shape[axis] - 1:
            along[max(first, last - LAYERS + 1) : last + 1] = True
    known = edge & pattern.valid
    return float(np.sqrt(pattern.intensity[known].mean(dtype=np.float64))) if known.any() else 0.0
