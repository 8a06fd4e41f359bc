"""What detectors and encoders say on a stream, whatever their dialect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError


class StreamError(DataError):
    """A message is none of the dialect that is spoken, or it is cut off."""


@dataclass(frozen=True)
class Header:
    """What is known before the frames come.

    series: the detector's name of it. shape: rows and columns. frames: how many will come. mask: (rows, columns), True
    where a pixel does not count. saturation: at and above so many counts the detector does not count. None stands for
    what the header does not tell. remark: what of it could not be used, for people.
    """

    series: str
    shape: tuple[int, int] | None = None
    frames: int | None = None
    mask: NDArray[np.bool_] | None = None
    saturation: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class Frame:
    """One image, (rows, columns). number: in its series, from 0."""

    series: str
    number: int
    array: NDArray[Any]


@dataclass(frozen=True)
class End:
    """No frame follows in a series. remark: what was missing in it, for people."""

    series: str
    remark: str = ""


@dataclass(frozen=True)
class Begun:
    """An encoder begins to tell its readings: frame 0 follows."""


@dataclass(frozen=True)
class Readings:
    """Readings of encoders at frames `first`, `first + 1`, ...: by their names, all of one length."""

    first: int
    values: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Ended:
    """No reading follows."""


Images = Header | Frame | End
Encoders = Begun | Readings | Ended
Message = Images | Encoders
