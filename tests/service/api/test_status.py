"""Health and status."""

import asyncio

import anyio.to_thread
import httpx
import pytest


async def test_health_needs_no_key(client: httpx.AsyncClient) -> None:
    """Probes have no key."""
    del client.headers["Authorization"]
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"ready": True, "why": None}


async def test_probes_wait_for_no_thread(client: httpx.AsyncClient) -> None:
    """They are answered while every thread of the service is at work."""
    threads = anyio.to_thread.current_default_thread_limiter()
    busy = [object() for _ in range(int(threads.available_tokens))]
    for one in busy:
        threads.acquire_on_behalf_of_nowait(one)
    try:
        async with asyncio.timeout(10):
            assert [(await client.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    finally:
        for one in busy:
            threads.release_on_behalf_of(one)


async def test_the_store_that_cannot_be_written_is_not_ready(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready means that a job could be accepted."""
    monkeypatch.setattr("service.api.status.os.access", lambda path, mode: False)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["why"]) == (503, "the store cannot be written")


async def test_status(client: httpx.AsyncClient) -> None:
    """What a dashboard shows; no queue here."""
    status = (await client.get("/v1/status")).json()
    assert status["queue"] is None
    assert status["draining"] is False
    assert status["bytes_in_flight"] == 0
    assert [model["name"] for model in status["models"]["models"]] == ["blind", "inphase-bcdi"]
