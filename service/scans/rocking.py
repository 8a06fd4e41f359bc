"""Live rocking curves: looks by networks, and advice from the frames."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from numpy.typing import NDArray

from inphase.formats import RawScan
from inphase.imaging.options import Options
from inphase.live.advice import Advice, FrameSummary, Seen, advise
from inphase.live.awaited import Awaited
from inphase.live.curve import Curve
from inphase.live.looks import passing
from inphase.models.session import Sessions
from service.errors import ApiError
from service.intake.options import ImagingOptions, JobOptions
from service.intake.submission import LiveFrames, Submission
from service.jobs.scans import ScanRecord, StoredFrame
from service.jobs.state import JobState
from service.scans.document import LookPart, ScanDocument
from service.scans.kind import Came, Summary
from service.scans.order import RockingOrder

_POINTS: Final = 1000  # of a curve in a document


class RockingDocument(ScanDocument):
    """A live rocking curve. curve: place and counts of the frames that have come, in order; of many, the brightest of
    neighbours.
    """

    curve: list[tuple[int, float]]
    advice: Advice
    model: str | None


class Rocking:
    """The kind `rocking`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def prepare(self, order: RockingOrder) -> None:
        """The first look finds its network loaded."""
        self._sessions.get(self._passing(order, 1).model)

    def awaited(self, order: RockingOrder, template: RawScan) -> Awaited:
        """The curve. Raises ApiError for what no look can be asked."""
        if order.start == "random" or order.slice != "none":
            raise ApiError(
                422,
                "the looks at a live scan begin from the image of a network for rocking curves: leave start=random and "
                "slice=center out",
            )
        return Curve.of(template, order.frames)

    def summary(self, awaited: Awaited) -> Summary:
        """What advice needs."""
        saturation, valid = awaited.template.saturation, awaited.valid
        level = saturation.level if saturation else None

        def of(place: int, frame: NDArray[Any]) -> Mapping[str, float]:
            return asdict(FrameSummary.of(place, frame, valid, level))

        return of

    def usable(self, order: RockingOrder, came: Came) -> int:
        """All of them."""
        return len(came.frames)

    def due(self, order: RockingOrder, came: Came, looks: list[LookPart]) -> bool:
        """Where the peak lies inside what was measured, and a part of a fringe is new; after a glance at once."""
        advice = advice_on(order, came.frames, looks)
        if [look.state for look in looks] == [JobState.SUCCEEDED] and self._glanced(order):
            return advice.worth_a_look
        return advice.worth_another(looks[-1].frames if looks else 0)

    def soon(self, look: LookPart) -> bool:
        """The first one that is being made: of a fast curve it is the only one."""
        return look.number == 1 and look.state is JobState.READING

    def submission(self, order: RockingOrder, source: LiveFrames) -> Submission:
        """The last look as the caller asked; the others as images that are replaced."""
        options = JobOptions(**order.model_dump(include=set(JobOptions.model_fields)))
        if not source.final:
            shown = self._passing(options, source.look)
            changes = {name: getattr(shown, name) for name in ImagingOptions.model_fields}
            options = options.model_copy(update={**changes, "reuse": False})
        return Submission(options=options, source=source)

    def told(self, order: RockingOrder, came: Came, looks: list[LookPart]) -> Mapping[str, Any]:
        """With the advice in words."""
        advice = advice_on(order, came.frames, looks)
        return {"missing": len(advice.missing), "words": advice.words}

    def document(self, record: ScanRecord, order: RockingOrder, came: Came, looks: list[LookPart]) -> RockingDocument:
        """With the curve and the advice."""
        advice = advice_on(order, came.frames, looks)
        counts = sorted((place, frame.summary["counts"]) for place, frame in came.frames.items())
        return RockingDocument(
            **ScanDocument.common(record, order, looks, advice.missing, advice.words),
            curve=_thinned(counts),
            advice=advice,
            model=order.model,
        )

    def _glanced(self, order: RockingOrder) -> bool:
        """Whether the first look is another network's than the next ones."""
        return self._passing(order, 1).model != self._passing(order, 2).model

    def _passing(self, options: JobOptions, number: int) -> Options:
        return passing(options.imaging(), number, self._sessions.repository.names())


def advice_on(order: RockingOrder, frames: Mapping[int, StoredFrame], looks: list[LookPart]) -> Advice:
    """Advice from what has come, and from the looks that have succeeded (in order)."""
    seen = [
        Seen(look.frames, look.similarity, look.oversampling)
        for look in looks
        if look.state is JobState.SUCCEEDED and look.oversampling is not None and not look.final
    ]
    summaries = (FrameSummary(**frame.summary) for frame in frames.values())  # type: ignore[arg-type]  # as they were kept
    return advise(summaries, order.frames, order.shape, seen)


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most _POINTS of these."""
    every = math.ceil(len(curve) / _POINTS) or 1
    return [max(curve[at : at + every], key=lambda point: point[1]) for at in range(0, len(curve), every)]
