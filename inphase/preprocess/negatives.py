"""Small negative counts: what is left of the noise where a background or a dark frame was subtracted. They keep their
sign until bins are summed, so that the sums are right on average; very negative ones are damage.
"""

import numpy as np
from numpy.typing import NDArray

TINY = 1.0  # counts: a median below it is less than a photon
OUTLIER = 8.0  # standard deviations: below it a value is damage
NEAR_ZERO = 0.15  # least share within half a standard deviation: 0.38 of normal noise, 0 of a mark or an offset
REACH = 0.95  # of the negative counts lie no deeper than where their distribution is looked at
BINS = 6  # of it; none is narrower than one count, as photons come whole
DEEPER = 1.25  # a bin that holds so many times what lies about zero is one about which an offset has moved the noise
ROUNDED = 2.5  # the same of a bin of one count: of a background of half a photon twice as many voxels round down to -1
MOST = 0.85  # share of the voxels: with more the noise is not about zero
PEAK = 20.0  # standard deviations: with less the peak is lost in it
BRIGHT = 30.0  # standard deviations, and counts: between two such neighbours only the darkest fringes reach below zero
AMID = 0.2  # of the negative counts that would lie there by chance: with more they are marks


def noise(counts: NDArray[np.generic], zeros: int, largest: float, voxels: int) -> float:
    """Standard deviation of the noise that left the negative `counts` (n,), 0.0 where they are no noise about zero.

    zeros: voxels of the measurement that hold 0. largest: count of the measurement. voxels: of the measurement.
    """
    depth = np.abs(counts.astype(np.float64))
    median = float(np.median(depth))
    deviation = median / 0.6745
    if largest < PEAK * deviation or _moved(depth, zeros):
        return 0.0
    about_zero = (depth <= deviation / 2).mean() >= NEAR_ZERO and counts.size <= MOST * voxels
    return deviation if median <= TINY or about_zero else 0.0


def _moved(depth: NDArray[np.float64], zeros: int) -> bool:
    """Whether more voxels lie at some depth (n,) below zero than about it.

    Noise about zero becomes rarer with the depth, whatever light is added to it. An offset moves the voxels without
    light, which are more than those of any other count, below zero, also where they are few of a bright pattern.
    """
    reach = float(np.quantile(depth, REACH))
    width = max(1.0, np.ceil(reach / BINS))
    last = int(reach // width)
    number = np.bincount(np.minimum(depth // width, last + 1).astype(np.int64), minlength=last + 1)[: last + 1]
    number[0] += zeros
    about = max(1, (last + 1) // 3)
    deeper = number[about:] / np.where((np.arange(about, last + 1) == 1) & (width == 1), ROUNDED, DEEPER)
    return bool(deeper.max(initial=0) > number[:about].max())


def amid_bright(data: NDArray[np.generic], negative: NDArray[np.bool_], deviation: float, ceiling: float) -> float:
    """How often `negative` voxels (same shape as data, bool) lie between two bright ones of their row,
    over how often any voxel does.

    Marks of voxels that were not measured lie anywhere, noise below zero only where it is dim: a fringe is two voxels
    wide.
    ceiling: at and above it a value is a mark itself.
    """
    bright = (data > BRIGHT * max(1.0, deviation)) & (data < ceiling)  # type: ignore[operator]
    amid = bright[..., :-2] & bright[..., 2:]
    inner = negative[..., 1:-1]
    by_chance = float(amid.mean()) * int(np.count_nonzero(inner))
    return int(np.count_nonzero(amid & inner)) / by_chance if by_chance else 0.0
