"""A flat background of counts, from the far field."""

from dataclasses import replace

import numpy as np

from inphase.pattern import MaskState, Pattern
from inphase.preprocess.blocks import block_sums
from inphase.preprocess.report import Number, StepReport

BLOCK = 8  # voxels: mean counts per block of 8^3 are known to sqrt(b / 512)
LEAST_VALID = 0.5  # of a block


def estimate(pattern: Pattern, quantile: float = 0.1) -> float:
    """Flat background in counts per voxel: the lowest tenth of the means over blocks of 8^3 voxels.

    Where the crystal scatters everywhere the lowest tenth holds some of its tails; they are at most as bright as what is
    subtracted, and the bright part loses nothing that matters. The lowest tenth lies below the mean of a true flat
    background by 1.3 standard deviations of a block mean, so that it is rather left than over-subtracted.
    """
    a, b, c = (min(BLOCK, n) for n in pattern.shape)
    counts = block_sums(pattern.intensity, (a, b, c))  # zero where not valid
    number = block_sums(pattern.mask == MaskState.VALID, (a, b, c))
    enough = number >= LEAST_VALID * (a * b * c)
    return float(np.quantile(counts[enough] / number[enough], quantile)) if enough.any() else 0.0


def subtract(pattern: Pattern, level: float) -> tuple[Pattern, StepReport]:
    """Take `level` counts from every valid voxel; what falls below zero is zero.

    Done after binning: the sums fluctuate less than single voxels, so clipping adds less.
    """
    left = np.maximum(pattern.intensity - np.float32(level), np.float32(0.0))
    before = float(pattern.intensity.sum(dtype=np.float64))
    numbers: dict[str, Number] = {
        "level": level,
        "removed_share": 1.0 - float(left.sum(dtype=np.float64)) / before if before else 0.0,
    }
    return replace(pattern, intensity=left), StepReport("background", numbers)
