"""Crop or pad onto a window of the measured grid. Nothing wraps; what was not measured is padding."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.pattern import MaskState, Pattern
from inphase.preprocess.centring import Window
from inphase.preprocess.core import Core
from inphase.preprocess.report import StepReport

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
    counts, states, measured, known = intensity[target], mask[target], pattern.intensity[source], pattern.mask[source]

    def lay(slab: slice) -> None:
        counts[slab], states[slab] = measured[slab], known[slab]

    slabs.over_planes(lay, counts)
    geometry = pattern.geometry
    if geometry is not None:
        step = tuple(s + n // 2 - full // 2 for s, n, full in zip(window.start, size, pattern.shape, strict=True))
        geometry = geometry.moved(step)
    found = replace(pattern, intensity=intensity, mask=mask, geometry=geometry)
    share = found.total / pattern.total if pattern.total else 0.0
    return found, StepReport("window", {"size": list(size), "counts_share": share})


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

    def kept(slab: slice) -> NDArray[np.float32]:
        inside = mask[slab.start // bins[0] : slab.stop // bins[0]] == MaskState.VALID
        for axis, b in enumerate(bins):
            inside = inside if b == 1 else np.repeat(inside, b, axis=axis)
        found: NDArray[np.float32] = pattern.intensity[slab][inside & (pattern.mask[slab] == MaskState.VALID)]
        return found

    counts = slabs.over_planes(kept, pattern.intensity, bins[0])
    return slabs.total_of(counts) - background * sum(map(len, counts))


def padding_bound(pattern: Pattern) -> float:
    """Largest |F| that a PADDING voxel may keep: the RMS modulus of the valid voxels in the two layers next to the
    padding.

    The far field falls off outwards, so what was not measured is not brighter than the last of what was. 0 where there
    is no padding. The measured part is a box.
    """
    if pattern.number(MaskState.PADDING) in (0, pattern.mask.size):
        return 0.0
    layers = [_layers(planes) for planes in _measured_planes(pattern.mask)]

    def known(slab: slice) -> NDArray[np.float32]:
        edge = np.zeros(pattern.mask[slab].shape, bool)
        for axis, along in enumerate(layers):
            np.moveaxis(edge, axis, 0)[along[slab] if axis == 0 else along] = True
        found: NDArray[np.float32] = pattern.intensity[slab][edge & (pattern.mask[slab] == MaskState.VALID)]
        return found

    counts = np.concatenate(slabs.over_planes(known, pattern.mask))
    return float(np.sqrt(counts.mean(dtype=np.float64))) if counts.size else 0.0


def _measured_planes(mask: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """Along each axis, which planes hold a measured voxel."""
    others = tuple(range(1, mask.ndim))

    def look(slab: slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        measured = mask[slab] != MaskState.PADDING
        return measured.any(axis=others), measured.any(axis=0)

    first, across = zip(*slabs.over_planes(look, mask), strict=True)
    plane = np.logical_or.reduce(across)
    return [
        np.concatenate(first),
        *(plane.any(axis=tuple(a for a in range(plane.ndim) if a != axis)) for axis in range(plane.ndim)),
    ]


def _layers(planes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first and last measured planes of an axis where padding lies beyond them."""
    found = np.zeros(planes.size, bool)
    first, last = np.flatnonzero(planes)[[0, -1]]
    if first > 0:
        found[first : first + LAYERS] = True
    if last < planes.size - 1:
        found[max(first, last - LAYERS + 1) : last + 1] = True
    return found
