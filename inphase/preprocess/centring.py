"""Where the Bragg peak is, and the window of the detector that brings it to the centre of the model grid."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.errors import DataError
from inphase.pattern import AXES
from inphase.preprocess.core import REACH, Core
from inphase.preprocess.core import around as box_around
from inphase.preprocess.report import Number, StepReport

Reference = Literal["peak", "mass", "array"]
CUT = 2.0  # fringes from the maximum to the border: with less, three of four images of simulated crystals are wrong
MASS_LEVEL = 0.05  # of the maximum: what counts in the centre of mass; below it tails cut off by the border pull it


@dataclass(frozen=True)
class Window:
    """A box of the measured grid that becomes the model grid.

    start: first measured voxel (may be negative). bins: measured voxels per grid voxel. shape: of the grid.
    centre: measured voxel that was centred. measured: share of each axis of the window that was measured.
    """

    start: tuple[int, ...]
    bins: tuple[int, ...]
    shape: tuple[int, ...]
    centre: tuple[int, ...]
    measured: tuple[float, ...]

    def moved(self, voxels: tuple[int, ...]) -> "Window":
        """The same window of a larger array, in which the measured grid begins at `voxels`."""
        start, centre = (tuple(a + b for a, b in zip(at, voxels, strict=True)) for at in (self.start, self.centre))
        return replace(self, start=start, centre=centre)

    def report(self, reference: Reference | Literal["voxel"], doubts: tuple[str, ...] = ()) -> StepReport:
        """The numbers of the step. reference: what was centred, "voxel" where a caller has named one. doubts: of the
        peak (`cut`).
        """
        numbers: dict[str, Number] = {"reference": reference, "centre": list(self.centre), "start": list(self.start)}
        return StepReport("centring", {**numbers, "measured_share": list(self.measured)}, doubts=doubts)


def window(
    measured: tuple[int, ...],
    around: Core,
    bins: tuple[int, ...],
    shape: tuple[int, ...],
    reference: Reference = "peak",
    sigma: tuple[float, ...] | None = None,
    origin: tuple[int, ...] | None = None,
    voxel: tuple[int, ...] | None = None,
) -> Window:
    """The window of shape * bins measured voxels that brings the reference to the DC voxel N // 2 of the binned grid.

    reference: "peak" lays the window so that the DC voxel collects the brightest box of `bins` voxels: then no other
    voxel of the binned grid exceeds it. The default, because the maximum is measured even where tails are cut off by
    the border or by gaps, and a neighbour's tail moves the centre of mass. "mass" takes the centre of mass of what is
    above 5 % of the maximum around the peak: a smaller ramp for strongly strained crystals whose peak is split. "array"
    keeps the centre.
    measured: shape of the measurement. around: the surroundings of its peak. shape: of the model grid.
    sigma: oversampling; the first minimum lies that many voxels from the peak; by default 2.
    origin: of the measurement in its file.
    voxel: of the file, in the place of a reference.

    Nothing wraps: the window may reach beyond the measurement. Raises DataError where less than half of the
    central fringe's half-width lies between peak and border: then the true maximum may lie outside.
    """
    if voxel is not None:
        return _laid(measured, bins, shape, _first(voxel, measured, bins, origin or (0,) * len(measured)))
    if reference == "array":
        return _laid(measured, bins, shape, tuple(n // 2 for n in measured))
    spot = around.peak
    sigma, origin = sigma or (2.0,) * len(spot), origin or (0,) * len(spot)
    for axis, (p, n, s) in enumerate(zip(spot, measured, sigma, strict=True)):
        if min(p, n - 1 - p) < s / 2:
            in_file = tuple(a + b for a, b in zip(spot, origin, strict=True))
            raise DataError(
                f"the Bragg peak (voxel {in_file}) lies at the border of axis {axis}, {min(p, n - 1 - p)} voxels from "
                f"it (voxels {origin[axis]} to {origin[axis] + n - 1} were measured), and a fringe is {s:.1f} voxels "
                "wide: its maximum may be outside. Measure again with the peak inside the range"
            )
    corner = _brightest(around, bins) if reference == "peak" else _mass(around, bins, sigma)
    return _laid(measured, bins, shape, corner)


def cut(
    spot: tuple[int, ...], measured: tuple[int, ...], sigma: tuple[float, ...], origin: tuple[int, ...]
) -> tuple[str, ...]:
    """A doubt for each axis along which the border of the measurement cuts the Bragg peak.

    spot: the peak's voxel. measured, sigma, origin: as `window` has them. A fringe is sigma voxels wide; within
    two of them lie the central maximum and the next.
    """
    doubts = []
    for axis, (p, n, s, name) in enumerate(zip(spot, measured, sigma, AXES[-len(spot) :], strict=True)):
        near = min(p, n - 1 - p)
        if near < CUT * s:
            doubts.append(
                f"the border of axis {axis} ({name}) cuts the Bragg peak: it is measured to {near} voxels from its "
                f"maximum (at {p + origin[axis]}), and a fringe is {s:.1f} voxels wide; measure again with the peak in "
                "the middle of the range, or crop less"
            )
    return tuple(doubts)


def _laid(
    measured: tuple[int, ...],
    bins: tuple[int, ...],
    shape: tuple[int, ...],
    corner: tuple[int, ...],
) -> Window:
    """The window whose DC voxel begins at the measured voxel `corner`."""
    first = tuple(k - n // 2 * step for k, n, step in zip(corner, shape, bins, strict=True))
    share = tuple(
        max(0, min(start + n * step, size) - max(start, 0)) / (n * step)
        for start, n, step, size in zip(first, shape, bins, measured, strict=True)
    )
    centre = tuple(p + (step - 1) // 2 for p, step in zip(corner, bins, strict=True))
    return Window(first, bins, shape, centre, share)


def _first(
    voxel: tuple[int, ...], measured: tuple[int, ...], bins: tuple[int, ...], origin: tuple[int, ...]
) -> tuple[int, ...]:
    """First voxel of the box of `bins` voxels about a voxel of the file. DataError where that was not measured."""
    if len(voxel) != len(measured):
        raise DataError(f"centring(voxel={'x'.join(map(str, voxel))}): the measurement has {len(measured)} axes")
    inside = tuple(v - o for v, o in zip(voxel, origin, strict=True))
    if not all(0 <= v < n for v, n in zip(inside, measured, strict=True)):
        ends = tuple(o + n - 1 for o, n in zip(origin, measured, strict=True))
        raise DataError(f"centring: voxel {voxel} was not measured, which is from {origin} to {ends}")
    return tuple(v - (step - 1) // 2 for v, step in zip(inside, bins, strict=True))


def _brightest(around: Core, bins: tuple[int, ...]) -> tuple[int, ...]:
    """First voxel of the brightest box of `bins` voxels near the peak."""
    sums, start = _near(around, tuple(REACH + b for b in bins))
    for axis, b in enumerate(bins):
        sums = np.lib.stride_tricks.sliding_window_view(sums, b, axis=axis).sum(axis=-1)
    found = np.unravel_index(int(sums.argmax()), sums.shape)
    return tuple(int(i) + s for i, s in zip(found, start, strict=True))


def _mass(around: Core, bins: tuple[int, ...], sigma: tuple[float, ...]) -> tuple[int, ...]:
    """First voxel of the box of `bins` voxels whose middle is nearest to the centre of mass,
    within four fringes of the peak.
    """
    weight, start = _near(around, tuple(int(4 * s) + 1 for s in sigma))
    weight = np.where(weight > MASS_LEVEL * weight.max(), weight, np.float32(0.0))
    mean = ndimage.center_of_mass(weight)
    return tuple(round(float(m) + s - (step - 1) / 2) for m, s, step in zip(mean, start, bins, strict=True))


def _near(around: Core, reach: tuple[int, ...]) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """The intensity within `reach` of the peak, and its first voxel in the pattern."""
    inside = tuple(p - s for p, s in zip(around.peak, around.start, strict=True))
    box = box_around(inside, reach, around.intensity.shape)
    return around.intensity[box], tuple(part.start + s for part, s in zip(box, around.start, strict=True))
