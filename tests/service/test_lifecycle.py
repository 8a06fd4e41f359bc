"""What the service starts and stops."""

import asyncio

import pytest

from inphase.models.repository import UnknownModelError
from service.lifecycle import Services
from service.settings import Settings
from tests.service.conftest import AppContext


async def test_a_key_is_made_where_none_is_set(settings: Settings, serving: AppContext) -> None:
    """The generated key opens the service, the test's does not."""
    async with serving(settings.model_copy(update={"api_key": None})) as client:
        assert (await client.get("/v1/models")).status_code == 401
        key = client.app.state.services.generated_key  # type: ignore[attr-defined]
        assert (await client.get("/v1/models", headers={"Authorization": f"Apikey {key}"})).status_code == 200


async def test_a_service_without_a_queue_has_no_redis(settings: Settings) -> None:
    """It is warm with its network loaded, and draining once it stops; what takes long runs in a thread."""
    services = Services(settings)
    assert not services.warm
    await services.start()
    try:
        assert services.warm
        assert (services.records, services.queue, services.reader, services.pulse) == (None, None, None, None)
        assert await services.compute(lambda: 6 * 7) == 42
        assert not services.draining.is_set()
    finally:
        await services.stop()
    assert services.draining.is_set()


async def test_owners_take_turns_in_the_slots(settings: Settings) -> None:
    """One owner's flood of readings keeps another's waiting for one of them."""
    services = Services(settings.model_copy(update={"compute_slots": 1}))
    done: list[str] = []
    flood = [asyncio.create_task(services.compute(lambda n=n: done.append(f"flood-{n}"), "flood")) for n in range(6)]
    await asyncio.sleep(0)  # the first one is at work
    other = asyncio.create_task(services.compute(lambda: done.append("other"), "other"))
    await asyncio.gather(*flood, other)
    assert done == ["flood-0", "flood-1", "other", *(f"flood-{n}" for n in range(2, 6))]


async def test_a_service_whose_model_is_not_there_does_not_start(settings: Settings) -> None:
    """The error names what is asked for, and what there is."""
    services = Services(settings.model_copy(update={"model": "nonesuch"}))
    with pytest.raises(UnknownModelError, match=r"nonesuch.*known: blind, inphase-bcdi"):
        await services.start()
