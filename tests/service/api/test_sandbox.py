"""Files and archives are read in processes of their own: what a client sees of it."""

import asyncio
import io
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from service.door.budget import working_bytes
from service.lifecycle import Services

NPZ = {"content-type": "application/x-npz"}


def asked(path: str) -> dict[str, object]:
    return {"source": {"kind": "file", "path": path}, "refine": "none"}


def services(client: httpx.AsyncClient) -> Services:
    found: Services = client.app.state.services  # type: ignore[attr-defined]
    return found


async def test_the_status_says_what_is_enforced(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while (told := (await client.get("/v1/status")).json()["sandbox"]) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    assert set(told) == {"landlock", "seccomp", "network_namespace"}


async def test_a_reader_that_takes_too_long_is_a_problem_of_the_data(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    np.save(data_root / "scan.npy", pattern)
    services(client).sandbox._seconds = -1.0  # no time at all

    answer = await client.post("/v1/reconstructions", json=asked("scan.npy"))
    again = await client.post("/v1/reconstructions", json=asked("scan.npy"))

    assert answer.status_code == 422
    assert "scan.npy: reading it took longer than" in answer.json()["detail"]
    assert "is not read again for now" in again.json()["detail"]
    assert (await client.get("/healthz")).status_code == 200


async def test_the_service_outlives_its_template(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    np.save(data_root / "scan.npy", pattern)
    template = services(client).sandbox._warm()
    template.process.kill()

    answer = await client.post("/v1/reconstructions", json=asked("scan.npy"))

    assert answer.status_code == 200


async def test_an_archive_beyond_the_budget_is_refused_before_it_is_unpacked(client: httpx.AsyncClient) -> None:
    """By what it declares: 4 kB that would become 512 KiB, and several MiB while they are cleaned."""
    stream = io.BytesIO()
    np.savez_compressed(stream, data=np.zeros((64, 64, 64), np.uint16))
    budget = services(client).budget
    budget.limit = 8 * 2**20
    whole = {"params": {"refine": "none"}, "content": stream.getvalue(), "headers": NPZ}
    with budget.share("somebody") as other:
        other.grow_to(4 * 2**20)
        assert (await client.post("/v1/reconstructions", **whole)).status_code == 503
    budget.limit = 2**20
    assert (await client.post("/v1/reconstructions", **whole)).status_code == 413
    assert budget.used == 0


async def test_a_file_is_counted_like_a_body(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """By what it declares, before it is read: 413 where it could never fit, 429 where its owner holds too much."""
    np.save(data_root / "scan.npy", pattern)
    budget = services(client).budget
    cost = working_bytes(pattern.size, pattern.nbytes)
    budget.owner_limit = 2 * cost - 1
    with budget.share("admin") as other:
        other.grow_to(cost)
        refused = await client.post("/v1/reconstructions", json=asked("scan.npy"))
    assert (refused.status_code, "wait for their answers" in refused.json()["detail"]) == (429, True)
    assert refused.headers["retry-after"]
    assert (await client.post("/v1/reconstructions", json=asked("scan.npy"))).status_code == 200
    budget.owner_limit = cost - 1
    assert (await client.post("/v1/reconstructions", json=asked("scan.npy"))).status_code == 413
    assert budget.used == 0


async def test_an_archive_that_is_none_is_a_problem_of_the_data(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/reconstructions?refine=none", content=b"PK" + bytes(100), headers=NPZ)

    assert answer.status_code == 422
    assert "not a .npz archive" in answer.json()["detail"]
