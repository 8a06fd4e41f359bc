"""How finely the fringes are sampled, from the autocorrelation of the object, and the binning that follows from it.

sigma = N / extent of the object per axis. The autocorrelation |IFFT(I)| is twice as long as the object, but it fades
towards its tips, where it is the overlap of two opposite faces, edges or corners: like a power 1, 2 or 3 of the
distance. Cut at a share t of its maximum it looks too short, and 2 N / extent is too large: on average by 1.16 at 1 %,
1.37 at 5 % and 1.6 at 10 %, for faceted crystals in any orientation (a cube along the axes: 1.11 at 10 %; a sphere:
1.37). The factor follows 1 / (1 - A t^P); its spread over shapes and strains grows with t, from 4 % at 1 % to 22 % at
10 %. So the cut is made as low as the pattern allows: above the noise, and above the pedestal that real crystals have
(diffuse scattering, an unsteady beam), where the autocorrelation no longer falls as steeply as that of an object with
an end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from inphase.fourier import WORKERS
from inphase.pattern import AXES, Pattern
from inphase.preprocess.core import Core, core
from inphase.preprocess.report import Number, StepReport

# Fitted to clipped polyhedra of 4 to 20 facets with strain (tests/inphase/preprocess/test_oversampling.py).
AMPLITUDE = 1.0
POWER = 0.435
# Extent at half amplitude of a retrieved crystal, whose thin corners no measurement resolves, over the extent that its
# autocorrelation says: 1.0 for noise-free simulated crystals, 0.91 to 1.06 for the axes of two measured ones.
ROUNDED = 0.98
LEVELS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3)
LEAST_LEVEL = 0.005  # what the calibration covers
LEAST = (
    2.0  # voxels per fringe: with less the autocorrelation overlaps itself, and its transform is no longer the object's
)
PEDESTAL = 0.05  # the highest pedestal that is believed: above it a slow fall is strain
STEEP = (
    0.4  # of the mean steepness of a crystal's autocorrelation (99.9 % of simulated ones have it): less is a pedestal
)
NOISE_FACTOR = (
    5.0  # times the median |AC|, which is 1.18 sigma of the noise: its maximum over 128^3 voxels is 4.6 times
)


@dataclass(frozen=True)
class Oversampling:
    """sigma per axis with what it was read from. noise: median |AC| over its maximum;
    levels: where it was cut, per axis.
    """

    sigma: tuple[float, ...]
    noise: float
    levels: tuple[float, ...]

    def report(self, bins: tuple[int, ...]) -> StepReport:
        """The numbers of the step."""
        after = [s / b for s, b in zip(self.sigma, bins, strict=True)]
        numbers: dict[str, Number] = {
            "measured": list(self.sigma),
            "bins": list(bins),
            "after": after,
            "noise": self.noise,
        }
        return StepReport("oversampling", {**numbers, "levels": list(self.levels)}, doubts=undersampled(after, bins))


def estimate(pattern: Pattern, background: float = 0.0) -> tuple[float, ...]:
    """sigma per axis of a pattern of any size, uncentred, with gaps and a flat background (counts per voxel)."""
    return measure(core(pattern, background)).sigma


def measure(around: Core) -> Oversampling:
    """Oversampling from the extent of the autocorrelation, calibrated to the extent of the object at half amplitude.

    On simulated crystals 3 % too large, with a standard deviation of 5 % (12 % where the phase exceeds 0.8 rad rms).
    """
    correlation = np.abs(scipy.fft.rfftn(around.intensity, workers=WORKERS))
    correlation /= correlation.max()
    noise = float(np.median(correlation[(slice(None, None, 2),) * correlation.ndim]))
    sides = enumerate(around.intensity.shape)
    sigma, levels = zip(*(_sigma(_profile(correlation, axis), side, noise) for axis, side in sides), strict=True)
    return Oversampling(sigma, noise, levels)


def undersampled(after: Sequence[float], bins: Sequence[int]) -> tuple[str, ...]:
    """A doubt for each axis of a grid that is sampled below 2. after: sigma per axis; bins: that it was binned by."""
    doubts = []
    for axis, (sigma, bin_, name) in enumerate(zip(after, bins, AXES[-len(after) :], strict=True)):
        if sigma >= LEAST:
            continue
        if sigma * bin_ >= LEAST:
            remedy = "bin it less"
        elif name == "frames":
            remedy = f"rock in steps {sigma / 2.5:.2f} times as large"
        else:
            remedy = f"move the detector to {2.5 / sigma:.2g} times the distance, or bin its pixels less"
        doubts.append(
            f"axis {axis} ({name}) is sampled at {sigma:.2f} voxels per fringe: below {LEAST:g} the pattern does "
            f"not determine the object; {remedy}"
        )
    return tuple(doubts)


def overestimate(level: float) -> float:
    """By how much 2 N / extent is too large where the autocorrelation is cut at `level` of its maximum."""
    return ROUNDED / (1.0 - AMPLITUDE * float(np.power(level, POWER)))


def binning_for(
    sigma: tuple[float, ...],
    fits: tuple[bool, ...] | None = None,
    target: float = 3.0,
    least: float = 2.3,
    most: float = 5.4,
) -> tuple[int, ...]:
    """Integer bin per axis whose sigma / bin lies nearest to `target` and is never below `least` (unless sigma itself
    is).

    fits: axes whose measured range fits the model's grid as it is. Binning them gains no range, so they are binned only
    above `most`, the largest sigma that models are trained for.
    """
    return tuple(
        1 if fit and s <= most else min(range(1, max(1, int(s / least)) + 1), key=lambda bin_: abs(s / bin_ - target))
        for s, fit in zip(sigma, fits or (False,) * len(sigma), strict=True)
    )


def _profile(correlation: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Largest |AC| at each distance from the centre along an axis. correlation: uncentred, half of it (rfftn):
    |AC| is even.
    """
    profile: NDArray[np.float32] = correlation.max(axis=tuple(a for a in range(correlation.ndim) if a != axis))
    if axis == correlation.ndim - 1:
        return profile
    return np.maximum(profile, np.roll(profile[::-1], 1))[: len(profile) // 2 + 1]


def _sigma(profile: NDArray[np.float32], size: int, noise: float) -> tuple[float, float]:
    """Calibrated 2 N / extent and the level of the cut. profile: (size // 2 + 1,) from the centre outwards.

    Levels at which the profile still runs along a pedestal are passed over, and the last of them is the pedestal's
    height, which is taken off the level of the cut.
    """
    pedestal, level = 0.0, LEVELS[-1]
    for level in LEVELS:
        if level < NOISE_FACTOR * noise:
            continue
        reach = _reach(profile, level, size)
        fall = reach / _reach(profile, 2 * level, size)
        steep = reach < size / 2 and STEEP * (fall - 1) < overestimate(2 * level) / overestimate(level) - 1
        if level >= PEDESTAL or steep:
            break
        pedestal = level
    own = max(LEAST_LEVEL, level - pedestal)
    return size / _reach(profile, level, size) / overestimate(own), level


def _reach(profile: NDArray[np.float32], level: float, size: int) -> float:
    """Distance from the centre at which the profile first falls below `level`, to a fraction of a voxel."""
    below = np.flatnonzero(profile < level)
    if below.size == 0:
        return size / 2  # the autocorrelation fills the box: sigma is 2 or less
    k = int(below[0])
    return k - 1 + float((profile[k - 1] - level) / (profile[k - 1] - profile[k]))
