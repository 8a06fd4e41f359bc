"""Bodies that are arrays."""

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import URL, check, load
from tests.service.api.conftest import NPY, npy
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
