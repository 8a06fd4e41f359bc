"""Carries what comes from detectors and encoders into a feed, until it is stopped."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from inphase.bridges.feed import Feed
from inphase.bridges.stream import Message, StreamError

_TICK_S: Final = 0.05
_AGAIN_S: Final = 10.0  # for which further messages that are not understood are counted only


class Source(Protocol):
    """A connection."""

    @property
    def address(self) -> str:
        """Where to."""

    def messages(self) -> Iterator[Any]:
        """Those that have come, without waiting."""


@dataclass(frozen=True)
class Line:
    """A connection and what its messages are understood by, which raises StreamError."""

    source: Source
    decode: Callable[[Any], Iterable[Message]]


def carry(
    lines: Sequence[Line],
    wait: Callable[[float], object],
    feed: Feed,
    complain: Callable[[str], object],
    stop: threading.Event,
) -> None:
    """Carry messages until `stop` or Ctrl-C.

    wait: returns when one of the lines has a message, at the latest after so many seconds. complain: hears of messages
    that are not understood; they are left out.

    The order of `lines` is that in which what has come at the same time is taken: the detector's first. Raises as
    `Feed.take`.
    """
    strange = _Strange(complain)
    try:
        while not stop.is_set():
            wait(_TICK_S)
            for line in lines:
                for received in line.source.messages():
                    try:
                        for message in line.decode(received):
                            feed.take(message)
                    except StreamError as error:
                        strange.came(f"{line.source.address}: {error}")
            feed.tick()
    finally:
        feed.close()


class _Strange:
    """Messages that are not understood: one is told, and after a while how many there were."""

    def __init__(self, complain: Callable[[str], object]) -> None:
        self._complain, self._told_at, self._untold = complain, -_AGAIN_S, 0

    def came(self, what: str) -> None:
        """One more."""
        if time.monotonic() - self._told_at < _AGAIN_S:
            self._untold += 1
            return
        before = f" ({self._untold} others before it)" if self._untold else ""
        self._complain(f"{what}{before}")
        self._told_at, self._untold = time.monotonic(), 0
