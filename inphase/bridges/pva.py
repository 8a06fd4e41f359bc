"""Images of areaDetector over EPICS PVAccess: NTNDArray, and the curves that its ids stand for.

https://docs.epics-controls.org/en/latest/pv-access/Normative-Types-Specification.html, NTNDArray, and ADCore's
NDPluginPva and NDPluginCodec.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inphase.bridges.compression import decompressed
from inphase.bridges.pvaccess import Pause, Update
from inphase.bridges.stream import Begun, End, Ended, Frame, Header, Message, Readings, StreamError

_TYPE: Final = "epics:nt/NTNDArray:"
# of what was compressed, by the numbers of pvData's ScalarType, from pvBoolean on
_COMPRESSED: Final = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
_CODECS: Final = {"blosc": "blosc", "lz4": "bare lz4", "bslz4": "bare bslz4"}
_MONO: Final = 0  # ColorMode
_NAMED: Final = 10  # ids that are named


@dataclass(frozen=True)
class Image:
    """An image, (rows, columns). identity: its uniqueId. stamp: seconds, 0 where the detector tells none.
    attributes: those that are numbers.
    """

    identity: int
    stamp: float
    array: NDArray[Any]
    attributes: Mapping[str, float]


def decode(value: Any) -> Image | None:
    """An image of an NTNDArray (p4p.Value); None where it holds none, as before the first. Raises StreamError."""
    kind = value.getID()
    if not kind.startswith(_TYPE):
        raise StreamError(
            f"{kind or 'the PV'} is no NTNDArray: name the image of a PVA plugin, as in 13SIM1:Pva1:Image"
        )
    sizes = [int(dimension.size) for dimension in value.dimension]
    if value.value is None or not sizes or not all(sizes):
        return None
    identity, attributes = int(value.uniqueId), _attributes(value)
    try:
        mode = attributes.get("ColorMode", _MONO)
        if mode != _MONO or len(sizes) != 2:
            raise StreamError(
                f"{len(sizes)} axes of {' x '.join(map(str, sizes))} in ColorMode {mode:g}: images have columns and "
                "rows in ColorMode Mono; set the detector to Mono, and split stacks before the PVA plugin"
            )
        columns, rows = sizes  # the fastest first
        array = _numbers(value, rows * columns).reshape(rows, columns)
    except StreamError as error:
        raise StreamError(f"image {identity}: {error}") from error
    stamp = value.timeStamp
    seconds = float(stamp.secondsPastEpoch) + 1e-9 * float(stamp.nanoseconds)
    return Image(identity, seconds, array, attributes)


def _numbers(value: Any, count: int) -> NDArray[Any]:
    """The numbers of an image, one axis; booleans as 0 and 1."""
    codec, data = value.codec.name, np.asarray(value.value)
    if codec:
        data = _unpacked(codec, value.codec.parameters, data.tobytes()[: int(value.compressedSize)], count)
    elif data.size != count:
        raise StreamError(f"it holds {data.size} numbers, and its axes take {count}")
    return data.astype(np.uint8) if data.dtype.kind == "b" else data


def _unpacked(codec: str, parameters: Any, data: bytes, count: int) -> NDArray[Any]:
    if codec not in _CODECS:
        lossy = "loses counts" if codec == "jpeg" else "is not known"
        raise StreamError(f"codec {codec!r} {lossy}: set the codec plugin to BSLZ4, LZ4, Blosc or None")
    if not isinstance(parameters, int) or not 0 <= parameters < len(_COMPRESSED):
        raise StreamError(f"codec.parameters is {parameters!r}, and no number of a type of what was compressed")
    return decompressed(_CODECS[codec], data, np.dtype(_COMPRESSED[parameters]), count)


def _attributes(value: Any) -> dict[str, float]:
    numbers = {each.name: each.value for each in value.attribute}
    return {name: float(found) for name, found in numbers.items() if isinstance(found, bool | int | float)}


@dataclass
class _Curve:
    """A curve that goes on. base: the id of its first frame. seen: the stamp of each id."""

    name: str
    base: int
    seen: dict[int, float] = field(default_factory=dict)

    def began_again(self, image: Image) -> bool:
        """Whether the ids have: they went back though time went on."""
        return image.identity <= max(self.seen) and image.stamp > max(self.seen.values())

    def missing(self, frames: int | None) -> str:
        """Which ids did not come, for people. frames: of a whole curve; None is up to the last one that came."""
        end = max(self.seen) + 1 if frames is None else self.base + frames
        ids = sorted(set(range(self.base, end)) - self.seen.keys())
        more = ", ..." if len(ids) > _NAMED else ""
        return f"{len(ids)} images did not come: {', '.join(map(str, ids[:_NAMED]))}{more}" if ids else ""


class Curves:
    """Makes messages of updates: the id of an image says its number in its curve.

    frames: of a curve; where it is known a curve ends with its last id, and the next begins behind it. first: the id
    of a curve's first frame, of detectors that count anew for each; None is that of the first one that comes.
    motors: the attributes that say where a frame was taken. A curve ends as well when the ids begin again, and when
    nothing has come for a while.
    """

    def __init__(self, frames: int | None = None, first: int | None = None, motors: tuple[str, ...] = ()) -> None:
        self._frames, self._first, self._motors = frames, first, motors
        self._curve: _Curve | None = None
        self._past: _Curve | None = None
        self._count = 0
        self._next: int | None = None  # the id behind the last curve that was ended by its length
        self._last: tuple[int, float] | None = None  # id and stamp of the image that came last

    def take(self, message: Update | Pause) -> Iterator[Message]:
        """What an update means. Raises StreamError where it cannot be read, or is left out, for a reason it tells."""
        if isinstance(message, Pause):
            self._next = None
            if self._last is not None and not self._last[1]:
                self._last = None  # without times the same id is another image after a pause
            yield from self._end()
            return
        image = decode(message.value)
        if image is None:
            return
        known, self._last = self._last, (image.identity, image.stamp)
        if message.standing and known == self._last:
            return  # what a new connection begins with
        if message.standing and known is None:
            raise StreamError(f"image {image.identity} was there before the bridge, and is left out")
        if known == self._last or (self._past is not None and self._late(self._past, image)):
            raise StreamError(f"image {image.identity} came again, and is taken once")
        yield from self._place(image)

    def _place(self, image: Image) -> Iterator[Message]:
        if self._curve is not None and self._curve.began_again(image):
            yield from self._end()
        curve = self._curve
        number = image.identity - (self._base(image) if curve is None else curve.base)
        if self._frames is not None and curve is not None and number >= self._frames:
            self._next = curve.base + self._frames
            yield from self._end()
            curve, number = None, image.identity - self._base(image)
        if curve is None and number >= 0:
            self._count += 1
            self._curve = curve = _Curve(str(self._count), image.identity - number)
            yield Header(curve.name, (image.array.shape[0], image.array.shape[1]), self._frames)
            if self._motors:
                yield Begun()
        if curve is None or number < 0:
            raise StreamError(f"image {image.identity} is left out: it lies before the first of its curve")
        if image.identity in curve.seen:
            raise StreamError(f"image {image.identity} came again, and is taken once")
        curve.seen[image.identity] = image.stamp
        for motor in self._motors:
            if motor not in image.attributes:
                known = ", ".join(image.attributes) or "none that is a number"
                raise StreamError(f"image {image.identity} has no attribute {motor!r}, but {known}")
        if self._motors:
            yield Readings(number, {motor: np.array([image.attributes[motor]]) for motor in self._motors})
        yield Frame(curve.name, number, image.array)
        if len(curve.seen) == self._frames:
            self._next = curve.base + self._frames
            yield from self._end()

    @staticmethod
    def _late(past: _Curve, image: Image) -> bool:
        """Whether a curve that has ended has it; where the detector tells no time, that is not known."""
        return image.identity in past.seen and 0 < image.stamp <= max(past.seen.values())

    def _base(self, image: Image) -> int:
        """The id of the first frame of the curve that an image belongs to."""
        begin = self._first if self._next is None or image.identity < self._next else self._next
        if begin is None:
            return image.identity
        if self._frames is None or image.identity < begin:
            return begin
        return image.identity - (image.identity - begin) % self._frames

    def _end(self) -> Iterator[Message]:
        curve, self._curve = self._curve, None
        if curve is None:
            return
        self._past = curve
        yield End(curve.name, curve.missing(self._frames))
        if self._motors:
            yield Ended()
