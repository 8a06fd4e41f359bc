"""What a mask hides of a measurement: files do not say whether 1 is a bad pixel or a good one, and the light does."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from inphase.errors import DataError
from inphase.pattern import MOST_MASKED
from inphase.preprocess import marks
from inphase.preprocess.corrections import Response

LARGE: Final = 0.25  # of the voxels: a smaller mask may hide a beam stop, or a saturated peak
MOST_LIGHT: Final = 0.9  # no mask of bad pixels hides as much, with the brightest pixel and so many voxels
_LOOKED_AT: Final = 2**24  # voxels; of more, frames are skipped
_LEAST_LIT: Final = 16  # pixels, beside single ones: fewer tell nothing of where the light is


@dataclass(frozen=True)
class Hidden:
    """Shares of the voxels and of the light under a mask. light: NaN where there is next to none. peak: whether the
    brightest pixel is among them; single bright pixels are not looked at.
    """

    voxels: float
    light: float
    peak: bool

    @classmethod
    def of(cls, array: NDArray[Any], bad: NDArray[np.bool_], response: Response | None = None) -> "Hidden":
        """array: (n, y, x), or (y, x). bad: the array's shape, or of one frame. response: of the detector's pixels,
        by which the light of raw frames is told from their offset.
        """
        voxels = float(np.count_nonzero(bad) / max(1, bad.size))
        if array.dtype.kind not in "uif" or array.ndim not in (2, 3) or not array.size:
            return cls(voxels, math.nan, peak=False)
        step = -(-array.size // _LOOKED_AT)
        some = (array if array.ndim == 3 else array[None])[::step]
        of_each = np.broadcast_to(bad, array.shape if array.ndim == 3 else (1, *array.shape))[::step]
        end = marks.counter_end(array.dtype)
        if len(some) < marks.LEAST_FRAMES:  # in which a pixel's mark is no chance: here each mark is taken for one
            measuring = ~np.isin(some, marks.COUNTER_ENDS[marks.COUNTER_ENDS >= marks.LEAST_END]).any(axis=0)
        else:
            measuring = ~marks.find(some, float(some.max())).pixels
        total, under = np.zeros(some.shape[1:]), np.zeros(some.shape[1:])
        for frame, hidden in zip(some, of_each, strict=True):
            counts = frame if response is None else response.counts(frame)
            light = np.where(measuring & (frame > 0) & (frame < end), counts, 0).astype(np.float64)
            total += light
            under += np.where(hidden, light, 0)
        smooth = np.where(total > 0, median_filter(total, 3), 0)
        share = np.divide(under, total, out=np.zeros_like(total), where=total > 0)
        if np.count_nonzero(smooth) < _LEAST_LIT:
            return cls(voxels, math.nan, peak=False)
        brightest = int(smooth.argmax())
        return cls(voxels, float((smooth * share).sum() / smooth.sum()), bool(share.flat[brightest] > 1 / 2))

    @property
    def inverted(self) -> bool:
        """Whether it can only be one of good pixels."""
        if self.voxels > MOST_MASKED:
            return not self.light < 1 / 2  # else what is left is where the light is
        return self.voxels > LARGE and self.light > MOST_LIGHT and self.peak


def account(array: NDArray[Any], bad: NDArray[np.bool_], where: str, response: Response | None = None) -> str:
    """What is masked, and why that is taken to be meant, as half a sentence. response: as of `Hidden.of`.

    Raises DataError for a mask of good pixels: one that hides next to everything and most of the light, or a quarter
    of the voxels and more with the brightest pixel and next to all light.
    """
    found = Hidden.of(array, bad, response)
    light = "" if math.isnan(found.light) else f", which hold {found.light:.1%} of the light"
    if found.inverted:
        raise DataError(
            f"{where}: masks {found.voxels:.1%} of the voxels{light}"
            f"{', and its brightest pixel' * found.peak}: what is not zero is masked here. Is it one of good pixels, "
            "and to be inverted? Write mask == 0 in its place"
        )
    return f"what is not zero is masked: {found.voxels:.1%} of the voxels{light}"
