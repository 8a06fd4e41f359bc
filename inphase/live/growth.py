"""The images of a ptychographic scan that is not finished: each goes on from the one before.

A look is short, however much has come: it fits the frames that are new, with some earlier ones beside them, and takes
object and probe from where they were. The last image owes nothing to the looks: it is the one that a file gives.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.ptycho.continuation import joined, likeness
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.options import Options
from inphase.ptycho.prediction import Drawn
from inphase.ptycho.reconstruction import Reconstruction

FIRST: Final = "20*EPIE"
NEXT: Final = "3*EPIE"
BEGIN: Final = 64  # frames of the first look, which is to be there soon
MOST: Final = 256  # new frames of a later one: what is beyond them is of the next one
BESIDE: Final = (32, 64)  # earlier frames, at least and at most, that hold object and probe where they are


@dataclass(frozen=True)
class Grown:
    """image: so far. similarity: to the look before (`continuation.likeness`), None of the first."""

    image: Reconstruction
    similarity: float | None


def passing(options: Options, *, first: bool) -> Options:
    """How a look is made that the next one replaces: no frame is held out, and positions stay as they were sent.

    options: of the whole scan.
    """
    short = replace(options, positions_start=None, search_px=0.0, hold_out=0.0)
    return replace(short, recipe=FIRST) if first else replace(short, recipe=NEXT, probe_start=0)


def chosen(places: NDArray[np.int64], seen: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Which frames a look fits, of all that can be imaged. seen: those that the look before knows."""
    new = np.setdiff1d(places, seen)[: MOST if len(seen) else BEGIN]
    old = np.intersect1d(places, seen)
    count = min(len(old), int(np.clip(len(new), *BESIDE)))
    return np.union1d(new, np.random.default_rng(seed).choice(old, count, replace=False))


def look(
    measured: Measurement,
    options: Options,
    earlier: Reconstruction | None,
    *,
    drawn: Drawn | None = None,
    device: str = "cpu",
    cancelled: Callable[[], bool] = lambda: False,
) -> Grown:
    """The image so far. measured: the chosen frames; options: of the whole scan. drawn: what a network has drawn of
    them, from which a look begins that goes on from none. Loads torch.

    Raises as `inphase.ptycho.reconstruct`.
    """
    from inphase.ptycho.engine import reconstruct

    short = passing(options, first=earlier is None)
    start = drawn if earlier is None else earlier
    found = reconstruct(measured, short, start=start, device=device, cancelled=cancelled)
    if earlier is None:
        return Grown(found, None)
    return Grown(joined(earlier, found), likeness(earlier, found))
