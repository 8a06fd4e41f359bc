"""A subscription to a PV over EPICS PVAccess that knows how it stands, and that loses nothing while it is read late."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from p4p.client.thread import Context
from p4p.util import ThreadedWorkQueue

from inphase.bridges.standing import Standing, State

_REQUEST: Final = "field()record[queueSize=100]"  # frames that wait at the IOC
_WAITING_BYTES: Final = 2**30  # of frames that wait here while a batch is being sent; then the IOC drops some


@dataclass(frozen=True)
class Update:
    """What a PV holds, a p4p.Value. standing: it was there when the connection came about, and may be old."""

    value: Any
    standing: bool


@dataclass(frozen=True)
class Pause:
    """Nothing has come for a while."""


class Source:
    """A subscription to one PV. tell: hears in a line whenever it stands otherwise.

    pause: seconds without an update after which `messages` has a Pause. conf: settings of EPICS (EPICS_PVA_ADDR_LIST,
    ...) in place of those of the environment. Whoever opens it closes it.
    """

    def __init__(
        self, name: str, tell: Callable[[str], object], pause: float, conf: Mapping[str, str] | None = None
    ) -> None:
        self.address = name
        self._standing = Standing(name, tell, _why_not, _why_silent)
        self._pause, self._heard_at, self._paused = pause, time.monotonic(), True
        # updates and their bytes, and the exceptions by which p4p tells how it stands
        self._events: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._joined = False  # an update has come since the connection did
        self._context = Context("pva", conf=None if conf is None else dict(conf), useenv=conf is None, nt=False)
        self._queue = ThreadedWorkQueue(workers=1, name="inphase pva")  # several would mix up the order
        self._queue.start()
        self._subscription = self._context.monitor(
            name, self._came, request=_REQUEST, notify_disconnect=True, queue=self._queue
        )

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._standing.state

    def close(self) -> None:
        """End the subscription."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._subscription.close()
        self._queue.stop()
        self._context.close()

    def messages(self) -> Iterator[Update | Pause]:
        """Those that have come, without waiting."""
        while (event := self._taken()) is not None:
            if isinstance(event, Exception):  # p4p says so at the beginning, too
                self._standing.lost()
                self._joined = False
                continue
            standing, self._joined = not self._joined, True
            if standing:
                self._standing.connected()
            else:
                self._standing.heard()
            self._heard_at, self._paused = time.monotonic(), False
            yield Update(event, standing)
        self._standing.look()
        if not self._paused and time.monotonic() - self._heard_at > self._pause:
            self._paused = True
            yield Pause()

    def wait(self, seconds: float) -> None:
        """Return when an update is there, at the latest after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._events), seconds)

    def _came(self, event: Any) -> None:
        """Called by p4p; it waits while too much waits here."""
        size = 0 if isinstance(event, Exception) else int(getattr(event.get("value"), "nbytes", 0))
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._bytes < _WAITING_BYTES)
            self._events.append((event, size))
            self._bytes += size
            self._changed.notify_all()

    def _taken(self) -> Any:
        with self._changed:
            if not self._events:
                return None
            event, size = self._events.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return event


def _why_not() -> str:
    return (
        "nobody serves a PV of this name; is the IOC running, is the name that of the PVA plugin's image "
        "(13SIM1:Pva1:Image), does EPICS_PVA_ADDR_LIST name the IOC's network, and does no firewall stop TCP 5075 and "
        "UDP 5076?"
    )


def _why_silent() -> str:
    return "is the detector acquiring, and are the callbacks of the PVA plugin enabled (EnableCallbacks)?"
