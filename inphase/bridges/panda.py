"""Encoder readings of a PandA box, as its PCAP block captures them and a ZeroMQ publisher tells them as JSON.

A message is `series-start`, `data` with the frame at which it begins and one list (or one number) for each captured
field, or `series-end`.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from inphase.bridges.stream import Begun, Encoders, Ended, Readings, StreamError

_NO_FIELDS: Final = ("message_id", "message_type", "version", "frame_number")


def decode(parts: Sequence[bytes]) -> Encoders:
    """A message. parts: as ZeroMQ gives them. Raises StreamError where it is none of PandA's."""
    try:
        told = json.loads(parts[0])
        kind = told["message_type"]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise StreamError(f"a message is none of PandA's: {error!r}") from error
    if kind == "series-start":
        return Begun()
    if kind == "series-end":
        return Ended()
    if kind != "data":
        raise StreamError(f"a message of type {kind!r} is none of PandA's")
    return _readings(told)


def _readings(told: dict[str, Any]) -> Readings:
    try:
        first = int(told["frame_number"])
        values = {
            name: np.atleast_1d(np.asarray(value, np.float64))
            for name, value in told.items()
            if name not in _NO_FIELDS and not isinstance(value, str)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise StreamError(f"message {told.get('message_id')} of PandA cannot be read: {error!r}") from error
    if len({value.shape for value in values.values()}) != 1:
        raise StreamError(f"message {told.get('message_id')} of PandA holds {len(values)} fields of different lengths")
    return Readings(first, values)
