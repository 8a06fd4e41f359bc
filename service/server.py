"""The web server: uvicorn around the application, with a bounded way down."""

import asyncio
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.lifecycle import Services
from service.settings import Settings


class Server(uvicorn.Server):
    """Tells the services at the first signal that the end is near, so that requests that wait answer 202 at once."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
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
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """As uvicorn does it, remembering the loop that signals must reach."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: no new reconstructions from here on."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._services.draining.set)
        super().handle_exit(sig, frame)
