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
from inphase.ptycho.measurement import probe_of
from inphase.ptycho.options import MOST_MODES

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


def decode_probe(body: bytes, shape: tuple[int, int]) -> NDArray[np.complex64]:
    """The modes of a probe, (modes, *shape): complex64, little endian, one after the other.

    Raises DataError where the bytes are no whole number of modes, or too many, and for what is no probe.
    """
    size = np.dtype("<c8").itemsize * shape[0] * shape[1]
    if len(body) % size or not 1 <= len(body) // size <= MOST_MODES:
        raise DataError(
            f"{len(body)} bytes are no probe: it has 1 to {MOST_MODES} modes, and each takes {size}, {shape[0]} x "
            f"{shape[1]} numbers of complex64"
        )
    return probe_of(np.frombuffer(body, "<c8").reshape(-1, *shape), shape, "the probe that was sent")
