"""Files and archives are read in processes of their own: what a client sees of it."""

import io
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from service.lifecycle import Services

NPZ = {"content-type": "application/x-npz"}


def asked(path: str) -> dict[str, object]:
    return {"source": {"kind": "file", "path": path}, "refine": "none"}


def services(client: httpx.AsyncClient) -> Services:
    found: Services = client.app.state.services  # type: ignore[attr-defined]
    return found


async def test_the_status_says_what_is_enforced(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v1/status")).json()["sandbox"]

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
    stream = io.BytesIO()
    np.savez_compressed(stream, data=np.zeros((64, 64, 64), np.uint16))
    services(client).budget.limit = 2**18

    answer = await client.post("/v1/reconstructions?refine=none", content=stream.getvalue(), headers=NPZ)

    assert answer.status_code == 503
    assert "512 KiB more do not fit" in answer.json()["detail"]
    assert services(client).budget.used == 0


async def test_an_archive_that_is_none_is_a_problem_of_the_data(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/reconstructions?refine=none", content=b"PK" + bytes(100), headers=NPZ)

    assert answer.status_code == 422
    assert "not a .npz archive" in answer.json()["detail"]
