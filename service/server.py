"""The web server: uvicorn around the application, with a bounded way down."""

import asyncio
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.lifecycle import Services
from service.settings import Settings


class Server(uvicorn.Server):
    """Tells the services at the first signal that the end is near, so that requests that wait answer 202 at once."""

    def __init__(self, app: FastAPI, settings: Settings, ready: Callable[[str], None]) -> None:
        """ready: told the address as soon as the service listens."""
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        )
        super().__init__(config)
        self._services: Services = app.state.services
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """As uvicorn does it, remembering the loop that signals must reach."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)  # type: ignore[arg-type]
        if not self.started:
            return
        for listening in (found for server in self.servers for found in server.sockets):
            host, port = listening.getsockname()[:2]
            self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: no new reconstructions from here on."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._services.draining.set)
        super().handle_exit(sig, frame)
