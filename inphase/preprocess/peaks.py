"""Whether another crystal shines into the measurement: a second peak with light of its own, away from the Bragg peak.

The far field of one crystal falls off from its peak, along the streaks of its facets and over speckles of a fringe's
width; strain and domains split the peak within a few fringes. Light that rises again farther out comes from somewhere
else. So distances are in fringes, which are `sigma` voxels wide: the same for every crystal, detector and step.

Not told apart: two crystals within `NEAR` fringes of each other from one that is split; a crystal whose parts differ so
much in lattice or orientation that its peak splits by more than that from two crystals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.pattern import Pattern
from inphase.preprocess.blocks import block_sums, valid_sums
from inphase.preprocess.centring import Window
from inphase.preprocess.pixels import masked
from inphase.preprocess.report import Number, StepReport

Voxel = tuple[int, ...]

NEAR = 4.0  # fringes: within it a second maximum belongs to the first
RADIUS = 2.0  # fringes: the light within it is a peak's own
SMOOTH = 0.8  # fringes, Gaussian: wider than a speckle, so that dark lines between fringes part nothing
RISE = 2.0  # times the brightest way down from it to the Bragg peak
LEAST_SHARE = 0.02  # of the light of both peaks; what rises beyond NEAR from one simulated crystal holds up to 0.001
SIGNIFICANT = 5.0  # standard deviations of its counts
KNOWN = 0.2  # of the kernel's weight: with less a place is unknown
CANDIDATES = 8  # brightest maxima looked at
# share inside the window from which the object is not the crystal's: at 0.1 its amplitude still correlates to 0.96
RUINOUS = 0.15
ALIEN = 3.5  # fringes that are masked around a second peak: short of NEAR, so that the Bragg peak keeps its own


@dataclass(frozen=True)
class SecondPeak:
    """voxel: of the measured array, its brightest. share: of the light of both peaks.
    distance: from the Bragg peak in fringes.
    """

    voxel: Voxel
    share: float
    distance: float


@dataclass(frozen=True)
class _Blocks:
    """The measurement in blocks of about a fringe. light: counts above background. known: valid voxels.
    sides: voxels per block.
    """

    light: NDArray[np.float32]
    known: NDArray[np.float32]
    sides: Voxel
    sigma: tuple[float, ...]

    def distance(self, voxel: tuple[float, ...]) -> NDArray[np.float32]:
        """From `voxel` to the middle of every block, in fringes."""
        axes = np.ogrid[tuple(slice(n) for n in self.light.shape)]
        squares = (
            ((axis * b + (b - 1) / 2 - v) / s) ** 2
            for axis, b, v, s in zip(axes, self.sides, voxel, self.sigma, strict=True)
        )
        return np.sqrt(sum(squares, np.zeros((), np.float32))).astype(np.float32)

    def middle(self, block: Voxel) -> Voxel:
        """The voxel in the middle of a block."""
        return tuple(n * b + b // 2 for n, b in zip(block, self.sides, strict=True))

    def envelope(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Light per block smoothed over a fringe, and where it is unknown."""
        width = [SMOOTH * s / b for s, b in zip(self.sigma, self.sides, strict=True)]
        weight = ndimage.gaussian_filter(self.known, width, mode="nearest")
        spread = ndimage.gaussian_filter(self.light, width, mode="nearest")
        unknown = weight < KNOWN * float(np.prod(self.sides))
        smooth = np.where(unknown, np.float32(0.0), spread / np.maximum(weight, np.float32(1e-6)))
        return smooth.astype(np.float32), unknown


def second(pattern: Pattern, peak: Voxel, sigma: tuple[float, ...], background: float = 0.0) -> SecondPeak | None:
    """The second peak with the most light, None where there is none.

    pattern: the whole measurement. peak: voxel of the Bragg peak. sigma: oversampling per axis. background: counts per
    voxel.
    """
    sides = tuple(max(1, round(s)) for s in sigma)
    counts, known = block_sums(pattern.intensity, sides), valid_sums(pattern.mask, sides)
    blocks = _Blocks(counts - np.float32(background) * known, known, sides, sigma)
    away = blocks.distance(peak)
    envelope, unknown = blocks.envelope()
    own = float(blocks.light[away <= RADIUS].sum(dtype=np.float64))
    tops = (envelope == ndimage.maximum_filter(envelope, 3)) & (away > NEAR) & (envelope > 0)
    found = None
    for block in np.argwhere(tops)[np.argsort(-envelope[tops])[:CANDIDATES]]:
        place = tuple(int(i) for i in block)
        around = blocks.distance(blocks.middle(place)) <= RADIUS
        light = float(blocks.light[around].sum(dtype=np.float64))
        share = light / (light + max(own, 0.0))
        if share < max(LEAST_SHARE, found.share if found else 0.0):
            continue
        if light < SIGNIFICANT * float(np.sqrt(max(counts[around].sum(dtype=np.float64), 1.0))):
            continue
        level = envelope[place] / RISE
        labels, _ = ndimage.label((envelope > level) | unknown)
        if not (labels[away <= RADIUS] == labels[place]).any():
            found = SecondPeak(_brightest(pattern, blocks.middle(place), sigma), share, float(away[place]))
    return found


def removed(
    pattern: Pattern, peak: Voxel, sigma: tuple[float, ...], background: float, most: int, origin: Voxel
) -> tuple[Pattern, StepReport]:
    """Mask the second peak, and the next, until none is left or `most` are gone. Arguments as in `second`, `report`."""
    numbers: dict[str, Number] = {}
    voxels, spots = 0, 0
    for number in range(1, most + 1):
        found = second(pattern, peak, sigma, background)
        if found is None:
            break
        axes = np.ogrid[tuple(slice(n) for n in pattern.shape)]
        away = sum(((axis - v) / s) ** 2 for axis, v, s in zip(axes, found.voxel, sigma, strict=True))
        spot = np.asarray(away <= ALIEN**2)
        voxels, spots = voxels + int((spot & pattern.valid).sum()), number
        numbers[f"spot_{number}"] = [v + o for v, o in zip(found.voxel, origin, strict=True)]
        pattern = masked(pattern, spot)
    return pattern, StepReport("aliens", {"spots": spots, "voxels": voxels, **numbers})


def report(found: SecondPeak | None, peak: Voxel, window: Window, origin: Voxel) -> StepReport:
    """The step, with what it means for the result in `window`. peak: the Bragg peak's voxel.
    origin: of the pattern in its file.
    """
    if found is None:
        return StepReport("second_peak", {"share": 0.0})
    inside = all(
        start <= v < start + n * b
        for start, v, n, b in zip(window.start, found.voxel, window.shape, window.bins, strict=True)
    )
    voxel, bragg = (tuple(a + b for a, b in zip(at, origin, strict=True)) for at in (found.voxel, peak))
    numbers: dict[str, Number] = {
        "voxel": list(voxel),
        "share": found.share,
        "distance_fringes": found.distance,
        "inside": str(inside).lower(),
    }
    where = "inside the window" if inside else "outside of the window that was cut out"
    text = (
        f"a second peak at voxel {voxel} of the measurement, {found.distance:.0f} fringes from the one at {bragg} "
        f"and {where}, holds {found.share:.0%} of the light of both: another crystal in the beam, or a spot on the "
        "detector; crop the measurement to the peak of the crystal that is meant, or mask the other one "
        "(preprocess='auto: aliens()')"
    )
    if inside and found.share >= RUINOUS:
        return StepReport("second_peak", numbers, faults=(text,))
    return StepReport("second_peak", numbers, doubts=(text,))


def _brightest(pattern: Pattern, middle: Voxel, sigma: tuple[float, ...]) -> Voxel:
    """The brightest voxel within a fringe and a half of `middle`."""
    box = tuple(slice(max(0, m - round(1.5 * s)), m + round(1.5 * s) + 1) for m, s in zip(middle, sigma, strict=True))
    part = pattern.intensity[box]
    spot = np.unravel_index(int(part.argmax()), part.shape)
    return tuple(int(p) + s.start for p, s in zip(spot, box, strict=True))
