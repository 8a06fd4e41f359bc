"""Bodies that are arrays."""

import asyncio
import io
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.budget import working_bytes
from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import URL, check, load
from tests.service.api.conftest import NPY, npy, npy_header
from tests.service.conftest import AppContext

NPZ = {"Content-Type": "application/x-npz"}


def archive(**arrays: Any) -> bytes:
    """An npz file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


async def test_an_npz_body_brings_geometry_and_mask(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The voxel size follows from q_steps, and what the mask hides does not count; an npy body has neither."""
    mask = np.zeros(pattern.shape[1:], np.uint8)
    mask[:, 20] = 1
    body = archive(data=pattern, q_steps=np.eye(3) * 2 * np.pi / (64 * 5e-9), q_centre=[0, 0, 2.7e10], mask=mask)
    answer = await client.post(URL, params={"refine": "none"}, content=body, headers=NPZ)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["preprocess"]["voxel_size_m"] == pytest.approx([5e-9] * 3, rel=1e-6)
    arrays = load(await client.post(URL, params={"refine": "none", "format": "npz"}, content=body, headers=NPZ))
    assert (arrays["mask"][:, :, 20] != 0).all()
    plain = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    assert plain.json()["preprocess"]["voxel_size_m"] is None


async def test_npz_bodies_that_cannot_be(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Cut off, no archive, no volume, impossible geometry or mask:
    a clear refusal, and the budget is free afterwards.
    """
    whole = archive(data=pattern)
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    for body, status, words in (
        (whole[: len(whole) // 2], 422, ("npz",)),
        (b"hello", 422, ("npz",)),
        (archive(data=np.zeros((4, 4))), 422, ("at least 8",)),
        (archive(data=np.ones((8, 8, 8), complex)), 422, ("complex",)),
        (archive(data=pattern, q_steps=np.zeros((3, 3))), 422, ("q_steps",)),
        (archive(data=pattern, mask=np.full(pattern.shape, 7, np.uint8)), 422, ("mask",)),
    ):
        check(await client.post(URL, params={"refine": "none"}, content=body, headers=NPZ), status, *words)
    assert services.budget.used == 0


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
        answer = await client.post(URL, params={"refine": "none"}, content=endless(), headers=NPZ)
        assert answer.status_code == 413, answer.text
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        assert services.budget.used == 0
    assert sent <= 2**18 + 2 * 2**16


async def test_an_npz_bomb(serving: AppContext, settings: Settings) -> None:
    """A small archive that would unpack beyond the bound is refused by what its header declares."""
    bounds = settings.bounds.model_copy(update={"array_bytes": 2**16})
    bomb = archive(data=np.zeros((64, 64, 64), np.uint8))
    assert len(bomb) < 2**12
    async with serving(settings.model_copy(update={"bounds": bounds})) as client:
        check(await client.post(URL, params={"refine": "none"}, content=bomb, headers=NPZ), 413, "above the limit")


# ---- bodies that come slowly, or only promise to


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
    monkeypatch.setattr("service.api.bodies._GRACE_S", grace_s)
    bounded = settings.model_copy(update={"bounds": settings.bounds.model_copy(update=bounds)})
    async with serving(bounded) as client:
        begun = time.monotonic()
        answer = await client.post(URL, content=trickling(0.02), headers={"Content-Type": kind})
        assert time.monotonic() - begun < 5
        check(answer, 408, "came too slowly", "per second")
        services: Services = client.app.state.services  # type: ignore[attr-defined]
        assert services.budget.used == 0


async def trickling(seconds: float) -> AsyncIterator[bytes]:
    """A body without an end, one byte at a time."""
    while True:
        yield b" "
        await asyncio.sleep(seconds)


async def test_who_promises_a_large_body_takes_nothing_from_others(
    serving: AppContext, settings: Settings, pattern: NDArray[np.uint32]
) -> None:
    """Two bodies of more than half the memory each, of which nothing has come, and a third one is served."""
    shape = (100, 160, 160)
    cost = working_bytes(math.prod(shape), 2 * math.prod(shape))
    bounds = settings.bounds.model_copy(update={"bytes_in_flight": cost * 3 // 2, "owner_bytes": cost * 5 // 4})
    async with serving(settings.model_copy(update={"bounds": bounds})) as client:
        promised = npy_header(shape, "<u2")
        length = str(len(promised) + 2 * math.prod(shape))
        promises = [
            asyncio.create_task(client.post(URL, content=held_back(promised), headers=NPY | {"Content-Length": length}))
            for _ in range(2)
        ]
        await asyncio.sleep(0.2)
        try:
            services: Services = client.app.state.services  # type: ignore[attr-defined]
            assert services.budget.used < 2**20
            served = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
            assert served.status_code == 200, served.text
        finally:
            for promise in promises:
                promise.cancel()
            await asyncio.gather(*promises, return_exceptions=True)


async def held_back(begin: bytes) -> AsyncIterator[bytes]:
    """A body that stops after its beginning."""
    yield begin
    await asyncio.sleep(60)


async def test_what_could_never_fit_is_refused_before_it_comes(serving: AppContext, settings: Settings) -> None:
    """By what its header declares: a voxel costs more than its bytes."""
    shape = (100, 160, 160)
    bounds = settings.bounds.model_copy(update={"owner_bytes": 10 * math.prod(shape)})
    async with serving(settings.model_copy(update={"bounds": bounds})) as client:
        answer = await client.post(URL, content=held_back(npy_header(shape, "|u1")), headers=NPY)
        check(answer, 413, "of memory or more", "crop the detector")
