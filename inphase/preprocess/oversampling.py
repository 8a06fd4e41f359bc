"""How finely the fringes are sampled, from the autocorrelation of the object, and the binning that follows from it.

sigma = N / extent of the object per axis. The autocorrelation |IFFT(I)| is twice as long as the object, but it fades
towards its tips: near them it is the overlap of two opposite corners, edges or faces, which shrinks like a power 3, 2 or 1
of the distance. Cut at a share t of its maximum, it therefore looks too short and 2 N / extent too large, by 1.3 at 5 % and
1.45 at 10 % for faceted crystals in any orientation (more than for a cube along the axes, 1.11; a sphere has 1.37). The
overestimate follows 1 / (1 - A t^P), and dividing by it brings every t to the same sigma.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

from inphase.pattern import Pattern
from inphase.preprocess.centring import find_peak
from inphase.preprocess.report import Number, StepReport

BOX = 128  # voxels around the peak that are looked at: cropping keeps sigma, and drops the noise of the far field
# Fitted to clipped polyhedra with strain (tests/inphase/preprocess/test_oversampling.py): what `measure` divides by.
AMPLITUDE = 0.88
POWER = 0.43
# Extent of a reconstruction's support (half amplitude) over that of the ideal polyhedron, whose sharp corners no
# measurement resolves: 0.986 in noise-free simulation, 0.9 to 0.98 in reconstructions of two real crystals.
ROUNDED = 0.95
LEVELS = (0.05, 0.07, 0.1)  # lower drowns in diffuse scattering of real crystals, higher feels strain
HIGH_LEVELS = (0.15, 0.2, 0.3, 0.5)  # for noisy patterns, first the lowest above the noise
NOISE_FACTOR = (
    5.0  # times the median |AC|, which is 1.18 sigma of the noise: its maximum over 128^3 voxels is 4.6 times
)
FILL = 2.0  # voxels: width of the Gaussian that bridges masked voxels


@dataclass(frozen=True)
class Oversampling:
    """sigma per axis with what it was read from. `noise`: median |AC| over its maximum; levels: where it was cut."""

    sigma: tuple[float, float, float]
    noise: float
    levels: tuple[float, ...]

    def report(self, bins: tuple[int, int, int]) -> StepReport:
        """The numbers of the step."""
        after = [s / b for s, b in zip(self.sigma, bins, strict=True)]
        numbers: dict[str, Number] = {
            "measured": list(self.sigma),
            "bins": list(bins),
            "after": after,
            "noise": self.noise,
        }
        return StepReport("oversampling", {**numbers, "levels": list(self.levels)})


def estimate(pattern: Pattern, background: float = 0.0) -> tuple[float, float, float]:
    """sigma per axis of a pattern of any size, uncentred, with gaps; see `measure`."""
    return measure(pattern, background).sigma


def measure(pattern: Pattern, background: float = 0.0, peak: tuple[int, int, int] | None = None) -> Oversampling:
    """Oversampling from the extent of the autocorrelation, calibrated to the extent of the object at half amplitude.

    background: flat counts per voxel, which would raise the autocorrelation's centre. peak: voxel of the maximum, found
    where not given. Within 5 % for unstrained and 10 % for strained crystals (phase of 1 rad rms).
    """
    box = _around(pattern, find_peak(pattern) if peak is None else peak)
    correlation = np.abs(scipy.fft.rfftn(bridged(pattern, box) - np.float32(background), workers=-1))
    correlation /= correlation.max()
    noise = float(np.median(correlation[::2, ::2, ::2]))
    levels = tuple(level for level in LEVELS if level > NOISE_FACTOR * noise)
    if not levels:
        levels = next(((level,) for level in HIGH_LEVELS if level > NOISE_FACTOR * noise), HIGH_LEVELS[-1:])
    shape = [s.stop - s.start for s in box]
    a, b, c = (_sigma(_profile(correlation, axis), shape[axis], levels) for axis in range(3))
    return Oversampling((a, b, c), noise, levels)


def overestimate(level: float) -> float:
    """By how much 2 N / extent is too large where the autocorrelation is cut at `level` of its maximum."""
    return ROUNDED / (1.0 - AMPLITUDE * float(np.power(level, POWER)))


def binning_for(
    sigma: tuple[float, float, float],
    fits: tuple[bool, bool, bool] = (False, False, False),
    target: float = 3.0,
    least: float = 2.3,
    most: float = 5.0,
) -> tuple[int, int, int]:
    """Integer bin per axis whose sigma / bin lies nearest to `target` and is never below `least` (unless sigma itself is).

    fits: axes whose measured range fits the model's grid as it is. Binning them gains no range, so they are binned only
    above `most`, the largest sigma that models are trained for.
    """
    a, b, c = (
        1 if fit and s <= most else min(range(1, max(1, int(s / least)) + 1), key=lambda bin_: abs(s / bin_ - target))
        for s, fit in zip(sigma, fits, strict=True)
    )
    return a, b, c


def bridged(pattern: Pattern, box: tuple[slice, slice, slice]) -> NDArray[np.float32]:
    """Intensity in a box, masked voxels replaced by the Gaussian mean of the valid ones around them in their frame."""
    intensity, valid = pattern.intensity[box], pattern.valid[box]
    if valid.all():
        return intensity
    weight = valid.astype(np.float32)
    sigma = (0.0, FILL, FILL)
    spread = ndimage.gaussian_filter(intensity * weight, sigma, mode="constant")
    share = ndimage.gaussian_filter(weight, sigma, mode="constant")
    return np.where(valid, intensity, spread / np.maximum(share, np.float32(1e-6)))


def _around(pattern: Pattern, peak: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    a, b, c = (slice(max(0, p - BOX // 2), min(n, p + BOX // 2)) for p, n in zip(peak, pattern.shape, strict=True))
    return a, b, c


def _profile(correlation: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Largest |AC| at each distance from the centre along an axis. correlation: uncentred, half of it (rfftn): |AC| is even."""
    profile: NDArray[np.float32] = correlation.max(axis=tuple(a for a in range(3) if a != axis))
    if axis == 2:
        return profile
    return np.maximum(profile, np.roll(profile[::-1], 1))[: len(profile) // 2 + 1]


def _sigma(profile: NDArray[np.float32], size: int, levels: tuple[float, ...]) -> float:
    """Median over the levels of the calibrated 2 N / extent. profile: (size // 2 + 1,) from the centre outwards."""
    found = []
    for level in levels:
        below = np.flatnonzero(profile < level)
        if below.size:
            k = int(below[0])
            reach = k - 1 + float((profile[k - 1] - level) / (profile[k - 1] - profile[k]))
        else:
            reach = size / 2  # the autocorrelation fills the box: sigma is 2 or less
        found.append(size / reach / overestimate(level))
    return float(np.median(found))
