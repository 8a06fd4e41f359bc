"""Connections: how many may be open, and for how long a client may owe a request.

uvicorn bounds requests and idle connections, but not the time in which the head of a request comes, nor the connections
that send none: a few hundred of them would use up the process's descriptors.
"""

import asyncio
import logging
import resource
from typing import Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

logger = logging.getLogger(__name__)

BATCH: Final = 16  # connections accepted at a time: before the next ones come, those beyond the bound have gone
QUEUE: Final = 1024  # connections that the kernel holds until they are accepted
_EMPTY: Final = b"Content-Length: 0\r\nConnection: close\r\n"
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n" + _EMPTY + b"\r\n"
_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\n" + _EMPTY + b"\r\n"


def most_connections(asked: int) -> int:
    """At most half of the descriptors that this process may have: requests, Redis and readings need some too."""
    return max(1, min(asked, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))


class Connections(ServerState):
    """What the connections of a server share. most: that are open at a time. head_s: until a request has to be there.

    A connection on which no request is being answered gives way to a new one where there are too many, the one that
    has owed a request for longest first.
    """

    def __init__(self, most: int, head_s: float) -> None:
        super().__init__()
        self._most, self.head_s = most, head_s

    def make_room(self) -> bool:
        """Whether the newest connection may stay."""
        if len(self.connections) <= self._most:
            return True
        logger.warning("more than %d connections: those without a request give way", self._most)
        owing = [found for found in cast("set[Connection]", self.connections) if found.owing_since is not None]
        if len(owing) < 2:  # the newest one is among them
            return False
        min(owing, key=lambda found: found.owing_since or 0.0).drop()
        return True


class Connection(H11Protocol):
    """uvicorn's connection with a clock that runs while no request is at work.

    owing_since: on the loop's clock; None while a request is being answered.
    """

    server_state: Connections
    owing_since: float | None = None
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """One more."""
        super().connection_made(transport)
        self._look()
        if not self.server_state.make_room():
            transport.write(_FULL)
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """One less."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer has gone; what is left of its request, or the next one, is owed."""
        super().on_response_complete()
        self._look()

    def drop(self) -> None:
        """Give it up. It counts no more from here on."""
        self.connections.discard(self)
        self._stop()
        if self.transport.get_write_buffer_size():  # whoever does not take an answer would keep its descriptor
            self.transport.abort()
        else:
            self.transport.close()

    def _look(self) -> None:
        if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
            self._stop()
        elif self.owing_since is None:
            self.owing_since = self.loop.time()
            self._late = self.loop.call_later(self.server_state.head_s, self._give_up)

    def _stop(self) -> None:
        self.owing_since = None
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:  # a part of a head has come
            self.transport.write(_LATE)
        self.drop()
