"""What a reading process leaves in its memory file, and how that is looked at by those who do not trust it.

The file: arrays, each at a multiple of 64 bytes; the record as JSON; and at its end the place and the length of the
record.
"""

import math
import mmap
import os
import struct
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, InphaseError, TooLargeError
from inphase.formats import RawScan
from inphase.formats.maps import ROI, map_arrays
from inphase.formats.region import Region
from inphase.formats.scan import GEOMETRY, Saturation, geometry_arrays
from inphase.geometry import Geometry
from inphase.pattern import MaskState
from inphase.preprocess.corrections import Corrections
from inphase.ptycho.measurement import Measurement
from inphase.ptycho.parts import measurement_of, parts_of

_ALIGNED: Final = 64
_TAIL: Final = struct.Struct("<QQ")
_RECORD_MOST: Final = 2**26  # bytes of JSON
_WRITE_MOST: Final = 2**30  # bytes of one call of the system, which takes less than 2 GiB
_GROWN: Final = 2  # numbers of half precision, which are squared, have twice as many bytes then
_KINDS: Final[dict[str, type[InphaseError]]] = {"data": DataError, "too-large": TooLargeError}


class AnswerError(Exception):
    """What a reading process left is no answer."""


@dataclass(frozen=True)
class Held:
    """An array in the file. repeated: how often the one frame of a mask is seen; 0: the array is as it is."""

    offset: int
    shape: tuple[int, ...]
    dtype: str
    repeated: int = 0


@dataclass(frozen=True)
class Fault:
    """Why nothing was read."""

    kind: Literal["data", "too-large"]
    text: str


@dataclass(frozen=True)
class Answer:
    """All that is no array, and where the arrays are. fault: why there are none. notes: of a
    ptychographic measurement.
    """

    fault: Fault | None = None
    source: str = ""
    chosen: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    saturation: Saturation | None = None
    corrected: bool = False
    region: Region | None = None
    notes: tuple[str, ...] = ()
    arrays: dict[str, Held] = field(default_factory=dict)


class Writer:
    """Fills the memory file, inside the reading process."""

    def __init__(self, file: int) -> None:
        self._file, self._end = file, 0

    def scan(self, scan: RawScan) -> None:
        """Leave a scan."""
        arrays: dict[str, NDArray[Any]] = {"array": scan.array}
        arrays |= geometry_arrays(scan.geometry) | map_arrays(scan.corrections)
        if scan.mask is not None:
            arrays["mask"] = scan.mask
        held = {name: self._array(name, array) for name, array in arrays.items()}
        self._record(
            Answer(
                source=scan.source, chosen=scan.chosen, metadata=dict(scan.metadata), saturation=scan.saturation,
                corrected=scan.corrections is not None, region=scan.region, arrays=held,
            )
        )  # fmt: skip

    def ptychogram(self, measured: Measurement) -> None:
        """Leave a ptychographic measurement."""
        held = {name: self._array(name, array) for name, array in parts_of(measured).items()}
        self._record(Answer(source=measured.source, notes=measured.notes, arrays=held))

    def fault(self, error: DataError) -> None:
        """Leave the reason why nothing was read."""
        self._record(Answer(fault=Fault("too-large" if isinstance(error, TooLargeError) else "data", str(error))))

    def _array(self, name: str, array: NDArray[Any]) -> Held:
        repeated = len(array) if name == "mask" and array.ndim == 3 and array.strides[0] == 0 and len(array) > 1 else 0
        kept = np.ascontiguousarray(array[:1] if repeated else array)
        offset = -(-self._end // _ALIGNED) * _ALIGNED
        self._write(kept.reshape(-1).view(np.uint8).data, offset)
        return Held(offset, tuple(kept.shape), kept.dtype.str, repeated)

    def _record(self, answer: Answer) -> None:
        text = msgspec.json.encode(answer)
        start = self._end
        self._write(memoryview(text), start)
        self._write(memoryview(_TAIL.pack(start, len(text))), self._end)

    def _write(self, content: memoryview, offset: int) -> None:
        done = 0
        while done < len(content):
            done += os.pwrite(self._file, content[done : done + _WRITE_MOST], offset + done)
        self._end = offset + done


class Contents:
    """A memory file that nobody can change any more, mapped: what of it is changed here changes here alone."""

    def __init__(self, file: int, most: int) -> None:
        """most: bytes of the measurement. Raises AnswerError where the process has left no record."""
        self._most = most
        self._size = os.fstat(file).st_size
        if self._size < _TAIL.size:
            raise AnswerError("it left nothing")
        self._map = mmap.mmap(file, self._size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        start, length = _TAIL.unpack(self._map[-_TAIL.size :])
        if length > _RECORD_MOST or start + length > self._size:
            raise AnswerError("its record lies outside its memory")
        try:
            self._answer = msgspec.json.decode(self._map[start : start + length], type=Answer)
        except msgspec.MsgspecError as error:
            raise AnswerError(f"its record is damaged: {error}") from None

    def scan(self) -> RawScan:
        """The scan. Raises DataError, TooLargeError as the reader did; AnswerError."""
        answer, arrays = self._answer, self._arrays()
        array = arrays.pop("array", None)
        if array is None or array.ndim not in (2, 3) or array.dtype.kind not in "uif" or not array.size:
            raise AnswerError("it left no measurement")
        _require(array.nbytes <= self._most, "measurement")
        mask = arrays.pop("mask", None)
        if mask is not None:
            _require(mask.shape == array.shape and mask.dtype == np.uint8, "mask")
            _require((mask[:1] if mask.strides[0] == 0 else mask).max() <= max(MaskState), "mask")
        _require(answer.region is None or answer.region.fits(array.shape), "region")
        corrections = _corrections(arrays) if answer.corrected else None
        return RawScan(
            array,
            _geometry(arrays),
            answer.source,
            answer.chosen,
            answer.metadata,
            mask,
            answer.saturation,
            corrections,
            answer.region,
        )

    def ptychogram(self) -> Measurement:
        """The ptychographic measurement. Raises as `scan`."""
        arrays = self._arrays()
        try:
            measured = measurement_of(arrays, self._answer.source, self._answer.notes)
        except (ValueError, KeyError, DataError) as error:
            raise AnswerError(f"the measurement that it left is not valid: {error}") from None
        _require(measured.patterns.nbytes <= _GROWN * self._most, "measurement")
        return measured

    def _arrays(self) -> dict[str, NDArray[Any]]:
        if (fault := self._answer.fault) is not None:
            raise _KINDS[fault.kind](fault.text)
        return {name: self._array(name, held) for name, held in self._answer.arrays.items()}

    def _array(self, name: str, held: Held) -> NDArray[Any]:
        try:
            dtype = np.dtype(held.dtype)
        except TypeError as error:
            raise AnswerError(f"an array of no known type: {error}") from None
        count = math.prod(held.shape)
        fits = 0 <= held.offset <= self._size and all(side >= 0 for side in held.shape)
        if (
            not fits
            or dtype.kind not in ("c" if name == "probe" else "buif")
            or held.offset + count * dtype.itemsize > self._size
        ):
            raise AnswerError("an array lies outside its memory")
        found: NDArray[Any] = np.frombuffer(self._map, dtype, count, held.offset).reshape(held.shape)
        if not held.repeated:
            return found
        _require(name == "mask" and held.repeated > 0 and found.ndim == 3 and len(found) == 1, name)
        return np.broadcast_to(found, (held.repeated, *held.shape[1:]))


def _require(holds: bool, name: str) -> None:
    if not holds:
        raise AnswerError(f"the {name} that it left is not valid")


def _geometry(arrays: dict[str, NDArray[Any]]) -> Geometry | None:
    steps, centre, rotation = (arrays.get(name) for name in GEOMETRY)
    if steps is None:
        return None
    for name, found, shapes in (
        ("q_steps", steps, ((3, 3), (2, 3))),
        ("q_centre", centre, ((3,),)),
        ("sample_rotation", rotation, ((3, 3),)),
    ):
        if found is not None:
            _require(found.shape in shapes and found.dtype == np.float64 and bool(np.isfinite(found).all()), name)
    return Geometry(steps, centre, rotation)


def _corrections(arrays: dict[str, NDArray[Any]]) -> Corrections:
    region = arrays.get(ROI)
    if region is None:
        return Corrections(arrays.get("dark"), arrays.get("flat"))
    _require(region.shape == (2, 2) and region.dtype.kind in "ui", "region of the maps")
    (top, bottom), (left, right) = ((int(first), int(end)) for first, end in region)
    return Corrections(arrays.get("dark"), arrays.get("flat"), ((top, bottom), (left, right)))
