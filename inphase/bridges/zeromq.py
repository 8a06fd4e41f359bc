"""A ZeroMQ socket that knows how it stands: ZeroMQ itself never says that it cannot connect."""

import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from inphase.errors import InphaseError

Pattern = Literal["PULL", "SUB"]
State = Literal["connecting", "cannot connect", "no data", "data"]

REFUSED_S: Final = 3.0  # after which a connection that has not come about is told
SILENT_S: Final = 10.0  # after which a connection without a message is told
_LARGEST: Final = 2**30  # bytes of a message
_QUEUED: Final = 10_000  # messages that wait here while a batch is being sent


class SocketError(InphaseError):
    """The address is none."""


class Source:
    """One connection to a publisher. tell: hears in a line whenever it stands otherwise.

    pattern: PULL for a detector, which gives each message to one receiver alone; SUB for a publisher, which gives it to
    all. Whoever opens it closes it.
    """

    def __init__(self, address: str, pattern: Pattern, tell: Callable[[str], object]) -> None:
        self.address, self._tell = address, tell
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.PULL if pattern == "PULL" else zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, _QUEUED)
        self.socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST)
        if pattern == "SUB":
            self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self.monitor = self.socket.get_monitor_socket(
            zmq.EVENT_CONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self.state: State = "connecting"
        self._since = time.monotonic()
        self._stranger = False
        self._told_silent = False
        try:
            self.socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise SocketError(f"{address!r} is no address, as in tcp://detector:31001: {error}") from error

    def close(self) -> None:
        """End the connection."""
        self.socket.disable_monitor()
        self._context.destroy(linger=0)

    def messages(self) -> Iterator[list[bytes]]:
        """Those that have come, without waiting."""
        self.look()
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._stand("data", "")
            self._since, self._told_silent = time.monotonic(), False
            yield parts

    def look(self) -> None:
        """See how the connection stands."""
        while self.monitor.poll(0):
            event = recv_monitor_message(self.monitor)["event"]
            if event == zmq.EVENT_CONNECTED:  # by TCP; whoever is there has not greeted yet
                self._stranger = True
            elif event == zmq.EVENT_CLOSED:
                self._stranger = False
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._stranger = False
                self._stand("no data", f"connected to {self.address}, no data yet")
            elif self.state in ("no data", "data"):
                self._stand("connecting", f"the connection to {self.address} is lost; trying again")
        quiet = time.monotonic() - self._since
        if self.state == "connecting" and quiet > REFUSED_S:
            self._stand("cannot connect", f"cannot connect to {self.address}: {self._why_not()}")
        elif self.state in ("no data", "data") and quiet > SILENT_S and not self._told_silent:
            self._told_silent = True
            self._tell(f"connected to {self.address}, no data for {SILENT_S:g} s: {self._why_silent()}")

    def _stand(self, state: State, line: str) -> None:
        if state != self.state:
            self._since = time.monotonic()
            if line:
                self._tell(line)
        self.state, self._told_silent = state, self._told_silent and state == self.state

    def _why_not(self) -> str:
        if self._stranger:
            return "something answers there, but it does not speak ZeroMQ as a publisher does: is it the right port?"
        return (
            "nothing answers there; is the stream enabled, the port right (Dectris: 9999, or 31001 for V2), and no "
            "firewall between?"
        )

    def _why_silent(self) -> str:
        if self.socket.type == zmq.PULL:
            return "is the detector armed and triggered, or does another program take its messages?"
        return "has the acquisition begun?"


def wait(sources: list[Source], seconds: float) -> None:
    """Return when one of them has a message or stands otherwise, at the latest after so many seconds."""
    poller = zmq.Poller()
    for source in sources:
        poller.register(source.socket, zmq.POLLIN)
        poller.register(source.monitor, zmq.POLLIN)
    poller.poll(int(1000 * seconds))
