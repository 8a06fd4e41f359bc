"""The web server: uvicorn around the application, with one sentence where it cannot start and a bounded way down."""

import asyncio
import errno
import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from inphase.errors import InphaseError
from service.door.connections import BATCH, QUEUE, Connection, Connections, most_connections
from service.lifecycle import Services
from service.settings import Settings

_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]  # as getaddrinfo has it


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets on every address of a host, taken before anything is started. Raises InphaseError with what to do."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        with _explained(host, port):
            for address in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
                try:
                    sockets.append(_bound(address))
                except OSError as error:
                    if error.errno not in _NOT_HERE:
                        raise
                    missing = error  # localhost has an address of IPv6 also where the machine has no IPv6
            if missing is not None and not sockets:
                raise missing
    except BaseException:
        close(sockets)
        raise
    return sockets


def _bound(address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(where)
    except BaseException:
        found.close()
        raise
    return found


def close(sockets: list[socket.socket]) -> None:
    """Give them up; those that a server has closed already are no error."""
    for found in sockets:
        found.close()


@contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    """What the system says of an address, with what to do about it."""
    try:
        yield
    except (socket.gaierror, UnicodeError) as error:
        raise InphaseError(
            f"the host {host!r} is not known ({error}): --host takes an address of this machine"
        ) from None
    except OSError as error:
        advice = {
            errno.EADDRINUSE: f"port {port} of {host} is in use by another program: stop that one, or choose another "
            "with --port (0 takes a free one)",
            errno.EACCES: f"port {port} of {host} is for the system's own programs: choose one above 1023 with --port",
            errno.EADDRNOTAVAIL: f"{host} is no address of this machine: --host takes one that is, or 0.0.0.0 for all",
        }.get(error.errno or 0, f"{host}:{port} cannot be listened on: {error.strerror}; see --host and --port")
        raise InphaseError(advice) from None


class Server(uvicorn.Server):
    """Starts and stops the services itself, so that their errors reach the caller, and not the log as a traceback.

    It tells them at the first signal that the end is near, so that requests that wait answer 202 at once.
    """

    def __init__(self, app: FastAPI, settings: Settings, ready: Callable[[str], None]) -> None:
        """ready: told the address as soon as the service listens."""
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=Connection,
            ws="none",
            backlog=BATCH,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        )
        super().__init__(config)
        bounds = settings.bounds
        self.server_state = Connections(most_connections(bounds.connections), bounds.head_s)
        self._services: Services = app.state.services
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, after the services, remembering the loop that signals must reach.
        Raises what they raise.

        What is there by then stays to the end: to look through all of it for garbage would take a tenth of a second, in
        which nothing else is done.
        """
        self._loop = asyncio.get_running_loop()
        await self._services.start()
        try:
            with _explained(self.config.host, self.config.port):
                await super().startup(sockets)
        except BaseException:
            await self._services.stop()
            raise
        gc.collect()
        gc.freeze()
        for waiting in sockets or ():
            waiting.listen(QUEUE)  # asyncio takes one number for what the kernel holds and for what it accepts at once
        for listening in (found for server in self.servers for found in server.sockets):
            host, port = listening.getsockname()[:2]
            self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, then the services, unless a second signal is in a hurry."""
        await super().shutdown(sockets)
        if not self.force_exit:
            await self._services.stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: no new reconstructions from here on."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._services.draining.set)
        super().handle_exit(sig, frame)
