"""Memory that requests and readings hold, counted as it is taken: one bound for all, and one for each owner."""

import threading
from collections import Counter
from types import TracebackType
from typing import Final

from inphase.errors import InphaseError, TooLargeError
from inphase.sizes import in_words

_PER_VOXEL: Final = 25  # bytes beside the array itself: benchmarks/results/memory.md


def working_bytes(voxels: int, nbytes: int) -> int:
    """Memory at its peak while a measurement of so many bytes is read, cleaned and predicted."""
    return nbytes + voxels * _PER_VOXEL


def carried_bytes(elements: int, nbytes: int) -> int:
    """The same while a ptychographic measurement is read and passed on to a worker: its arrays, twice where numbers of
    half precision are squared, as they are and as they are written, and a mask.
    """
    return 2 * nbytes + elements


class BusyError(InphaseError):
    """What is at work leaves no room for more now."""


class ShareError(InphaseError):
    """One owner's requests take as much as they may."""


class Budget:
    """Bytes at work.

    limit: of all owners together. owner_limit: of one, so that none keeps the others out; by default three quarters.
    """

    def __init__(self, limit: int, owner_limit: int | None = None) -> None:
        self.limit, self.owner_limit = limit, owner_limit or limit * 3 // 4
        self._lock = threading.Lock()
        self._used: Counter[str] = Counter()

    @property
    def used(self) -> int:
        """Bytes that are taken now."""
        return self._used.total()

    def share(self, owner: str) -> "Share":
        """The part of one request, empty at first."""
        return Share(self, owner)

    def check(self, nbytes: int) -> None:
        """Raises TooLargeError for what could never fit."""
        most = min(self.limit, self.owner_limit)
        if nbytes > most:
            raise TooLargeError(
                f"to work on this takes {in_words(nbytes)} of memory or more, and the requests of one owner may take "
                f"{in_words(most)}: crop the detector to the region around the peak"
            )

    def take(self, owner: str, nbytes: int, held: int) -> None:
        """More for a request that holds something already.

        Raises TooLargeError for what could never fit, ShareError and BusyError for what does not fit now.
        """
        self.check(held + nbytes)
        with self._lock:
            if self._used[owner] + nbytes > self.owner_limit:
                raise ShareError(
                    f"requests of {owner or 'this owner'} at work take {in_words(self._used[owner])} of memory, and "
                    f"{in_words(nbytes)} more do not fit into one owner's share: wait for their answers"
                )
            if self.used + nbytes > self.limit:
                raise BusyError(
                    f"{in_words(self.used)} of requests are at work and {in_words(nbytes)} more do not fit: try again "
                    "in a moment"
                )
            self._used[owner] += nbytes

    def give_back(self, owner: str, nbytes: int) -> None:
        """Of what was taken."""
        with self._lock:
            self._used[owner] -= nbytes
            if not self._used[owner]:
                del self._used[owner]


class Share:
    """What one request holds; all of it is given back when the block ends."""

    def __init__(self, budget: Budget, owner: str) -> None:
        self._budget, self._owner = budget, owner
        self.held = 0

    def grow_to(self, nbytes: int) -> None:
        """Hold at least so many bytes. Raises as `Budget.take`."""
        if nbytes > self.held:
            self._budget.take(self._owner, nbytes - self.held, self.held)
            self.held = nbytes

    def check(self, nbytes: int) -> None:
        """Raises TooLargeError for what this request could never hold; nothing is taken."""
        self._budget.check(nbytes)

    def __enter__(self) -> "Share":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.give_back(self._owner, self.held)
        self.held = 0
