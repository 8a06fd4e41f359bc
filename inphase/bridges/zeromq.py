"""A ZeroMQ socket that knows how it stands: ZeroMQ itself never says that it cannot connect."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from inphase.bridges.standing import Standing, State
from inphase.errors import InphaseError

Pattern = Literal["PULL", "SUB"]

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
        self.address = address
        self._standing = Standing(address, tell, self._why_not, self._why_silent)
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
        self._stranger = False
        try:
            self.socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise SocketError(f"{address!r} is no address, as in tcp://detector:31001: {error}") from error

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._standing.state

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
            self._standing.heard()
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
                self._standing.connected()
            else:
                self._standing.lost()
        self._standing.look()

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


def wait(sources: Sequence[Source], seconds: float) -> None:
    """Return when one of them has a message or stands otherwise, at the latest after so many seconds."""
    poller = zmq.Poller()
    for source in sources:
        poller.register(source.socket, zmq.POLLIN)
        poller.register(source.monitor, zmq.POLLIN)
    poller.poll(int(1000 * seconds))
