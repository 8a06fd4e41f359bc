"""What is known of a measurement before its frames come."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.formats.scan import RawScan
from inphase.pattern import MaskState


@dataclass(frozen=True)
class Awaited:
    """A measurement that comes frame by frame.

    template: one frame (rows, columns) that stands for all: its shape, its type, and the mask, geometry, saturation and
        detector maps that hold for the whole measurement; its values are not looked at.
    frames: how many there will be; None for an open end.
    """

    template: RawScan
    frames: int | None = None

    what: ClassVar[str] = "scan"  # as people call it

    @classmethod
    def of(cls, scan: RawScan, frames: int | None = None) -> Self:
        """The measurement of which `scan` is a frame, (rows, columns) or (1, rows, columns).

        Raises DataError for a stack of several frames, and for frames that hold no real numbers.
        """
        array, mask = scan.array, scan.mask
        if array.ndim == 3 and len(array) == 1:
            array, mask = array[0], None if mask is None else mask[0]
        if array.ndim != 2 or array.dtype.kind not in "uif":
            raise DataError(
                f"the template of a {cls.what} is one frame (rows, columns) of real numbers, this is "
                f"{scan.array.shape} of {scan.array.dtype}: the frames themselves follow one by one"
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
        """Why a place is outside of this measurement, "" where it is inside. most: frames of one with an open end."""
        end = most if self.frames is None else self.frames
        if 0 <= place < end:
            return ""
        what = "has an open end" if self.frames is None else f"has {self.frames} frames"
        return f"place {place}: the {self.what} {what}, and its places are 0 to {end - 1}"

    def check(self, place: int, frame: NDArray[np.generic]) -> None:
        """Raises DataError for a frame that is none of this measurement."""
        self.check_kind(f"frame {place} is", frame.shape, frame.dtype)

    def check_kind(self, told: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raises DataError for frames of another shape or type, in any byte order. told: which ones, for people."""
        if shape != self.shape or dtype.newbyteorder("=") != self.dtype.newbyteorder("="):
            raise DataError(
                f"{told} {shape} of {dtype}, the frames of this {self.what} are {self.shape} of {self.dtype}"
            )
