"""A flat background of counts, from the far field."""

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from inphase import slabs
from inphase.pattern import Pattern
from inphase.preprocess.blocks import block_sums, valid_sums
from inphase.preprocess.report import Number, StepReport

BLOCK = 16  # voxels: with so many in a block its mean is known well enough even at 0.01 counts per voxel
BLOCKS = 8  # at least along an axis, with smaller blocks if need be
LEAST_VALID = 0.5  # of a block
FAR_FIELD = 0.01  # of the light: a background that takes more than the far field's own level does takes the crystal's
FAINT = 1e-3  # of the counts: a threshold that takes away more changes the likelihood


def estimate(pattern: Pattern, quantile: float = 0.1) -> float:
    """Flat background in counts per voxel: the lowest tenth of the means over blocks of up to 16^3 voxels.

    Where the crystal scatters everywhere the lowest tenth holds some of its tails; they are at most as bright as what
    is subtracted, and the bright part loses nothing that matters. Of a true flat background the lowest tenth lies 1.28
    standard deviations of a block's Poisson noise below the mean, which is added back.
    """
    sides = tuple(max(1, min(BLOCK, n // BLOCKS)) for n in pattern.shape)
    counts = block_sums(pattern.intensity, sides)  # zero where not valid
    number = valid_sums(pattern.mask, sides)
    volume = math.prod(sides)
    enough = number >= LEAST_VALID * volume
    if not enough.any():
        return 0.0
    lowest = float(np.quantile(counts[enough] / number[enough], quantile)) * volume
    if lowest <= 0.0:  # it was subtracted before
        return 0.0
    return (lowest - NormalDist().inv_cdf(quantile) * math.sqrt(lowest)) / volume


def clipped(pattern: Pattern) -> Pattern:
    """Negative sums are zero: the noise that subtracting a background leaves."""
    if not pattern.signed or slabs.least(pattern.intensity) >= 0:
        return pattern
    return replace(pattern, intensity=np.maximum(pattern.intensity, np.float32(0.0)), signed=False)


def subtract(pattern: Pattern, level: float, estimated: float | None = None) -> tuple[Pattern, StepReport]:
    """Take `level` counts from every valid voxel; what falls below zero is zero.

    estimated: the level of the far field, where a caller has named another one. What that takes of the light beyond it
    is a doubt from a hundredth on.
    Done after binning: the sums fluctuate less than single voxels, so clipping adds less.
    """
    left = np.empty_like(pattern.intensity)

    def take(slab: slice) -> None:
        np.subtract(pattern.intensity[slab], np.float32(level), out=left[slab])
        np.maximum(left[slab], np.float32(0.0), out=left[slab])

    slabs.over_planes(take, left)
    found = replace(pattern, intensity=left, signed=False)
    share = 1.0 - found.total / pattern.total if pattern.total else 0.0
    doubts: tuple[str, ...] = ()
    if estimated is not None and level > estimated:
        light = subtract(pattern, estimated)[0].total
        beyond = 1.0 - found.total / light if light else 0.0
        if beyond > FAR_FIELD:
            doubts = (
                f"the background of {level:.3g} counts a voxel of the grid takes away {beyond:.1%} of the light above "
                f"the far field, whose own level is {estimated:.3g}: name a lower one, or none (background(level=...))",
            )
    return found, StepReport("background", {"level": level, "removed_share": share}, doubts=doubts)


def thresholded(pattern: Pattern, least: float) -> tuple[Pattern, StepReport]:
    """Take valid voxels of fewer than `least` counts for empty ones.

    It takes away a background of single counts, and the crystal's faint light with it: the log-likelihoods no longer
    mean what they say, which is a doubt where it was more than a thousandth of the counts.
    """
    few = pattern.valid & (pattern.intensity < np.float32(least)) & (pattern.intensity != 0)
    found = replace(pattern, intensity=np.where(few, np.float32(0.0), pattern.intensity))
    share = 1.0 - found.total / pattern.total if pattern.total else 0.0
    numbers: dict[str, Number] = {"least": least, "voxels": int(few.sum()), "removed_share": share}
    doubts: tuple[str, ...] = ()
    if share > FAINT:
        doubts = (
            f"the threshold of {least:g} counts took away {share:.1%} of them: the faint light is gone, and the "
            "log-likelihoods are those of other counts; leave it out, a flat background is subtracted anyway",
        )
    return found, StepReport("threshold", numbers, doubts=doubts)
