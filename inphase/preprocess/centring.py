"""Where the Bragg peak is, and the window of the detector that brings it to the centre of the model grid."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase.errors import DataError
from inphase.pattern import Pattern
from inphase.preprocess.blocks import block_sums
from inphase.preprocess.report import Number, StepReport

Reference = Literal["peak", "mass", "array"]
BLOCK = 4  # voxels: the peak is first looked for in sums over blocks, where noise does not decide
REACH = 12  # voxels around the brightest block within which the peak is refined
SMOOTH = 1.0  # voxels, Gaussian
MASS_LEVEL = 0.05  # of the maximum: what counts in the centre of mass; below it tails cut off by the border pull it


@dataclass(frozen=True)
class Window:
    """A box of the measured grid that becomes the model grid.

    start: first measured voxel (may be negative). bins: measured voxels per grid voxel. shape: of the grid.
    centre: measured voxel that was centred. measured: share of each axis of the window that was measured.
    """

    start: tuple[int, int, int]
    bins: tuple[int, int, int]
    shape: tuple[int, int, int]
    centre: tuple[int, int, int]
    measured: tuple[float, float, float]

    def report(self, reference: Reference) -> StepReport:
        """The numbers of the step."""
        numbers: dict[str, Number] = {"reference": reference, "centre": list(self.centre), "start": list(self.start)}
        return StepReport("centring", {**numbers, "measured_share": list(self.measured)})


def find_peak(pattern: Pattern) -> tuple[int, int, int]:
    """Voxel of the brightest spot, on lightly smoothed data; gaps are bridged, so that it may lie in one."""
    coarse = block_sums(pattern.intensity, (BLOCK, BLOCK, BLOCK))
    block = np.unravel_index(int(coarse.argmax()), coarse.shape)
    middle = [int(b) * BLOCK + BLOCK // 2 for b in block]
    box = _box(pattern, (middle[0], middle[1], middle[2]), [REACH] * 3)
    smooth = _smoothed(pattern, box)
    spot = np.unravel_index(int(smooth.argmax()), smooth.shape)
    a, b, c = (int(i) + s.start for i, s in zip(spot, box, strict=True))
    return a, b, c


def window(
    pattern: Pattern,
    bins: tuple[int, int, int],
    shape: tuple[int, int, int],
    reference: Reference = "peak",
    sigma: tuple[float, float, float] = (2.0, 2.0, 2.0),
    peak: tuple[int, int, int] | None = None,
) -> Window:
    """The window of shape * bins measured voxels that brings the reference to the DC voxel N // 2 of the binned grid.

    reference: "peak" lays the window so that the DC voxel collects the brightest box of `bins` voxels: then no other voxel
    of the binned grid exceeds it. The default, because the maximum is measured even where tails are cut off by the border
    or by gaps, and a neighbour's tail moves the centre of mass. "mass" takes the centre of mass of what is above 5 % of the
    maximum around the peak: a smaller ramp for strongly strained crystals whose peak is split. "array" keeps the centre.
    sigma: oversampling; the first minimum lies that many voxels from the peak. peak: as of `find_peak`.

    Nothing wraps: the window may reach beyond the measurement. Raises DataError where less than half of the
    central fringe's half-width lies between peak and border: then the true maximum may lie outside.
    """
    if reference == "array":
        return _laid(pattern, bins, shape, (pattern.shape[0] // 2, pattern.shape[1] // 2, pattern.shape[2] // 2))
    spot = find_peak(pattern) if peak is None else peak
    for axis, (p, n, s) in enumerate(zip(spot, pattern.shape, sigma, strict=True)):
        if min(p, n - 1 - p) < s / 2:
            raise DataError(
                f"the Bragg peak (voxel {spot}) lies at the border of axis {axis}, {min(p, n - 1 - p)} voxels from it, and a "
                f"fringe is {s:.1f} voxels wide: its maximum may be outside. Measure again with the peak inside the range"
            )
    corner = _brightest(pattern, bins, spot) if reference == "peak" else _mass(pattern, bins, spot, sigma)
    return _laid(pattern, bins, shape, corner)


def _laid(
    pattern: Pattern, bins: tuple[int, int, int], shape: tuple[int, int, int], corner: tuple[int, int, int]
) -> Window:
    """The window whose DC voxel begins at the measured voxel `corner`."""
    a, b, c = (k - n // 2 * step for k, n, step in zip(corner, shape, bins, strict=True))
    share = [
        max(0, min(start + n * step, size) - max(start, 0)) / (n * step)
        for start, n, step, size in zip((a, b, c), shape, bins, pattern.shape, strict=True)
    ]
    i, j, k = (p + (step - 1) // 2 for p, step in zip(corner, bins, strict=True))
    return Window((a, b, c), bins, shape, (i, j, k), (share[0], share[1], share[2]))


def _brightest(pattern: Pattern, bins: tuple[int, int, int], spot: tuple[int, int, int]) -> tuple[int, int, int]:
    """First voxel of the brightest box of `bins` voxels around `spot`."""
    box = _box(pattern, spot, [REACH + b for b in bins])
    sums = _bridged(pattern, box)
    for axis, b in enumerate(bins):
        sums = np.lib.stride_tricks.sliding_window_view(sums, b, axis=axis).sum(axis=-1)
    found = np.unravel_index(int(sums.argmax()), sums.shape)
    a, b, c = (int(i) + s.start for i, s in zip(found, box, strict=True))
    return a, b, c


def _mass(
    pattern: Pattern, bins: tuple[int, int, int], spot: tuple[int, int, int], sigma: tuple[float, float, float]
) -> tuple[int, int, int]:
    """First voxel of the box of `bins` voxels whose middle is nearest to the centre of mass, within four fringes of the peak."""
    box = _box(pattern, spot, [int(4 * s) + 1 for s in sigma])
    weight = _bridged(pattern, box)
    weight = np.where(weight > MASS_LEVEL * weight.max(), weight, np.float32(0.0))
    mean = ndimage.center_of_mass(weight)
    a, b, c = (round(float(m) + s.start - (step - 1) / 2) for m, s, step in zip(mean, box, bins, strict=True))
    return a, b, c


def _box(pattern: Pattern, spot: tuple[int, int, int], reach: list[int]) -> tuple[slice, slice, slice]:
    a, b, c = (slice(max(0, p - r), min(n, p + r + 1)) for p, r, n in zip(spot, reach, pattern.shape, strict=True))
    return a, b, c


def _bridged(pattern: Pattern, box: tuple[slice, slice, slice]) -> NDArray[np.float32]:
    """Intensity in a box, unknown voxels taken from the Gaussian mean of those around them."""
    valid = pattern.valid[box]
    return pattern.intensity[box] if valid.all() else np.where(valid, pattern.intensity[box], _smoothed(pattern, box))


def _smoothed(pattern: Pattern, box: tuple[slice, slice, slice]) -> NDArray[np.float32]:
    """Gaussian mean of the valid voxels in a box."""
    weight = pattern.valid[box].astype(np.float32)
    spread = ndimage.gaussian_filter(pattern.intensity[box] * weight, SMOOTH, mode="constant")
    share = ndimage.gaussian_filter(weight, SMOOTH, mode="constant")
    smooth: NDArray[np.float32] = np.where(share > 1e-3, spread / np.maximum(share, np.float32(1e-3)), np.float32(0.0))
    return smooth
