"""Clients that leave before their answer is complete: what they waited for is stopped, and nothing of it is a fault."""

import asyncio
from collections.abc import Callable
from typing import Final

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT_LEFT: Final = 499  # no status of HTTP, and sent to nobody: what logs and metrics call it since nginx


async def attended(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> bool:
    """Run the application as long as its client is there. Whether the client left before its answer was complete."""
    line = scope.setdefault("state", {})["line"] = Line(scope, receive, send)
    with anyio.CancelScope() as answering:
        watching = asyncio.create_task(line.watch(answering))
        try:
            await app(scope, line.receive, line.send)
        except ClientDisconnect:
            line.left = True
        finally:
            watching.cancel()
    return line.left


class Line:
    """The line to a client. Who reads the body hears of a hang-up; once it has come whole, `watch` listens instead."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self.left = False
        self._receive, self._send = receive, send
        self._announced = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._heard, self._cut = asyncio.Event(), asyncio.Event()  # the whole body; the hang-up
        self._complete = False
        self._to_call: list[Callable[[], object]] = []
        if not self._announced:
            self._heard.set()

    async def receive(self) -> Message:
        """ASGI, for the application."""
        if not self._announced:
            self._announced = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._heard.is_set():
            await self._cut.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._hang_up()
        if not message.get("more_body", False):
            self._heard.set()
        return message

    async def send(self, message: Message) -> None:
        """ASGI, for the application."""
        self._complete |= message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def watch(self, answering: anyio.CancelScope) -> None:
        """Stop answering when the client leaves."""
        await self._heard.wait()
        while not self._cut.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._hang_up()
                if self.left:
                    answering.cancel()

    def when_left(self, call: Callable[[], object]) -> None:
        """Call when the client leaves, at once where it has left; may be told from any thread."""
        self._to_call.append(call)
        if self.left:
            call()

    def _hang_up(self) -> None:
        self.left = not self._complete
        if self.left:
            for call in self._to_call:
                call()
        self._cut.set()
