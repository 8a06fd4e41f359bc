"""A flat background of counts, from the far field."""

from dataclasses import replace

import numpy as np

from inphase.pattern import MaskState, Pattern
from inphase.preprocess.report import StepReport

BLOCK = 8  # voxels: mean counts per block of 8^3 are known to sqrt(b / 512)
LEAST_VALID = 0.5  # of a block


def estimate(pattern: Pattern, quantile: float = 0.1) -> float:
    """Flat background in counts per voxel: the lowest tenth of the means over blocks of 8^3 voxels.

    Where the crystal scatters everywhere the lowest tenth holds some of its tails; they are at most as bright as what is
    subtracted, and the bright part loses nothing that matters. The lowest tenth lies below the mean of a true flat
    background by 1.3 standard deviations of a block mean, so that it is rather left than over-subtracted.
    """
    sides = [min(BLOCK, n) for n in pattern.shape]
    box = tuple(slice(0, n - n % s) for n, s in zip(pattern.shape, sides, strict=True))
    known = pattern.mask[box] == MaskState.VALID
    counts = pattern.intensity[box]
    number = known.view(np.uint8).astype(np.float32)
    if not known.all():
        counts = counts * number
    for axis, side in enumerate(sides):
        edges = np.arange(0, counts.shape[axis], side)
        counts, number = np.add.reduceat(counts, edges, axis=axis), np.add.reduceat(number, edges, axis=axis)
    enough = number >= LEAST_VALID * np.prod(sides)
    return float(np.quantile(counts[enough] / number[enough], quantile)) if enough.any() else 0.0


def subtract(pattern: Pattern, level: float) -> tuple[Pattern, StepReport]:
    """Take `level` counts from every valid voxel; what falls below zero is zero.

    Done after binning: the sums fluctuate less than single voxels, so clipping adds less.
    """
    counts = np.where(pattern.valid, pattern.intensity, np.float32(0.0))
    left = np.maximum(counts - np.float32(level), np.float32(0.0))
    before = float(counts.sum(dtype=np.float64))
    numbers = {"level": level, "removed_share": 1.0 - float(left.sum(dtype=np.float64)) / before if before else 0.0}
    return replace(pattern, intensity=left), StepReport("background", numbers)
