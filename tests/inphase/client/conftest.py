"""Both clients, against a service that is a function."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from inphase.client import AsyncClient, Client, Retries

Handler = Callable[[httpx.Request], httpx.Response]
Connect = Callable[..., Any]
_AT_ONCE = Retries(first_s=0.0)


class Awaited:
    """An AsyncClient whose every method is awaited, so that one test says what both clients do."""

    def __init__(self, client: AsyncClient) -> None:
        self._client, self._runner = client, asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            found = getattr(self._client, name)(*given, **options)
            if inspect.isasyncgen(found):
                return iter(self._runner.run(_all(found)))
            return self._runner.run(found)

        return call


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


@pytest.fixture(params=["Client", "AsyncClient"])
def client(request: pytest.FixtureRequest) -> Connect:
    """Makes a client that talks to a function; each test is of either client."""

    def connect(handler: Handler, retries: Retries = _AT_ONCE) -> Client | Awaited:
        transport = httpx.MockTransport(handler)
        if request.param == "Client":
            return Client("http://inphase", "secret", retries=retries, transport=transport)
        return Awaited(AsyncClient("http://inphase", "secret", retries=retries, transport=transport))

    return connect
