"""How frames and positions travel: one after the other, each with its place before it.

The place is an unsigned integer of 8 bytes, little endian; the frame follows row by row, little endian, in the type and
shape of its scan. The position of a ptychographic frame is two floating point numbers of 8 bytes, row and column,
behind its place. So a detector's program needs no library to send them, and nothing is unpacked to read them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.live.awaited import Awaited

PLACE: Final = np.dtype("<u8")
POSITION: Final = np.dtype([("place", PLACE), ("row", "<f8"), ("column", "<f8")])

Position = tuple[float, float]


def decode(body: bytes, awaited: Awaited) -> list[tuple[int, NDArray[np.generic]]]:
    """Places and frames, in this machine's byte order.

    Raises DataError where the bytes are no whole number of frames, and for a frame that is no measurement.
    """
    nbytes = awaited.template.array.nbytes
    size = PLACE.itemsize + nbytes
    if not body or len(body) % size:
        raise DataError(
            f"{len(body)} bytes are no whole number of frames: each takes {size} here, {PLACE.itemsize} for its place "
            f"and {nbytes} for {awaited.shape[0]} x {awaited.shape[1]} numbers of {awaited.dtype}"
        )
    kind = np.dtype([("place", PLACE), ("frame", awaited.dtype.newbyteorder("<"), awaited.shape)])
    found = []
    for record in np.frombuffer(body, kind):
        place, frame = int(record["place"]), record["frame"].astype(awaited.dtype)
        awaited.check(place, frame)
        found.append((place, frame))
    return found


def decode_positions(body: bytes) -> list[tuple[int, Position]]:
    """Places and positions (row, column), finite or not. Raises DataError where the bytes are not a whole number."""
    if not body or len(body) % POSITION.itemsize:
        raise DataError(
            f"{len(body)} bytes are no whole number of positions: each takes {POSITION.itemsize}, 8 for its place and "
            "twice 8 for row and column"
        )
    return [(int(place), (float(row), float(column))) for place, row, column in np.frombuffer(body, POSITION).tolist()]
