"""An unfinished rocking curve as a measurement: what has not been measured yet is unknown, not dark.

A frame has a place on the rocking axis, a whole number of steps from the first place of the scan. Places come in any
order. Beyond the first and the last measured one lies padding: the far field is small there, and nobody knows it.
Frames that are missing between them are masked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.scan import RawScan
from inphase.live.awaited import Awaited
from inphase.pattern import MaskState

OFF_GRID = 0.2  # of a step: how far from its place a frame may lie; a fringe is more than two steps wide


@dataclass(frozen=True)
class Curve(Awaited):
    """What is known of a rocking curve before its frames come.

    The geometry of the template is that of the finished curve, whose DC voxel is `frames // 2`; of an open end it is
    the one at place 0.
    """

    what: ClassVar[str] = "curve"

    def check(self, place: int, frame: NDArray[np.generic]) -> None:
        """Raises DataError for a frame that is none of this curve."""
        super().check(place, frame)
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(frame))[0])
            raise DataError(
                f"frame {place} holds {np.count_nonzero(~np.isfinite(frame))} values that are no numbers, the first at "
                f"pixel {where}: mask such pixels for the whole curve"
            )

    def scan(self, frames: Mapping[int, NDArray[np.generic]], *, reached: bool = False) -> RawScan:
        """The measurement so far, (n, rows, columns): n frames of the finished curve, or up to the last one measured.

        reached: up to the last one measured in any case: what lies beyond is padding of any grid, and takes its time.
        When all frames are there it is the measurement that a file of them would be. Raises DataError without a frame,
        and for a frame that is none of this curve.
        """
        if not frames:
            raise DataError("no frame of the curve has been measured")
        places = sorted(frames)
        end = places[-1] + 1
        of = end if self.frames is None else self.frames
        if reason := self.refusal(places[0], of) or self.refusal(places[-1], of):
            raise DataError(reason)
        n = end if reached else of
        array = np.zeros((n, *self.shape), self.dtype)
        for place, frame in frames.items():
            self.check(place, frame)
            array[place] = frame
        told = f"{len(places)} of {of} frames, places {places[0]} to {places[-1]}"
        geometry = self.template.geometry
        moved = n // 2 - (0 if self.frames is None else self.frames // 2)
        if geometry is not None and moved:
            geometry = geometry.moved((moved, 0, 0))
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
