"""From the messages of a stream to live scans of the service: one for each series of the detector."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase.bridges.stream import Begun, End, Ended, Frame, Header, Message, Readings, StreamError
from inphase.client import Client, ConflictError, RequestError
from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.formats.maps import corrections, parse_roi
from inphase.formats.scan import Saturation
from inphase.live.curve import places_of
from inphase.live.replay import insisting

BATCH_BYTES: Final = 8 * 2**20
BATCH_S: Final = 0.05  # for which a frame waits for others
LATE_S: Final = 5.0  # for which the last positions are waited for when the frames have ended


@dataclass(frozen=True)
class Axis:
    """The rocking axis. name: of the encoder's readings. first: reading at place 0. step: from place to place."""

    name: str
    first: float
    step: float

    @property
    def names(self) -> tuple[str, ...]:
        """Of the readings."""
        return (self.name,)


@dataclass(frozen=True)
class Stage:
    """What scans a sample in ptychography. rows, columns: of the encoder's readings that say where the window of a
    frame lies. scale: by which they are multiplied to be positions in the unit that the scan is opened with.
    """

    rows: str
    columns: str
    scale: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Of the readings."""
        return self.rows, self.columns


@dataclass
class _Told:
    """What an encoder has told since it began: of each frame what is asked for. ended: nothing follows."""

    readings: dict[int, tuple[float, ...]] = field(default_factory=dict)
    ended: bool = False


@dataclass
class _Series:
    """A series of the detector. kind: shape and type of its frames, from the first one. frames: by their numbers, that
    were not sent yet, and since when the oldest waits. placed: the frame of each place, where an encoder tells it.
    carried: numbers of the frames that were sent; located: of those whose position was.
    left_out: why frames were, one reason for each. closed: the service takes no more.
    """

    name: str
    header: Header | None
    scan: str = ""
    kind: tuple[tuple[int, ...], np.dtype[Any]] | None = None
    frames: dict[int, NDArray[Any]] = field(default_factory=dict)
    placed: dict[int, int] = field(default_factory=dict)
    since: float = 0.0
    carried: set[int] = field(default_factory=set)
    located: set[int] = field(default_factory=set)
    left_out: list[str] = field(default_factory=list)
    closed: bool = False
    ended_at: float | None = None

    @property
    def sent(self) -> int:
        """How many frames were."""
        return len(self.carried)


class Feed:
    """Carries messages into live scans. A frame's place is its number in its series, or what the encoder says.

    With a stage the scans are ptychographic ones: a frame's place is its number, and the encoder tells its position,
    which may come before the frame or after it.

    tell: prints a line. source: what the scans are named after. roi: of the chip, rows and columns that are sent, as in
    "0:256,0:256". dark, flat: maps of the chip. moving: the axis, where places come from encoder readings, or the
    stage. options: of `Client.open_scan`.
    """

    def __init__(
        self,
        client: Client,
        tell: Callable[[str], object],
        source: str,
        *,
        roi: str | None = None,
        dark: Path | None = None,
        flat: Path | None = None,
        moving: Axis | Stage | None = None,
        **options: Any,
    ) -> None:
        self._client, self._tell, self._source, self._moving, self._options = client, tell, source, moving, options
        self._roi = None if roi is None else parse_roi(roi)
        self._corrections = None if dark is flat is None else corrections(dark, flat, roi)
        self._series: _Series | None = None
        self._told: list[_Told] = []  # of the encoder, oldest first: that of this series, and what has begun since

    def take(self, message: Message) -> None:
        """Take a message of the detector or of the encoder. Raises ServiceError where the service refuses, or is away
        for a minute.
        """
        match message:
            case Header():
                self._begin(message.series, message)
                self._tell(
                    f"series {message.series}: begins, {message.frames or 'an unknown number of'} frames to come"
                )
                if message.remark:
                    self._tell(f"series {message.series}: {message.remark}")
            case Frame():
                self._frame(message)
            case End() if self._series is not None:
                self._series.ended_at = time.monotonic()
                if message.remark:
                    self._tell(f"series {message.series}: {message.remark}")
            case Begun():
                joined = self._series is not None and bool(self._series.sent or self._series.frames)
                self._told = [*(self._told if joined else ()), _Told()]
            case Readings():
                self._readings(message)
            case Ended() if self._told:
                self._told[-1].ended = True
        self.tick()

    def tick(self) -> None:
        """Do what is due by now: send a batch, finish a series. Call it some times a second."""
        series = self._series
        if series is None:
            return
        ready = self._ready(series)
        size = sum(array.nbytes for _, _, array in ready)
        late = time.monotonic() - series.since > BATCH_S
        if ready and (late or size >= BATCH_BYTES or series.ended_at is not None):
            self._send(series, ready)
        if isinstance(self._moving, Stage):
            self._locate(series, self._moving)
        if series.ended_at is not None and (
            not self._awaits(series) or self._all_told() or time.monotonic() - series.ended_at > LATE_S
        ):
            self._finish(series)

    def _awaits(self, series: _Series) -> bool:
        """Whether the encoder has still to say something of a series."""
        match self._moving:
            case Axis():
                return bool(series.frames)
            case Stage():
                return not series.closed and not series.carried <= series.located
        return False

    def close(self) -> None:
        """Say what becomes of a series that has not ended."""
        if self._series is not None and self._series.scan:
            self._tell(
                f"scan {self._series.scan} stays open: a bridge that is started again goes on with the next series, "
                "and the service finishes this one when no frame has come for ten minutes"
            )

    def _begin(self, name: str, header: Header | None) -> None:
        if self._series is not None:
            self._finish(self._series)
        self._told = [told for told in self._told if not told.ended]  # of a series before this one was armed
        self._series = _Series(name, header)

    def _frame(self, frame: Frame) -> None:
        if self._series is None or self._series.name != frame.series:
            self._tell(f"series {frame.series}: its header was missed; its mask and its length are not known")
            self._begin(frame.series, None)
        series = self._series
        assert series is not None
        if series.closed:
            return
        array = self._cut(frame.array)
        kind = array.shape, array.dtype.newbyteorder("=")
        series.kind = series.kind or kind
        if kind != series.kind:
            series.left_out.append(
                f"frame {frame.number}: it is {kind[0]} of {kind[1]}, the first one is {series.kind[0]} of "
                f"{series.kind[1]}"
            )
            return
        if not series.frames:
            series.since = time.monotonic()
        series.frames[frame.number] = array

    def _cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """The region that is sent. Raises DataError where it reaches out of the image."""
        if self._roi is None:
            return array
        (top, bottom), (left, right) = self._roi
        if bottom > array.shape[0] or right > array.shape[1]:
            raise DataError(f"the region {top}:{bottom},{left}:{right} reaches out of images of {array.shape}")
        return array[top:bottom, left:right]

    def _readings(self, message: Readings) -> None:
        if self._moving is None:
            return
        for name in self._moving.names:
            if name not in message.values:
                raise StreamError(f"the encoder tells no {name!r}, but {', '.join(message.values)}")
        if not self._told:
            self._told.append(_Told())
        told = zip(*(message.values[name].tolist() for name in self._moving.names), strict=True)
        self._told[-1].readings.update(enumerate(told, message.first))

    def _all_told(self) -> bool:
        return bool(self._told) and self._told[0].ended

    def _ready(self, series: _Series) -> list[tuple[int, int, NDArray[Any]]]:
        """Number, place and data of the frames whose place is known; those that can have none are left out."""
        if not isinstance(self._moving, Axis):
            return [(number, number, array) for number, array in series.frames.items()]
        readings = self._told[0].readings if self._told else {}
        found = []
        for number in sorted(series.frames.keys() & readings.keys()):
            try:
                (place,) = places_of(np.array(readings[number]), self._moving.first, self._moving.step)
            except DataError as error:
                series.left_out.append(f"frame {number}: {error}")
                del series.frames[number]
                continue
            other = series.placed.setdefault(place, number)
            if place < 0 or other != number:
                why = "lies before the first" if place < 0 else f"is the place of frame {other}, too"
                series.left_out.append(f"frame {number}: {self._moving.name} {readings[number][0]:g} {why}")
                del series.frames[number]
                continue
            found.append((number, place, series.frames[number]))
        return found

    def _send(self, series: _Series, ready: list[tuple[int, int, NDArray[Any]]]) -> None:
        if not series.scan:
            self._open(series, ready[0][2])
        places, arrays = [place for _, place, _ in ready], [array for _, _, array in ready]
        try:
            insisting(lambda: self._client.add_frames(series.scan, places, arrays))
            series.carried.update(number for number, _, _ in ready)
        except (ConflictError, RequestError) as error:
            self._tell(f"scan {series.scan} takes no more: {error}")
            series.closed = True
        for number, _, _ in ready:
            series.frames.pop(number)
        series.since = time.monotonic()

    def _locate(self, series: _Series, stage: Stage) -> None:
        """Send the positions that have been told since, those of frames that did not come apart."""
        told = self._told[0].readings if self._told else {}
        if not series.scan or series.closed or not (new := sorted(told.keys() - series.located)):
            return
        positions = stage.scale * np.array([told[number] for number in new])
        try:
            answer = insisting(lambda: self._client.add_positions(series.scan, new, positions))
        except (ConflictError, RequestError) as error:
            self._tell(f"scan {series.scan} takes no more: {error}")
            series.closed = True
            return
        series.located.update(new)
        series.left_out += [f"frame {wrong['place']}: {wrong['reason']}" for wrong in answer["out_of_range"]]

    def _open(self, series: _Series, first: NDArray[Any]) -> None:
        header = series.header or Header(series.name)
        mask = None if header.mask is None else self._cut(header.mask)
        if mask is None and first.dtype.kind == "u" and (first == np.iinfo(first.dtype).max).any():
            mask = first == np.iinfo(first.dtype).max  # as detectors tell gaps and dead pixels
        level = header.saturation
        template = RawScan(
            first[None], None, self._source, f"series {series.name}",
            mask=None if mask is None else mask[None].astype(np.uint8),
            saturation=None if level is None else Saturation(level, "the header of the stream"),
            corrections=self._corrections,
        )  # fmt: skip
        key, name = uuid4().hex, f"{self._source} {series.name}"
        series.scan = insisting(
            lambda: self._client.open_scan(template, header.frames, key=key, name=name, **self._options)
        )["id"]
        self._tell(f"series {series.name}: scan {series.scan}, frames of {first.shape[0]} x {first.shape[1]}")

    def _finish(self, series: _Series) -> None:
        """The end of a series: what has no place by now has none."""
        names = " and no ".join(self._moving.names) if self._moving else "place"
        without = series.carried - series.located if isinstance(self._moving, Stage) else set()
        for number in sorted(series.frames.keys() | without):
            series.left_out.append(f"frame {number}: the encoder told no {names}")
        self._series = None
        self._told = self._told[1:]
        said = f"; {len(series.left_out)} were left out, {series.left_out[0]}" if series.left_out else ""
        if series.sent and not series.closed:
            insisting(lambda: self._client.finish_scan(series.scan, said.removeprefix("; ")[:200]))
        self._tell(f"series {series.name}: ended, {series.sent} frames sent{said}")
