"""Bodies that are arrays."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.api.bodies import arrays
from service.door.budget import Budget, working_bytes
from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import URL, check
from tests.service.api.conftest import NPY, npy, npy_header
from tests.service.conftest import AppContext


async def test_how_a_file_is_read_is_not_said_of_an_array(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """It would be passed over in silence."""
    answer = await client.post(URL, params={"dark": "dark.npy"}, content=npy(pattern), headers=NPY)
    check(answer, 422, "dark", "an array alone")


@pytest.mark.parametrize("order", ["C", "F"])
async def test_an_array_is_put_together_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """From pieces that fit neither its rows nor the blocks that are copied; none of them in the loop's own thread."""
    counts = np.random.default_rng(3).poisson(3, (64, 96, 96)).astype("<u4")  # 2.25 MiB
    content, threads, copy = counts.tobytes(order), list[int](), arrays._copy

    def watched(pieces: list[bytes], target: NDArray[np.uint8]) -> None:
        threads.append(threading.get_ident())
        copy(pieces, target)

    async def coming() -> AsyncIterator[bytes]:
        for begin in range(7, len(content), 100_003):
            yield content[begin : begin + 100_003]

    monkeypatch.setattr(arrays, "_copy", watched)
    layout = arrays.Layout(counts.shape, counts.dtype, order == "F")
    with Budget(2**30).share("") as share:
        assert np.array_equal(await arrays._fill(coming(), content[:7], layout, share), counts)
    assert len(threads) == 3
    assert threading.get_ident() not in threads


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
