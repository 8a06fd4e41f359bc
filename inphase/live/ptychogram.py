"""A ptychographic scan that is not finished: which frames can be used, and the measurement that they are so far.

A frame and its position have one place, a number from 0, and come independently, in any order. A pair is used when both
are there and its window touches those of the others; a position that is far from all of them is not wrong yet, as the
frames between may still come.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from inphase.formats.hidden import account
from inphase.formats.scan import RawScan
from inphase.live.awaited import Awaited
from inphase.live.batch import Position
from inphase.preprocess.corrections import Response
from inphase.ptycho.frames import DIM, NOT_COUNTED, UNKNOWN, no_counts, share_of
from inphase.ptycho.measurement import Measurement, check_maps, from_arrays
from inphase.ptycho.optics import Optics
from inphase.ptycho.positions import linked
from inphase.ptycho.units import UNITS, Ruler

FEWEST: Final = 16  # frames of a first image: fewer leave object and probe open
FARTHEST_PX: Final = 1e6  # from pixel 0: no scan is so large, and beyond it a number is no position


@dataclass(frozen=True)
class Light:
    """What is kept of a frame beside its numbers. counts: of its valid pixels; unknown: share of them that are no
    counts (`frames.no_counts`).
    """

    counts: float
    unknown: float

    @classmethod
    def of(cls, frame: NDArray[np.generic], valid: NDArray[np.bool_], response: Response | None = None) -> "Light":
        """Of a frame (rows, columns), by the response of the detector where one is known."""
        wrong = no_counts(frame)
        known = valid if wrong is None else valid & ~wrong
        shown = np.where(known, frame, frame.dtype.type(0))
        counts = float((shown if response is None else response.counts(shown)).sum(dtype=np.float64))
        return cls(counts, 0.0 if wrong is None else float(share_of(wrong, valid)))


def unusable(lights: Mapping[int, Light]) -> dict[int, str]:
    """Frames, by place, that no image is made of, and why, as `inphase.ptycho.frames` will have it of the whole."""
    lost = {place: NOT_COUNTED for place, light in lights.items() if light.unknown > UNKNOWN}
    counts = [light.counts for place, light in lights.items() if place not in lost]
    least = DIM * float(np.median(counts)) if counts else 0.0
    dim = {
        place: "it holds next to no counts"
        for place, light in lights.items()
        if place not in lost and light.counts <= least
    }
    return lost | dim


@dataclass(frozen=True)
class Ptychogram(Awaited):
    """What is known of a ptychographic scan before its frames come.

    optics: None where they are not known. unit: of the positions, as of `from_arrays`. probe: (modes, y, x) complex64,
    a guess, or None.
    """

    optics: Optics | None = None
    unit: str = "pixel"
    probe: NDArray[np.complex64] | None = None

    what: ClassVar[str] = "scan"

    @classmethod
    def made(
        cls,
        template: RawScan,
        frames: int | None,
        optics: Optics | None,
        unit: str,
        probe: NDArray[np.complex64] | None = None,
    ) -> "Ptychogram":
        """Of a frame (rows, columns) that stands for all.

        Raises DataError for positions in a length without the optics, and for detector maps that do not cover the
        frames or leave next to nothing of them.
        """
        found = Awaited.of(template, frames)
        where = template.source or "the scan"
        _ruler(unit, optics, found.shape)
        if found.template.mask is not None:  # no frame has come yet: the light is asked for when they have
            account(np.empty((0, *found.shape), found.dtype), ~found.valid, f"{where}, mask")
        if template.corrections is None:
            return cls(found.template, frames, optics, unit, probe)
        shown = replace(found.template, corrections=template.corrections.on(found.shape))
        made = cls(shown, frames, optics, unit, probe)
        if made.response is not None:
            check_maps(made.response, where)
        return made

    @cached_property
    def response(self) -> Response | None:
        """Of the detector's pixels, by dark and flat field; None where there are neither."""
        maps = self.template.corrections
        return None if maps is None else Response.of(maps, self.shape)

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """(rows, columns): the pixels that mask, dark and flat field leave."""
        left = super().valid
        return left if self.response is None else left & ~self.response.bad

    def light(self, frame: NDArray[np.generic]) -> Light:
        """What is kept of a frame (rows, columns)."""
        return Light.of(frame, self.valid, self.response)

    @property
    def pixel(self) -> NDArray[np.float64]:
        """(2,): what one pixel of the object is in the unit of the positions."""
        return self.ruler.pixel

    @property
    def ruler(self) -> Ruler:
        """What the positions are measured with."""
        return _ruler(self.unit, self.optics, self.shape)

    def astray(self, place: int, position: Position) -> str:
        """Why a position cannot be one of this scan, "" where it can."""
        if not np.isfinite(position).all():
            return f"place {place}: its position {position} is not finite"
        if np.abs(np.asarray(position) / self.pixel).max() > FARTHEST_PX:
            return (
                f"place {place}: its position {position} {self.unit} lies more than {FARTHEST_PX:.0e} pixels of the "
                f"object away: is the unit right? Positions are in {', '.join(UNITS)}, by the option unit of the scan"
            )
        return ""

    def measurement(
        self,
        patterns: NDArray[np.generic],
        positions: NDArray[np.float64],
        places: NDArray[np.int64],
        source: str,
        *,
        part: bool = False,
    ) -> Measurement:
        """Frames (n, rows, columns), positions (n, 2) in the unit and places (n,) as a measurement, by their places:
        when all are there it is the one that a file of them is. part, and what is raised: as of `from_arrays`.
        """
        order = np.argsort(places)
        return from_arrays(
            patterns[order],
            positions[order],
            unit=self.unit,
            mask=self.template.mask,
            probe=self.probe,
            optics=self.optics,
            ids=places[order],
            source=source,
            part=part,
            corrections=self.template.corrections,
        )


def _ruler(unit: str, optics: Optics | None, shape: tuple[int, int]) -> Ruler:
    return Ruler(unit, None if optics is None else optics.pixel_m(shape))


@dataclass(frozen=True)
class Pairs:
    """What has come, joined by places (each (n,) int64, in order).

    linked: frames with a position whose windows touch each other, which can be imaged. apart: those whose window
    touches none of these. frames: without a position; positions: without a frame.
    """

    linked: NDArray[np.int64]
    apart: NDArray[np.int64]
    frames: NDArray[np.int64]
    positions: NDArray[np.int64]


def joined(scan: Ptychogram, frames: Collection[int], positions: Mapping[int, Position]) -> Pairs:
    """Frames and positions that have come, in any order, joined by their places."""
    came, placed = np.array(sorted(frames), np.int64), np.array(sorted(positions), np.int64)
    both = np.intersect1d(came, placed, assume_unique=True)
    keep = np.ones(len(both), bool)
    if len(both):
        keep = linked(np.array([positions[place] for place in both.tolist()]) / scan.pixel, min(scan.shape))
    return Pairs(
        both[keep],
        both[~keep],
        np.setdiff1d(came, placed, assume_unique=True),
        np.setdiff1d(placed, came, assume_unique=True),
    )
