"""Errors as problem documents."""

import httpx
import pytest
from fastapi import FastAPI

from inphase.errors import CancelledError, DataError, InphaseError, RecipeError, TooLargeError
from inphase.models.repository import ModelError, UnknownModelError
from service.door.budget import BusyError, ShareError
from service.errors import _KINDS, ApiError, install, kind
from service.jobs.errors import (
    DocumentError,
    KeyReusedError,
    NoRedisError,
    QueueUnavailableError,
    QuotaError,
    ScanClosedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreTooSmallError,
    StoreUnavailableError,
    UnknownJobError,
    UnknownScanError,
    UnknownSeriesError,
)
from service.sandbox.errors import SandboxUnavailableError

EXPECTED = {
    TooLargeError: 413, DataError: 422, RecipeError: 422, UnknownModelError: 404, ModelError: 503,
    UnknownSeriesError: 404, UnknownScanError: 404, ScanClosedError: 409,
    UnknownJobError: 404, KeyReusedError: 422, DocumentError: 500, QueueUnavailableError: 503,
    NoRedisError: 503, SandboxUnavailableError: 503, StoreFullError: 507, StoreCorruptError: 500, StoreError: 404,
    CancelledError: 409, QuotaError: 429, StoreUnavailableError: 503, BusyError: 503, ShareError: 429,
    StoreTooSmallError: 507,
}  # fmt: skip


async def answer(error: Exception) -> httpx.Response:
    """What an application answers whose endpoint raises it."""
    app = FastAPI()
    install(app)

    @app.get("/raise")
    async def _raise() -> None:
        raise error

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://inphase") as client:
        return await client.get("/raise")


def test_every_error_of_ours_has_its_status() -> None:
    """None is forgotten, and none is answered with the status of its base."""
    assert {cls for cls, _ in _KINDS} == set(EXPECTED)
    for cls, status in EXPECTED.items():
        assert kind(cls("it")).status == status, cls
        assert kind(cls("it")) is dict(_KINDS)[cls], cls


@pytest.mark.parametrize("cls", EXPECTED, ids=lambda cls: cls.__name__)
async def test_an_error_becomes_a_problem_document(cls: type[InphaseError]) -> None:
    """With its message as the detail; what passes by itself says when to try again, and nothing else does."""
    found = await answer(cls("scan.h5 has no frames"))
    assert found.status_code == found.json()["status"] == EXPECTED[cls]
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["type"].startswith("urn:inphase:error:")
    assert (found.json()["detail"], found.json()["instance"]) == ("scan.h5 has no frames", "/raise")
    again = {} if cls is StoreTooSmallError else {429: "5", 503: "5", 507: "60"}
    assert found.headers.get("retry-after") == again.get(EXPECTED[cls])


async def test_an_api_error_has_the_status_that_it_names() -> None:
    """And its headers."""
    found = await answer(ApiError(401, "no key", headers={"WWW-Authenticate": "Apikey"}))
    assert (found.status_code, found.headers["www-authenticate"]) == (401, "Apikey")
    assert (found.json()["type"], found.json()["title"]) == ("urn:inphase:error:unauthorized", "Unauthorized")


async def test_a_fault_of_the_service_tells_nothing_of_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    """500, and the log has the rest; a machine without memory is 503."""
    found = await answer(ZeroDivisionError("secret"))
    assert (found.status_code, found.json()["type"]) == (500, "urn:inphase:error:internal")
    assert "secret" not in found.text
    assert "secret" in caplog.text
    assert (await answer(MemoryError())).status_code == 503
