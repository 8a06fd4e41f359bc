"""How often each key asks: so many requests in any minute. Each API process counts for itself."""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from service.jobs.errors import QuotaError

_MINUTE_S: Final = 60.0


class Rates:
    """When the requests of the last minute came, for each key that may not ask as often as it likes.

    Not for threads: requests are let in by the event loop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def take(self, key: str, most: int | None) -> None:
        """Let a request of a key in. most: so many in a minute. Raises QuotaError, which says when there is room."""
        if most is None:
            self._times.pop(key, None)
            return
        now = self._clock()
        times = self._times.setdefault(key, deque())
        while times and times[0] <= now - _MINUTE_S:
            times.popleft()
        if len(times) >= most:
            wait = math.ceil(times[len(times) - most] + _MINUTE_S - now)
            raise QuotaError(f"this key may send {most} requests a minute: try again in {wait} s", retry_after_s=wait)
        times.append(now)
