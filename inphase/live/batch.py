"""How frames travel: one after the other, each with its place before it.

The place is an unsigned integer of 8 bytes, little endian; the frame follows row by row, little endian, in the type and
shape of its curve. So a detector's program needs no library to send them, and nothing is unpacked to read them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.live.curve import Curve

PLACE: Final = np.dtype("<u8")


def decode(body: bytes, curve: Curve) -> list[tuple[int, NDArray[np.generic]]]:
    """Places and frames, in this machine's byte order.

    Raises DataError where the bytes are no whole number of frames, and for a frame that is no measurement.
    """
    nbytes = curve.template.array.nbytes
    size = PLACE.itemsize + nbytes
    if not body or len(body) % size:
        raise DataError(
            f"{len(body)} bytes are no whole number of frames: each takes {size} here, {PLACE.itemsize} for its place "
            f"and {nbytes} for {curve.shape[0]} x {curve.shape[1]} numbers of {curve.dtype}"
        )
    kind = np.dtype([("place", PLACE), ("frame", curve.dtype.newbyteorder("<"), curve.shape)])
    found = []
    for record in np.frombuffer(body, kind):
        place, frame = int(record["place"]), record["frame"].astype(curve.dtype)
        curve.check(place, frame)
        found.append((place, frame))
    return found
