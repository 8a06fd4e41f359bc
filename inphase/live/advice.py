"""What the frames of an unfinished rocking curve say: how far it is, and what is to be done. It says no more than that.

Before there is an image, everything comes from a few numbers of each frame, so that advice costs nothing while frames
come at hundreds a second.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from inphase.preprocess.centring import CUT
from inphase.preprocess.validate import MIN_SIDE

FALLING: Final = 0.5  # of the brightest frame: when the light has fallen below it, that may be the peak
FALLEN: Final = 0.1  # the same: it seems to have been passed
CONTRAST: Final = 30.0  # of the brightest frame to the darkest one: fringes in the wings have less
SURE: Final = 300.0  # the same for a peak from which the light has fallen to half only: strong peaks have wider wings
LEAST_COUNTS: Final = 10.0  # of the brightest pixels: below it nobody knows a peak from noise
LEAST_FRAMES: Final = 3
STEADY: Final = 0.98  # amplitude correlation of successive images that have stopped changing
NEW: Final = 0.25  # fringes: what comes between two looks at least
_NAMED: Final = 12  # ranges of missing places that are named

Peak = Literal["unknown", "not reached", "at the first frame", "near", "falling", "passed"]


@dataclass(frozen=True)
class FrameSummary:
    """What advice needs of a frame.

    counts: of its valid pixels. brightest: the largest value that a pixel and its three neighbours (2 x 2) all have, so
    that no hot pixel is taken for the peak; at row, column. full: pixels at the end of their counter.
    """

    place: int
    counts: float
    brightest: float
    row: int
    column: int
    full: int

    @classmethod
    def of(
        cls, place: int, frame: NDArray[np.generic], valid: NDArray[np.bool_], saturation: float | None
    ) -> "FrameSummary":
        """Of a frame (rows, columns). saturation: counts at which the detector stops counting, where that is known;
        else the largest number of the type.
        """
        end = saturation
        if end is None:
            end = float(np.iinfo(frame.dtype).max) if frame.dtype.kind in "ui" else math.inf  # type: ignore[type-var]
        full = valid & (frame >= end)  # type: ignore[operator]
        known = np.where(valid & ~full, frame, 0).astype(np.float32)
        four = np.minimum(np.minimum(known[:-1, :-1], known[1:, :-1]), np.minimum(known[:-1, 1:], known[1:, 1:]))
        row, column = (int(i) for i in np.unravel_index(int(four.argmax()), four.shape))
        return cls(
            place,
            float(known.sum(dtype=np.float64)),
            float(four[row, column]),
            row,
            column,
            int(np.count_nonzero(full)),
        )


@dataclass(frozen=True)
class Seen:
    """What an image of the curve so far was made of.

    frames: how many. similarity: amplitude correlation with the image before it, None of the first one. oversampling:
    voxels per fringe as measured, along (rocking, row, column).
    """

    frames: int
    similarity: float | None
    oversampling: tuple[float, ...]


@dataclass(frozen=True)
class Advice:
    """What can be said of an unfinished curve. What is None or "unknown" is not known yet.

    frames, of: measured, and of how many; None for an open end. missing: places between measured ones that have not
        come.
    peak: whether the brightest frame so far may be the Bragg peak. "not reached": it is the last one; "unknown": there
        is little light, or all frames are about as bright; "falling", "passed": since then the light has fallen to
        less than half of it, to less than a tenth; "near": neither, or it has fallen to half and the
        brightest frame may be a fringe in the wings. peak_place: of the brightest frame. beyond: places measured after
        it.
    saturated: pixels in all frames at the end of their counter, gaps apart. border: axes of the detector along which
        the peak lies too near to the border.
    oversampling: of the newest image. similarity: of the two newest images. steady: whether the image has stopped
        changing, over the last fringe of the rocking curve at least. more: steps until two fringes beyond the peak are
        measured, after which images change little.
    words: all of it for people.
    """

    frames: int
    of: int | None
    missing: tuple[int, ...]
    peak: Peak
    peak_place: int | None
    beyond: int | None
    saturated: int
    border: tuple[str, ...]
    oversampling: tuple[float, ...] | None
    similarity: float | None
    steady: bool | None
    more: int | None
    words: tuple[str, ...]

    @property
    def worth_a_look(self) -> bool:
        """Whether the peak lies inside what was measured, and that is long enough for an image."""
        return self.peak in ("falling", "passed") and self.frames + len(self.missing) >= MIN_SIDE

    def worth_another(self, frames: int) -> bool:
        """Whether there is enough that a look at so many frames has not seen: a quarter of a fringe, where its width is
        known, else one frame.
        """
        new = 1 if self.oversampling is None else max(1, math.ceil(NEW * self.oversampling[0]))
        return self.worth_a_look and self.frames >= frames + new


def advise(
    summaries: Iterable[FrameSummary], frames: int | None, shape: tuple[int, int], images: Sequence[Seen] = ()
) -> Advice:
    """Advice on a curve from its frames, in any order. frames: of the finished curve, None for an open end. shape: rows
    and columns. images: those that were made so far, in order.
    """
    curve = sorted(summaries, key=lambda summary: summary.place)
    places = [summary.place for summary in curve]
    missing = between(places)
    peak, at = _peak(curve)
    brightest = None if at is None else curve[at]
    beyond = None if brightest is None else places[-1] - brightest.place
    sigma = images[-1].oversampling if images else None
    similarity = images[-1].similarity if images else None
    steady = _steady(images)
    gaps = min((summary.full for summary in curve), default=0)  # the same pixels in every frame
    found = Advice(
        frames=len(curve),
        of=frames,
        missing=missing,
        peak=peak,
        peak_place=None if brightest is None else brightest.place,
        beyond=beyond,
        saturated=sum(summary.full - gaps for summary in curve),
        border=() if brightest is None or peak == "unknown" else _border(brightest, shape, sigma),
        oversampling=sigma,
        similarity=similarity,
        steady=steady,
        more=_more(peak, beyond, sigma, None if frames is None or not places else frames - 1 - places[-1]),
        words=(),
    )
    return _worded(found, CUT * sigma[0] if sigma else None)


def _peak(curve: Sequence[FrameSummary]) -> tuple[Peak, int | None]:
    """Where the brightest frame lies, and its index."""
    if not curve:
        return "unknown", None
    light = [summary.brightest for summary in curve]
    at = max(range(len(light)), key=light.__getitem__)
    if len(curve) < LEAST_FRAMES or light[at] < LEAST_COUNTS:
        return "unknown", None
    if at == len(curve) - 1:
        return "not reached", at
    if at == 0:
        return "at the first frame", at
    if light[at] < CONTRAST * max(1.0, min(light)):
        return "unknown", at
    lowest = min(light[at + 1 :]) / light[at]
    if lowest < FALLEN:
        return "passed", at
    falling = lowest < FALLING and light[at] >= SURE * max(1.0, min(light))
    return ("falling" if falling else "near"), at


def _border(brightest: FrameSummary, shape: tuple[int, int], sigma: tuple[float, ...] | None) -> tuple[str, ...]:
    """Axes along which less than two fringes lie between the peak and the border; a fringe is two pixels at least."""
    fringes = sigma[1:] if sigma else (2.0, 2.0)
    at = ((brightest.row, "rows"), (brightest.column, "columns"))
    return tuple(name for (p, name), n, s in zip(at, shape, fringes, strict=True) if min(p, n - 1 - p) < CUT * s)


def _steady(images: Sequence[Seen]) -> bool | None:
    """Whether all images of the last fringe are like the ones before them; None where there are too few."""
    if len(images) < 2:
        return None
    newest = images[-1]
    since = newest.frames - newest.oversampling[0]
    late = [image.similarity for image in images[1:] if image.frames > since]
    if images[0].frames > since or not late:
        return None
    return all(similarity is not None and similarity >= STEADY for similarity in late)


def _more(peak: Peak, beyond: int | None, sigma: tuple[float, ...] | None, left: int | None) -> int | None:
    if peak not in ("falling", "passed") or beyond is None or sigma is None:
        return None
    lacking = max(0, math.ceil(CUT * sigma[0]) - beyond)
    return lacking if left is None else min(lacking, left)


def _worded(found: Advice, reach: float | None) -> Advice:
    """With the sentences. reach: places from the peak to the end of two fringes, where that is known."""
    of = "" if found.of is None else f" of {found.of}"
    words = [f"{found.frames}{of} frames are measured."]
    if found.missing:
        words.append(
            f"{len(found.missing)} between them are missing ({ranges(found.missing)}) and count as unknown: send them "
            "again where that is possible."
        )
    match found.peak:
        case "unknown":
            words.append("There is too little light, or frames are too alike, to say where the peak is.")
        case "not reached":
            words.append(
                f"The last frame, {found.peak_place}, is the brightest: the peak has not been passed, and more frames "
                "are needed before there is an image."
            )
        case "at the first frame":
            words.append(
                f"The first frame, {found.peak_place}, is the brightest: the peak may lie before the range; begin the "
                "scan earlier."
            )
        case "near" | "falling":
            words.append(
                f"The brightest frame so far is {found.peak_place}, and the light has not fallen to a tenth of it "
                "since: whether this is the peak is not certain yet."
            )
        case "passed":
            words.append(
                f"The brightest frame so far is {found.peak_place}, and the light has fallen to less than a tenth "
                f"since: the peak seems to be passed, with {found.beyond} frames beyond it."
            )
    words += [
        f"The peak lies near the border of the detector ({name}): part of its light is lost; move the detector or the "
        "region of interest."
        for name in found.border
    ]
    if found.saturated:
        words.append(
            f"{found.saturated} pixels are at the end of their counter and count as unknown: attenuate the beam or "
            "count for a shorter time."
        )
    if found.similarity is not None:
        words.append(
            f"The amplitude of the newest image correlates {found.similarity:.3f} with that of the one before."
        )
    if found.steady:
        words.append("The image has stopped changing over the last fringe.")
    if found.more:
        words.append(f"About {found.more} more frames are needed until two fringes beyond the peak are measured.")
    elif found.more == 0 and reach is not None and found.beyond is not None and found.beyond >= reach:
        words.append(
            "Two fringes beyond the peak are measured, but the images of the last fringe still differ: more frames may "
            "change the image."
            if found.steady is False
            else "Two fringes beyond the peak are measured: more frames will change the image little."
        )
    return Advice(**{**vars(found), "words": tuple(words)})


def between(places: Iterable[int]) -> tuple[int, ...]:
    """The places between the first and the last of these that are none of them, in order."""
    there = set(places)
    return tuple(sorted(set(range(min(there), max(there))) - there)) if there else ()


def ranges(places: Sequence[int]) -> str:
    """Places for people: `12, 45 to 47`, the first dozen of them."""
    parts = []
    for _, group in groupby(enumerate(places), key=lambda pair: pair[1] - pair[0]):
        run = [place for _, place in group]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}")
    return ", ".join(parts[:_NAMED]) + (" and more" if len(parts) > _NAMED else "")
