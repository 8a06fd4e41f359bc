"""Sum-binning of the intensity: counts stay Poisson-distributed. Amplitudes are never summed."""

from dataclasses import replace

import numpy as np

from inphase.errors import DataError
from inphase.pattern import MaskState, Pattern
from inphase.preprocess.blocks import block_sums
from inphase.preprocess.report import Number, StepReport

LEAST_VALID = 0.5  # of a bin's voxels


def binned(pattern: Pattern, bins: tuple[int, int, int]) -> tuple[Pattern, StepReport]:
    """Sum boxes of `bins` voxels. The shape must be a multiple of `bins`.

    A bin with at least half of its voxels valid is valid: its sum is scaled up to the full bin. Any other is PADDING if
    most of its unknown voxels are padding, else MASKED.
    """
    if any(n % b for n, b in zip(pattern.shape, bins, strict=True)):
        raise DataError(f"a pattern of {pattern.shape} voxels cannot be binned by {bins}: crop it to a multiple first")
    full = int(np.prod(bins))
    if full == 1:
        return pattern, StepReport("binning", {"bins": list(bins), "scaled_bins": 0, "masked_bins": 0})
    valid = pattern.valid
    known = block_sums(valid, bins)
    padding = block_sums(pattern.mask == MaskState.PADDING, bins)
    counts = block_sums(pattern.intensity, bins)  # zero where not valid
    enough = known >= LEAST_VALID * full
    mask = np.where(2 * padding >= full - known, np.uint8(MaskState.PADDING), np.uint8(MaskState.MASKED))
    mask[enough] = MaskState.VALID
    scaled = np.where(enough, counts * (full / np.maximum(known, 1.0)), 0.0).astype(np.float32)
    numbers: dict[str, Number] = {
        "bins": list(bins),
        "scaled_bins": int((enough & (known < full)).sum()),
        "masked_bins": int((mask == MaskState.MASKED).sum()),
    }
    geometry = pattern.geometry
    if geometry is not None:  # the DC voxel moves from N // 2 to the middle of the bin that becomes it
        middle = [(n // b // 2) * b + (b - 1) / 2 - n // 2 for n, b in zip(pattern.shape, bins, strict=True)]
        geometry = geometry.moved((middle[0], middle[1], middle[2])).binned(bins)
    return replace(pattern, intensity=scaled, mask=mask, geometry=geometry), StepReport("binning", numbers)
