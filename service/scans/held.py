"""Frames of live scans in memory, for every look needs all of them again."""

from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST: Final = 256 * 2**20  # bytes: five curves of 201 frames of 256 x 256 pixels in 32 bits


class Held:
    """Groups of frames that were written or read lately. The oldest make room for new ones; all are on the disk, so
    that nothing is lost with them.

    most: bytes of all groups.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._groups: dict[tuple[str, str], NDArray[np.generic]] = {}  # the newest last
        self._lock = Lock()

    def get(self, scan_id: str, group: str) -> NDArray[np.generic] | None:
        """The frames (n, rows, columns) of a group, None where they are not here."""
        with self._lock:
            return self._groups.get((scan_id, group))

    def keep(self, scan_id: str, group: str, frames: NDArray[np.generic]) -> None:
        """Hold the frames of a group, which nobody may change from now on; not those that need more than all room."""
        if frames.nbytes > self._most:
            return
        frames.flags.writeable = False
        with self._lock:
            self._groups[scan_id, group] = frames
            held = sum(each.nbytes for each in self._groups.values())
            while held > self._most:
                held -= self._groups.pop(next(iter(self._groups))).nbytes

    def forget(self, scan_id: str) -> None:
        """Hold nothing of a scan any more."""
        with self._lock:
            self._groups = {key: frames for key, frames in self._groups.items() if key[0] != scan_id}
