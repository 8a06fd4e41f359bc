"""The clients of the service, one that waits for answers and one for asyncio. Both have the same methods.

with Client("http://127.0.0.1:8000", key) as client:
    job = client.submit(counts, refine="fast")
    client.wait(job["id"], progress=print)
    print(client.result(job["id"]))
"""

from typing import TYPE_CHECKING, Any

from inphase.client.blocking import Client
from inphase.client.errors import (
    AccessError,
    ConflictError,
    FaultError,
    LateError,
    MissingError,
    OverloadError,
    RequestError,
    ServiceError,
    UnreachableError,
)
from inphase.client.events import FINAL, Document, Event
from inphase.client.result import Result
from inphase.client.retries import Retries

if TYPE_CHECKING:
    from inphase.client.asynchronous import AsyncClient

__all__ = [
    "FINAL",
    "AccessError",
    "AsyncClient",
    "Client",
    "ConflictError",
    "Document",
    "Event",
    "FaultError",
    "LateError",
    "MissingError",
    "OverloadError",
    "RequestError",
    "Result",
    "Retries",
    "ServiceError",
    "UnreachableError",
]


def __getattr__(name: str) -> Any:
    if name != "AsyncClient":
        raise AttributeError(f"module 'inphase.client' has no attribute {name!r}")
    from inphase.client.asynchronous import AsyncClient  # asyncio takes a third of the time that the rest takes

    return AsyncClient
