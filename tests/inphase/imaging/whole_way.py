"""The way of one pattern from its counts to its image, in this process."""

import numpy as np
from numpy.typing import NDArray

from inphase.formats import RawScan
from inphase.geometry import Geometry
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.refine import refine
from inphase.imaging.way import begin
from inphase.models.session import Session


def raw(array: NDArray[np.generic], geometry: Geometry | None = None) -> RawScan:
    """A scan as a reader gives it."""
    return RawScan(array, geometry, "test", "all")


def run(array: NDArray[np.generic], options: Options, session: Session | None) -> Reconstruction:
    """The whole way in this process."""
    clock = Clock()
    prepared, report = begin(raw(array), options, session, clock)
    return refine(prepared, report, clock)
