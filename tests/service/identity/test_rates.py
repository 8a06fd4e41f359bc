"""Requests a minute."""

import httpx
import pytest

from service.identity.keys import Key, Keyring, Scope
from service.identity.rates import Rates
from service.jobs.errors import QuotaError
from service.lifecycle import Services
from tests.service.api.calls import check
from tests.service.conftest import KEY


def test_no_minute_has_more_requests_than_the_key_may_send() -> None:
    """Whatever the moment at which one begins to count; what was refused does not count."""
    now = 0.0
    rates = Rates(lambda: now)
    taken: list[float] = []
    room: list[tuple[float, float]] = []
    while now < 300:
        try:
            rates.take("a", 5)
        except QuotaError as error:
            room.append((taken[-5] + 60, now + error.retry_after_s))
        else:
            taken.append(now)
        now += 1.7
    assert all(free <= told < free + 1 for free, told in room)
    assert len(taken) == 25
    assert all(later - earlier >= 60 for earlier, later in zip(taken, taken[5:], strict=False))


def test_keys_are_counted_apart() -> None:
    """And one without a quota is not counted."""
    rates = Rates(lambda: 0.0)
    rates.take("a", 1)
    with pytest.raises(QuotaError):
        rates.take("a", 1)
    rates.take("b", 1)
    for _ in range(100):
        rates.take("c", None)


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(client: httpx.AsyncClient) -> None:
    """429 of its own type, with the seconds; the owner's other key goes on."""
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    services.keyring = Keyring(
        [Key.of(KEY, "ada", Scope.READ, requests_per_minute=3), Key.of("b" * 20, "ada", Scope.READ)]
    )
    for _ in range(3):
        assert (await client.get("/v1/models")).status_code == 200
    answer = await client.get("/v1/models")
    assert check(answer, 429, "3 requests a minute")["type"] == "urn:inphase:error:quota"
    assert 50 <= int(answer.headers["retry-after"]) <= 60
    assert (await client.get("/v1/models", headers={"Authorization": f"Apikey {'b' * 20}"})).status_code == 200
    assert (await client.get("/healthz")).status_code == 200
