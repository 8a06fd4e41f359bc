"""The part of every frame that is read: rows and columns of the detector, asked for or found around the Bragg peak."""

import re
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.geometry import Geometry
from inphase.preprocess.corrections import Corrections, on_frame
from inphase.preprocess.report import Number, StepReport
from inphase.preprocess.validate import MIN_SIDE

WHOLE: Final = "whole"
_TEXT: Final = re.compile(r"(\d{1,7}):(\d{1,7}),(\d{1,7}):(\d{1,7})")

Span = tuple[int, int]  # first and end
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Surveyed:
    """What a first look over all frames found.

    peak: frame, row and column of the measurement, to a few voxels. light: share of the light that the region holds,
    of what stands above the background. counts: the same of all counts. second: frame, row and column of another peak
    outside of the region, None where there is none. second_light: its share of the light of both. reaches: whether the
    light reaches farther than the region, which memory bounds.
    """

    peak: tuple[int, int, int]
    light: float
    counts: float
    second: tuple[int, int, int] | None = None
    second_light: float = 0.0
    reaches: bool = False


@dataclass(frozen=True)
class Region:
    """rows, columns: first and end. frame: rows and columns of a whole one. surveyed: None where it was asked for."""

    rows: Span
    columns: Span
    frame: tuple[int, int]
    surveyed: Surveyed | None = None

    def of(self, array: NDArray[T]) -> NDArray[T]:
        """A view of what lies in it, of an array (..., rows, columns) over whole frames."""
        return array[..., slice(*self.rows), slice(*self.columns)]

    def shape_of(self, whole: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what lies in it, of an array of whole frames."""
        return (*whole[:-2], *(end - first for first, end in (self.rows, self.columns)))

    def box_in(self, whole: tuple[int, ...]) -> tuple[slice, ...]:
        """Where it lies in an array (..., rows, columns) of whole frames."""
        return (*(slice(0, side) for side in whole[:-2]), slice(*self.rows), slice(*self.columns))

    def clipped(self, box: tuple[slice, ...]) -> tuple[slice, ...]:
        """A box of whole frames in those of the region; empty where it lies outside."""
        *rest, rows, columns = box
        inside = (
            slice(max(span.start, first) - first, max(min(span.stop, end), first) - first)
            for span, (first, end) in ((rows, self.rows), (columns, self.columns))
        )
        return (*rest, *inside)

    def geometry(self, whole: Geometry | None) -> Geometry | None:
        """That of the region, whose DC voxel lies elsewhere."""
        if whole is None:
            return None
        steps = (
            first + (end - first) // 2 - side // 2
            for (first, end), side in zip((self.rows, self.columns), self.frame, strict=True)
        )
        return whole.moved((*(0,) * (len(whole.q_steps) - 2), *steps))

    def corrections(self, whole: Corrections | None) -> Corrections | None:
        """Maps of the region. Raises DataError where they do not cover the frames."""
        if whole is None:
            return None
        dark, flat = (
            None if chip is None else self.of(on_frame(chip, self.frame, whole.roi, name))
            for name, chip in (("dark", whole.dark), ("flat", whole.flat))
        )
        return Corrections(dark, flat)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of that shape may be what lies in it."""
        spans = ((self.rows, self.frame[0]), (self.columns, self.frame[1]))
        inside = all(0 <= first < end <= side for (first, end), side in spans)
        return (
            inside
            and len(shape) in (2, 3)
            and self.shape_of(shape) == shape
            and (self.surveyed is None or 0.0 <= self.surveyed.light <= 1.0)
        )

    @property
    def told(self) -> str:
        """In words, for provenance."""
        (top, bottom), (left, right) = self.rows, self.columns
        text = f"rows {top}:{bottom}, columns {left}:{right} of {self.frame[0]} x {self.frame[1]} pixels"
        found = self.surveyed
        if found is None:
            return f"{text}, as requested"
        return (
            f"{text}, found around the Bragg peak at voxel {found.peak}: they hold {found.light:.2%} of the light "
            f"above background and {found.counts:.2%} of all counts"
            + ("; the light reaches farther, and memory bounds the region" if found.reaches else "")
            + f" (region={WHOLE} reads whole frames)"
        )

    def report(self) -> StepReport:
        """What the step of preprocessing says, with what is doubtful."""
        numbers: dict[str, Number] = {
            "rows": list(self.rows),
            "columns": list(self.columns),
            "frame": list(self.frame),
        }
        found = self.surveyed
        if found is None:
            return StepReport("region", numbers)
        numbers |= {"peak": list(found.peak), "light_share": found.light, "counts_share": found.counts}
        doubts: tuple[str, ...] = ()
        if found.second is not None:
            numbers |= {"second_peak": list(found.second), "second_peak_share": found.second_light}
            doubts = (
                f"a second peak at voxel {found.second} of the measurement, outside of the region that was read, holds "
                f"{found.second_light:.0%} of the light of both: another crystal in the beam, or a spot on the "
                "detector; if it is the one that is meant, name the rows and columns around it (region=)",
            )
        return StepReport("region", numbers, doubts=doubts)


def parsed(text: str, frame: tuple[int, ...]) -> Region:
    """`r0:r1,c0:c1` of frames of so many rows and columns. Raises DataError."""
    match = _TEXT.fullmatch(text.replace(" ", ""))
    if match is None:
        raise DataError(
            f"the region {text[:80]!r} is not understood: write rows and columns as r0:r1,c0:c1, for example "
            f"900:1200,800:1100, or {WHOLE}"
        )
    top, bottom, left, right = (int(part) for part in match.groups())
    for name, first, end, side in (("rows", top, bottom, frame[0]), ("columns", left, right, frame[1])):
        if end > side or end - first < MIN_SIDE:
            raise DataError(
                f"region={text}: {name} {first}:{end} of frames of {frame[0]} x {frame[1]} pixels: they have to lie "
                f"inside, and at least {MIN_SIDE} are needed"
            )
    return Region((top, bottom), (left, right), (frame[0], frame[1]))
