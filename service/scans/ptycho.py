"""Live ptychographic scans: frames and positions are joined by their places, and the object grows with them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from inphase.errors import DataError, RecipeError
from inphase.formats import RawScan
from inphase.imaging.report import Look
from inphase.live.advice import between, ranges
from inphase.live.awaited import Awaited
from inphase.live.growth import chosen
from inphase.live.ptychogram import FEWEST, Light, Pairs, Ptychogram, joined, unusable
from inphase.models.session import Sessions
from inphase.ptycho.options import Options
from inphase.ptycho.positions import MOST_LEFT_OUT, listed, typical_step
from inphase.ptycho.prediction import foreseen, in_beam
from inphase.ptycho.recipe import DEFAULT, NONE
from service.document import Ptychography
from service.intake.options import JobOptions, PtychoOptions
from service.intake.submission import LiveFrames, Submission
from service.jobs.scans import ScanRecord
from service.jobs.state import JobState
from service.jobs.store import Arrays
from service.scans.document import LookPart, OutsidePart, ScanDocument
from service.scans.kind import Came, Summary
from service.scans.order import PtychoOrder

_POINTS: Final = 1000  # positions in a document
MORE: Final = 1 / 20  # of what could be imaged, by which a look has more than the one before: every look is kept


class PositionCounts(BaseModel):
    """Positions that have come. waiting: those whose frame has not; unplaced: frames without a position.

    linked: frames that can be imaged. apart: frames whose window touches none of theirs; unusable: frames without
    counts or numbers.
    """

    received: int
    duplicate: int
    waiting: int
    unplaced: int
    linked: int
    apart: OutsidePart
    unusable: OutsidePart


class PtychoDocument(ScanDocument):
    """A live ptychographic scan. windows: (row, column) of those that can be imaged, in pixels of the object, from the
    first one on, at most a thousand. pixel_m: of the object, where the optics are known. model: the network from which
    its first look and its last image are to begin.
    """

    positions: PositionCounts
    windows: list[tuple[float, float]]
    unit: str
    pixel_m: tuple[float, float] | None
    model: str | None


@dataclass(frozen=True)
class Known:
    """What the newest look that has succeeded knows. job, result: where it lies, empty where there is none. places: of
    its frames.
    """

    job: str = ""
    result: str = ""
    places: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class Ptycho:
    """The kind `ptycho`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._pairs: WeakKeyDictionary[Came, tuple[Pairs, dict[int, str]]] = WeakKeyDictionary()

    def pairs(self, order: PtychoOrder, came: Came) -> tuple[Pairs, dict[int, str]]:
        """What has come, joined, and what of it cannot be used, with the reasons."""
        found = self._pairs.get(came)
        if found is None:
            found = self._pairs[came] = _pairs(order, came)
        return found

    def prepare(self, order: PtychoOrder) -> None:
        """What cannot be meant is refused; a network is loaded. Raises RecipeError, DataError where the network was not
        made for such frames, as far as that is known yet, ModelError, UnknownModelError.
        """
        if not order.ptycho().parsed.steps:
            raise RecipeError(
                f"the recipe {NONE} finds no image of a live scan: name solvers, such as {DEFAULT}. It belongs to a "
                "finished scan and a network, whose image it leaves as it is"
            )
        if order.model is not None:
            card = self._sessions.get(order.model).version.card
            foreseen(card, order.shape, order.given().optics(), "this scan")

    def check_probe(self, order: PtychoOrder, probe: NDArray[np.complex64]) -> None:
        """Raises DataError for a guess of the probe (modes, rows, columns) that the network does not know, ModelError,
        UnknownModelError.
        """
        if order.model is not None:
            in_beam(self._sessions.get(order.model).version.card, probe, "this scan")

    def awaited(self, order: PtychoOrder, template: RawScan) -> Ptychogram:
        """The scan without its probe. Raises DataError."""
        return Ptychogram.made(template, order.frames, order.given().optics(), order.unit)

    def summary(self, awaited: Awaited) -> Summary:
        """How much light it has, and how many numbers."""
        assert isinstance(awaited, Ptychogram)

        def of(place: int, frame: NDArray[Any]) -> Mapping[str, float]:
            return asdict(awaited.light(frame))

        return of

    def usable(self, order: PtychoOrder, came: Came) -> int:
        """Those with a position, that lie together."""
        return len(self.pairs(order, came)[0].linked)

    def due(self, order: PtychoOrder, came: Came, looks: list[LookPart]) -> bool:
        """A first one of a few frames, then whenever a share more can be imaged, or the look before left some.

        One that failed is not asked for again before more frames have come.
        """
        linked = self.usable(order, came)
        if not looks:
            return linked >= min(FEWEST, order.frames or FEWEST)
        last = looks[-1]
        left = last.state is JobState.SUCCEEDED and last.pending > 0
        return left or linked >= last.asked + max(1, round(MORE * last.asked))

    def soon(self, look: LookPart) -> bool:
        """None: a worker would make it before the last one."""
        return False

    def submission(self, order: PtychoOrder, source: LiveFrames) -> Submission:
        """As the caller asked; what makes a look short is decided when it is made."""
        return Submission(
            options=JobOptions(name=order.name, priority=order.priority, webhook=order.webhook),
            source=source,
            ptychography=PtychoOptions(**{name: getattr(order, name) for name in PtychoOptions.model_fields}),
        )

    def input(
        self,
        record: ScanRecord,
        order: PtychoOrder,
        came: Came,
        source: LiveFrames,
        options: Options,
        known: Known,
        extra: Arrays,
    ) -> tuple[Arrays, Ptychography]:
        """What the worker of a look reads, and what is told of it.

        known: of the look before, where there is one. extra: `mask`, `dark`, `flat` and `probe`, where there are any.

        Frames stay where they are: the worker finds them by the names of their batches. Raises DataError where none has
        a position.
        """
        pairs, _ = self.pairs(order, came)
        paired = np.array(sorted(came.frames.keys() & came.positions.keys()), np.int64)
        if not np.isin(known.places, pairs.linked).any():
            known = Known()  # it shows frames that lie apart from those of now
        places = paired if source.final else chosen(pairs.linked, known.places, source.look)
        if not len(places):
            raise DataError(
                f"none of the {len(came.frames)} frames of the scan has a position that lies beside those of others"
            )
        frames = [came.frames[place] for place in places.tolist()]
        batches = sorted({frame.batch for frame in frames})
        arrays: Arrays = {
            "places": places,
            "positions": np.array([came.positions[place] for place in places.tolist()], np.float64),
            "batches": np.array(batches),
            "batch": np.array([batches.index(frame.batch) for frame in frames], np.int64),
            "index": np.array([frame.index for frame in frames], np.int64),
            "beam": order.given().numbers(),
            "unit": np.array(order.unit),
        } | extra
        if known.result:
            arrays |= {"earlier": np.array([known.job, known.result])}
        seen = len(paired) if source.final else len(np.union1d(places, known.places))
        told = Ptychography(
            options,
            source=order.name or f"live scan {record.scan_id}",
            look=Look(record.scan_id, source.look, seen, order.frames, source.final),
            pending=0 if source.final else len(np.setdiff1d(pairs.linked, np.union1d(places, known.places))),
        )
        return arrays, told

    def told(self, order: PtychoOrder, came: Came, looks: list[LookPart]) -> Mapping[str, Any]:
        """With what of it can be imaged."""
        pairs, bad = self.pairs(order, came)
        return {
            "missing": len(between(came.frames)),
            "positions": len(came.positions),
            "linked": len(pairs.linked),
            "words": _words(order, came, pairs, bad, looks),
        }

    def document(self, record: ScanRecord, order: PtychoOrder, came: Came, looks: list[LookPart]) -> PtychoDocument:
        """With positions and what lies together."""
        (pairs, bad), optics = self.pairs(order, came), order.given().optics()
        missing = between(came.frames)
        return PtychoDocument(
            **ScanDocument.common(record, order, looks, missing, _words(order, came, pairs, bad, looks)),
            positions=PositionCounts(
                received=record.counted.placed,
                duplicate=record.counted.placed_again,
                waiting=len(pairs.positions),
                unplaced=len(pairs.frames),
                linked=len(pairs.linked),
                apart=OutsidePart(count=len(pairs.apart), reason=_apart(order, came, pairs)),
                unusable=OutsidePart(count=len(bad), reason=_unusable(bad)),
            ),
            windows=_windows(order, came, pairs),
            unit=order.unit,
            pixel_m=None if optics is None else optics.pixel_m(order.shape),
            model=order.model,
        )


def _pairs(order: PtychoOrder, came: Came) -> tuple[Pairs, dict[int, str]]:
    bad = unusable({place: Light(**frame.summary) for place, frame in came.frames.items()})
    pairs = joined(_outline(order), [place for place in came.frames if place not in bad], came.positions)
    waiting = np.setdiff1d(pairs.positions, np.array(sorted(bad), np.int64))
    return replace(pairs, positions=waiting), bad


def _outline(order: PtychoOrder) -> Ptychogram:
    """The scan as far as positions need it."""
    frame = RawScan(np.broadcast_to(np.zeros((), order.dtype), order.shape), None, "", "")
    return Ptychogram.made(frame, order.frames, order.given().optics(), order.unit)


def _windows(order: PtychoOrder, came: Came, pairs: Pairs) -> list[tuple[float, float]]:
    if not len(pairs.linked):
        return []
    shown = pairs.linked[:: -(-len(pairs.linked) // _POINTS)]
    where = np.array([came.positions[place] for place in shown.tolist()]) / _outline(order).pixel
    rows, columns = np.round(where - where.min(axis=0), 2).T.tolist()
    return list(zip(rows, columns, strict=True))


def _apart(order: PtychoOrder, came: Came, pairs: Pairs) -> str:
    if not len(pairs.apart):
        return ""
    hint = ""
    if len(pairs.apart) > MOST_LEFT_OUT * (len(pairs.apart) + len(pairs.linked)):
        ruler = _outline(order).ruler
        places = [*pairs.apart.tolist(), *pairs.linked.tolist()]
        where = np.array([came.positions[place] for place in places]) / ruler.pixel
        hint = f". Is the unit right?{ruler.hint(typical_step(where), order.shape)}"
    return (
        f"frames {listed(pairs.apart)}: the position lies more than a window ({min(order.shape)} pixels) away from "
        f"every position of the others{hint}"
    ).removesuffix(".")


def _unusable(bad: Mapping[int, str]) -> str:
    return "" if not bad else "; ".join(f"frame {place}: {why}" for place, why in sorted(bad.items())[:8])


def _words(
    order: PtychoOrder, came: Came, pairs: Pairs, bad: Mapping[int, str], looks: list[LookPart]
) -> tuple[str, ...]:
    """What has come, for people."""
    of = "" if order.frames is None else f" of {order.frames}"
    words = [
        f"{len(came.frames)}{of} frames and {len(came.positions)} positions have come; {len(pairs.linked)} frames "
        "can be imaged."
    ]
    if missing := between(came.frames):
        words.append(f"{len(missing)} between them are missing ({ranges(missing)}).")
    if len(pairs.frames):
        words.append(f"{len(pairs.frames)} frames wait for their positions ({ranges(pairs.frames.tolist())}).")
    if len(pairs.positions):
        words.append(f"{len(pairs.positions)} positions wait for their frames ({ranges(pairs.positions.tolist())}).")
    if told := _apart(order, came, pairs):
        words.append(f"Not imaged are {told}.")
    if told := _unusable(bad):
        words.append(f"Not imaged are: {told}.")
    words += dict.fromkeys(look.note for look in looks if look.note)
    return tuple(words)
