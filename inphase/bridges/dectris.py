"""The stream of Dectris detectors: messages of the legacy interface (V1, JSON and bytes) and of V2 (CBOR).

https://github.com/dectris/documentation (stream_v2, cbor) and the SIMPLON API reference, "Stream".
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import cbor2
import numpy as np
from numpy.typing import NDArray

from inphase.bridges.compression import decompressed, told_size
from inphase.bridges.stream import End, Frame, Header, Images, StreamError

_ENCODING: Final = re.compile(r"(?:bs(?P<bits>\d+)-)?(?P<lz4>lz4)?(?P<order>[<>])?")
_ARRAY, _COMPRESSED = 40, 56500  # tags of CBOR
_TYPED: Final = range(64, 88)


@dataclass(frozen=True)
class _Compressed:
    """Bytes as Dectris has compressed them. itemsize: of an element, 0 where the algorithm does not say it."""

    algorithm: str
    itemsize: int
    data: bytes

    def array(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        if self.algorithm == "bslz4" and self.itemsize != dtype.itemsize:
            raise StreamError(f"elements of {self.itemsize} bytes were compressed, and the array is of {dtype}")
        return decompressed(self.algorithm, self.data, dtype, told_size(self.data) // dtype.itemsize)


def decode(parts: Sequence[bytes], channel: str = "") -> Images:
    """A message. parts: as ZeroMQ gives them.

    channel: of a detector with several thresholds, the one that is meant; the first where it is empty. Raises
    StreamError where the message is of neither version, or is cut off.
    """
    if not parts or not parts[0]:
        raise StreamError("the message is empty")
    return _legacy(parts) if parts[0][:1] == b"{" else _second(parts[0], channel)


def _legacy(parts: Sequence[bytes]) -> Images:
    told = _json(parts[0])
    kind, series = str(told.get("htype", "")), str(told.get("series", ""))
    if kind.startswith("dheader-"):
        return _legacy_header(series, told, parts)
    if kind.startswith("dimage-"):
        if len(parts) < 3:
            raise StreamError(f"frame {told.get('frame')} of series {series} has {len(parts)} parts, and not its data")
        number = _number(told, "frame")
        try:
            return Frame(series, number, _legacy_array(_json(parts[1]), parts[2]))
        except StreamError as error:
            raise StreamError(f"frame {number} of series {series}: {error}") from error
    if kind.startswith("dseries_end-"):
        return End(series)
    raise StreamError(f"a message of type {kind or 'none'!r} is none of a Dectris stream")


def _legacy_header(series: str, told: Mapping[str, Any], parts: Sequence[bytes]) -> Header:
    if told.get("header_detail") == "none" or len(parts) < 2:
        return Header(series)
    config = _json(parts[1])
    shape = (_number(config, "y_pixels_in_detector"), _number(config, "x_pixels_in_detector"))
    frames = _number(config, "nimages") * _number(config, "ntrigger")
    header = Header(series, shape, frames, None, _positive(config.get("countrate_correction_count_cutoff")))
    for head, data in pairwise(parts[2:]):
        if head[:1] == b"{" and b"dpixelmask-" in head:
            try:
                return replace(header, mask=_legacy_array(_json(head), data) != 0)
            except StreamError as error:
                return replace(header, remark=f"the pixel mask: {error}")
    return header


def _legacy_array(told: Mapping[str, Any], data: bytes) -> NDArray[Any]:
    """shape: columns first, as V1 says it."""
    try:
        columns, rows = (int(n) for n in told["shape"])
        dtype = np.dtype(told["type"])
    except (KeyError, TypeError, ValueError) as error:
        raise StreamError(f"the data of an image come without their shape and type: {error}") from error
    match = _ENCODING.fullmatch(str(told.get("encoding", "<")))
    if match is None:
        raise StreamError(f"the encoding {told['encoding']!r} is not known")
    dtype = dtype.newbyteorder(match["order"] or "<")
    if match["bits"] and int(match["bits"]) != 8 * dtype.itemsize:
        raise StreamError(f"the encoding {told['encoding']!r} does not belong to {dtype}")
    algorithm = "bslz4" if match["bits"] else "bare lz4" if match["lz4"] else ""
    return _native(decompressed(algorithm, data, dtype, rows * columns).reshape(rows, columns))


def _second(message: bytes, channel: str) -> Images:
    try:
        told = cbor2.loads(message, tag_hook=_tagged)
    except Exception as error:  # whatever is found wrong with bytes of a network
        if isinstance(error.__cause__, StreamError):  # of an array within
            raise error.__cause__ from None
        raise StreamError(f"{len(message)} bytes are neither JSON nor CBOR: {error}") from error
    if not isinstance(told, Mapping):
        raise StreamError(f"a message holds {type(told).__name__}, and those of a Dectris stream are maps")
    kind, series = told.get("type"), str(told.get("series_id", ""))
    if kind == "start":
        mask = _channel(told.get("pixel_mask") or {}, channel)
        return Header(
            series,
            (_number(told, "image_size_y"), _number(told, "image_size_x")),
            _number(told, "number_of_images"),
            None if mask is None else mask != 0,
            _positive(told.get("saturation_value")),
        )
    if kind == "image":
        array = _channel(told.get("data") or {}, channel)
        if array is None or array.ndim != 2:
            raise StreamError(f"image {told.get('image_id')} of series {series} holds no data of channel {channel!r}")
        return Frame(series, _number(told, "image_id"), array)
    if kind == "end":
        return End(series)
    raise StreamError(f"a message of type {kind!r} is none of a Dectris stream")


def _channel(of: Any, channel: str) -> NDArray[Any] | None:
    """What is meant of a map by channel; None where there is nothing."""
    if not isinstance(of, Mapping) or not of:
        return None
    if channel and channel not in of:
        raise StreamError(f"there is no channel {channel!r}, but {', '.join(map(str, of))}")
    found = of[channel] if channel else next(iter(of.values()))
    if not isinstance(found, np.ndarray):
        raise StreamError(f"a channel holds {type(found).__name__}, no array")
    return found


def _tagged(tag: cbor2.CBORTag, immutable: bool) -> Any:
    """Arrays (RFC 8746), and bytes that were compressed."""
    if tag.tag == _COMPRESSED:
        algorithm, itemsize, data = tag.value
        return _Compressed(str(algorithm), int(itemsize), bytes(data))
    if tag.tag in _TYPED:
        dtype = _dtype(tag.tag)
        return tag.value.array(dtype) if isinstance(tag.value, _Compressed) else np.frombuffer(tag.value, dtype)
    if tag.tag == _ARRAY:
        shape, values = tag.value
        return _native(np.asarray(values).reshape([int(n) for n in shape]))
    return tag


def _dtype(tag: int) -> np.dtype[Any]:
    """Of a typed array: its tag says floating, signed, little endian, and the size, bit by bit (RFC 8746, 2.1)."""
    floating, signed, little, size = tag >> 4 & 1, tag >> 3 & 1, tag >> 2 & 1, tag & 3
    kind = "f" if floating else "i" if signed else "u"
    nbytes = 2 ** (size + 1) if floating else 2**size
    if nbytes > 8:
        raise StreamError("floats of 16 bytes are not taken")
    return np.dtype(f"{'<' if little else '>'}{kind}{nbytes}")


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _json(part: bytes) -> dict[str, Any]:
    try:
        found = json.loads(part)
    except ValueError as error:
        raise StreamError(f"a part of {len(part)} bytes is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise StreamError(f"a part holds {type(found).__name__} instead of names and values")
    return found


def _number(told: Mapping[str, Any], name: str) -> int:
    found = told.get(name)
    if not isinstance(found, int) or found < 0:
        raise StreamError(f"{name} is {found!r}, and no number of something")
    return found


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
