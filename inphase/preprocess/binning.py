"""Sum-binning of the intensity: counts stay Poisson-distributed. Amplitudes are never summed."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inphase import slabs
from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern
from inphase.preprocess.blocks import block_sums
from inphase.preprocess.report import Number, StepReport

LEAST_VALID = 0.5  # of a bin's voxels, and of its counts


def binned(
    pattern: Pattern, bins: tuple[int, ...], expected: NDArray[np.float32] | None = None
) -> tuple[Pattern, StepReport]:
    """Sum boxes of `bins` voxels. The shape must be a multiple of `bins`.

    expected: same shape, counts that masked voxels probably had, NaN where nothing is known of them. A bin of which at
    least half of the voxels and at least half of the counts were measured is valid: expected counts complete it, and
    where there are none its sum is scaled up to the full bin. Plain scaling would be wrong by a factor of two and more
    where a gap's edge halves a bin on the slope of the peak. Any other bin is PADDING if most of its unknown voxels are
    padding, else MASKED.
    """
    if any(n % b for n, b in zip(pattern.shape, bins, strict=True)):
        raise DataError(f"a pattern of {pattern.shape} voxels cannot be binned by {bins}: crop it to a multiple first")
    full = int(np.prod(bins))
    if full == 1:
        return pattern, StepReport("binning", {"bins": list(bins), "completed_bins": 0, "masked_bins": 0})
    summed = np.empty(tuple(n // b for n, b in zip(pattern.shape, bins, strict=True)), np.float32)
    mask = np.empty(summed.shape, np.uint8)

    def bin_planes(part: slice) -> int:
        planes = slice(part.start * bins[0], part.stop * bins[0])
        guess = None if expected is None else expected[planes]
        summed[part], mask[part], completed = _binned(pattern.intensity[planes], pattern.mask[planes], bins, guess)
        return completed

    completed = sum(slabs.over(bin_planes, len(mask), full * mask[0].size))
    numbers: dict[str, Number] = {
        "bins": list(bins),
        "completed_bins": completed,
        "masked_bins": int((mask == MaskState.MASKED).sum()),
    }
    geometry = pattern.geometry
    if geometry is not None:  # the DC voxel moves from N // 2 to the middle of the bin that becomes it
        middle = [(n // b // 2) * b + (b - 1) / 2 - n // 2 for n, b in zip(pattern.shape, bins, strict=True)]
        geometry = geometry.moved(tuple(middle)).binned(bins)
    return replace(pattern, intensity=summed, mask=mask, geometry=geometry), StepReport("binning", numbers)


def _binned(
    intensity: NDArray[np.float32],
    states: NDArray[np.uint8],
    bins: tuple[int, ...],
    expected: NDArray[np.float32] | None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
    """Sums and mask of some planes of bins, and how many valid bins are not measured whole."""
    full = int(np.prod(bins))
    known = block_sums(states == MaskState.VALID, bins)
    padding = block_sums(states == MaskState.PADDING, bins)
    counts = block_sums(intensity, bins)  # zero where not valid
    total, covered = counts, known
    if expected is not None:
        guessed = (states == MaskState.MASKED) & np.isfinite(expected)
        total = counts + block_sums(np.where(guessed, expected, np.float32(0.0)), bins)
        covered = known + block_sums(guessed, bins)
    measured = (counts >= LEAST_VALID * total) | (total <= 0)  # noise after subtraction may sum to less than nothing
    enough = (known >= LEAST_VALID * full) & measured
    mask = np.where(2 * padding >= full - known, np.uint8(MaskState.PADDING), np.uint8(MaskState.MASKED))
    mask[enough] = MaskState.VALID
    summed = np.where(enough, total * (full / np.maximum(covered, 1.0)), 0.0).astype(np.float32)
    return summed, mask, int((enough & (known < full)).sum())
