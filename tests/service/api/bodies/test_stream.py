"""Bodies that come slowly, or without an end."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import URL, check
from tests.service.conftest import AppContext


@pytest.mark.parametrize("bounds", [{"body_bytes": 2**18}, {"bytes_in_flight": 2**18}])
async def test_an_npz_body_without_an_end(serving: AppContext, settings: Settings, bounds: dict[str, int]) -> None:
    """Nobody says how long a chunked body is: what has come is counted, and it is refused where a bound is passed,
    for good where nothing could make room for it.
    """
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 2**16
            yield bytes(2**16)

    bounded = settings.model_copy(update={"bounds": settings.bounds.model_copy(update=bounds)})
    async with serving(bounded) as client:
        answer = await client.post(
            URL, params={"refine": "none"}, content=endless(), headers={"Content-Type": "application/x-npz"}
        )
        assert answer.status_code == 413, answer.text
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        assert services.budget.used == 0
    assert sent <= 2**18 + 2 * 2**16


@pytest.mark.parametrize(
    ("bounds", "grace_s"), [({"body_rate": 10**9}, 0.3), ({"body_s": 0.3}, 20.0)], ids=["rate", "deadline"]
)
@pytest.mark.parametrize("kind", ["application/x-npy", "application/x-npz", "application/json"])
async def test_a_body_that_trickles_in_is_given_up(
    serving: AppContext,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    bounds: dict[str, float],
    grace_s: float,
    kind: str,
) -> None:
    """A byte now and then is no silence; 408 says what is asked of a body, and nothing is held any more."""
    monkeypatch.setattr("service.api.bodies.stream._GRACE_S", grace_s)
    bounded = settings.model_copy(update={"bounds": settings.bounds.model_copy(update=bounds)})
    async with serving(bounded) as client:
        begun = time.monotonic()
        answer = await client.post(URL, content=trickling(0.05), headers={"Content-Type": kind})
        assert time.monotonic() - begun < 5
        check(answer, 408, "came too slowly", "per second")
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        assert services.budget.used == 0


async def trickling(seconds: float) -> AsyncIterator[bytes]:
    """A body without an end, one byte at a time."""
    while True:
        yield b" "
        await asyncio.sleep(seconds)
