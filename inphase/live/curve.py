"""An unfinished rocking curve as a measurement: what has not been measured yet is unknown, not dark.

A frame has a place on the rocking axis, a whole number of steps from the first place of the scan. Places come in any
order. Beyond the first and the last measured one lies padding: the far field is small there, and nobody knows it.
Frames that are missing between them are masked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.scan import RawScan
from inphase.pattern import MaskState

OFF_GRID = 0.2  # of a step: how far from its place a frame may lie; a fringe is more than two steps wide


@dataclass(frozen=True)
class Curve:
    """What is known of a rocking curve before its frames come.

    template: one frame (rows, columns) that stands for all: its shape, its type, and the mask, geometry, saturation and
        detector maps that hold for the whole curve; its values are not looked at. The geometry is that of the finished
        curve, whose DC voxel is `frames // 2`; of an open end it is the one at place 0.
    frames: how many there will be; None for an open end.
    """

    template: RawScan
    frames: int | None = None

    @classmethod
    def of(cls, scan: RawScan, frames: int | None = None) -> "Curve":
        """The curve of which `scan` is a frame, (rows, columns) or (1, rows, columns).

        Raises DataError for a stack of several frames, and for frames that hold no real numbers.
        """
        array, mask = scan.array, scan.mask
        if array.ndim == 3 and len(array) == 1:
            array, mask = array[0], None if mask is None else mask[0]
        if array.ndim != 2 or array.dtype.kind not in "uif":
            raise DataError(
                f"the template of a curve is one frame (rows, columns) of real numbers, this is {scan.array.shape} of "
                f"{scan.array.dtype}: the frames themselves follow one by one"
            )
        return cls(replace(scan, array=array, mask=mask), frames)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        rows, columns = self.template.array.shape
        return rows, columns

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of a frame's numbers."""
        return self.template.array.dtype

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(rows, columns): the pixels that the mask of the template leaves."""
        if self.template.mask is None:
            return np.ones(self.shape, bool)
        return np.asarray(self.template.mask == MaskState.VALID)

    def refusal(self, place: int, most: int) -> str:
        """Why a place is outside of this curve, "" where it is inside. most: frames of a curve with an open end."""
        end = most if self.frames is None else self.frames
        if 0 <= place < end:
            return ""
        what = "the curve has an open end" if self.frames is None else f"the curve has {self.frames} frames"
        return f"place {place}: {what}, and its places are 0 to {end - 1}"

    def check(self, place: int, frame: NDArray[np.generic]) -> None:
        """Raises DataError for a frame that is none of this curve."""
        if frame.shape != self.shape or frame.dtype != self.dtype:
            raise DataError(
                f"frame {place} is {frame.shape} of {frame.dtype}, the frames of this curve are {self.shape} of "
                f"{self.dtype}"
            )
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(frame))[0])
            raise DataError(
                f"frame {place} holds {np.count_nonzero(~np.isfinite(frame))} values that are no numbers, the first at "
                f"pixel {where}: mask such pixels for the whole curve"
            )

    def scan(self, frames: Mapping[int, NDArray[np.generic]]) -> RawScan:
        """The measurement so far, (n, rows, columns): n frames of the finished curve, or up to the last one measured.

        When all frames are there it is the measurement that a file of them would be. Raises DataError without a frame,
        and for a frame that is none of this curve.
        """
        if not frames:
            raise DataError("no frame of the curve has been measured")
        places = sorted(frames)
        n = places[-1] + 1 if self.frames is None else self.frames
        if reason := self.refusal(places[0], n) or self.refusal(places[-1], n):
            raise DataError(reason)
        array = np.zeros((n, *self.shape), self.dtype)
        for place, frame in frames.items():
            self.check(place, frame)
            array[place] = frame
        told = f"{len(places)} of {n} frames, places {places[0]} to {places[-1]}"
        geometry = self.template.geometry
        if geometry is not None and self.frames is None:
            geometry = geometry.moved((n // 2, 0, 0))
        mask = self._mask(places, n)
        chosen = f"{self.template.chosen}; {told}" if self.template.chosen else told
        return replace(self.template, array=array, geometry=geometry, mask=mask, chosen=chosen)

    def _mask(self, places: list[int], n: int) -> NDArray[np.uint8] | None:
        own = self.template.mask
        if len(places) == n:
            return None if own is None else np.broadcast_to(own, (n, *self.shape))
        states = np.full(n, MaskState.MASKED, np.uint8)
        states[: places[0]] = states[places[-1] + 1 :] = MaskState.PADDING
        states[places] = MaskState.VALID
        mask = np.broadcast_to(states[:, None, None], (n, *self.shape)).copy()
        return mask if own is None else np.maximum(mask, own)


def places_of(positions: NDArray[np.floating], first: float, step: float) -> list[int]:
    """Places of frames from their positions on the rocking axis (degrees, or any unit), which need not be in order.

    first, step: position of place 0, and what lies between two places; a step may be negative. Raises DataError where a
    position lies more than a fifth of a step from its place: the FFT needs equal steps, and nothing is interpolated.
    """
    if not (np.isfinite(positions).all() and np.isfinite(first) and np.isfinite(step) and step):
        raise DataError("positions on the rocking axis are finite numbers, and a step is not zero")
    exact = (np.asarray(positions, np.float64) - first) / step
    places = np.rint(exact)
    off = np.abs(exact - places)
    if off.size and off.max() > OFF_GRID:
        worst = int(off.argmax())
        raise DataError(
            f"position {positions[worst]:g} lies {off[worst]:.2f} steps from place {int(places[worst])} (first "
            f"{first:g}, step {step:g}): frames lie at equal steps, to {OFF_GRID:g} of one"
        )
    return [int(place) for place in places]
