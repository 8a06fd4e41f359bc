"""Versions of a network change while requests come."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.models.installation import activate, add, remove
from service.identity.keys import Key, Keyring, Scope
from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.calls import URL, check
from tests.service.api.conftest import NPY, npy
from tests.service.conftest import KEY, AppContext
from tests.toy import crystal, write_model

NAME = "inphase-bcdi"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with two versions of the default, the first of them active."""
    root = tmp_path / "models"
    write_model(root, crystal())
    add(root, write_model(tmp_path / "export", np.conj(crystal()[::-1, ::-1, ::-1]), version=2))
    return root


@pytest.fixture
async def client(serving: AppContext, settings: Settings, models: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service on it."""
    async with serving(settings.model_copy(update={"models_dir": models})) as client:
        yield client


async def used(client: httpx.AsyncClient, body: bytes) -> int:
    """The version that a request gets which names none."""
    answer = await client.post(URL, params={"refine": "none", "wait": 60}, content=body, headers=NPY)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["model"]["version"])


async def test_no_request_fails_while_versions_take_turns(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """Two callers without a pause; whoever asks after the switch gets the version that was switched to."""
    body, over, seen = npy(pattern), asyncio.Event(), Counter[int]()

    async def ask() -> None:
        while not over.is_set():
            seen[await used(client, body)] += 1

    asking = [asyncio.create_task(ask()) for _ in range(2)]
    for version in (2, 1):
        answer = await client.put(f"/v1/models/{NAME}/active", json={"version": version})
        assert (answer.status_code, answer.json()["active"]) == (200, version), answer.text
        assert await used(client, body) == version
    over.set()
    await asyncio.gather(*asking)
    assert set(seen) == {1, 2}


async def test_what_another_program_does_to_the_repository_is_followed(
    client: httpx.AsyncClient, models: Path, pattern: NDArray[np.uint32], tmp_path: Path
) -> None:
    """Activated, added, removed: without a restart, and every answer meanwhile is right."""
    body = npy(pattern)
    await asyncio.to_thread(activate, models, f"{NAME}@2")
    async with asyncio.timeout(20):
        while (await client.get(f"/v1/models/{NAME}")).json()["active"] == 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await used(client, body) == 2
    await asyncio.to_thread(remove, models, f"{NAME}@1")
    await asyncio.to_thread(add, models, write_model(tmp_path / "more", crystal(), version=3))
    async with asyncio.timeout(20):
        while (await client.get(f"/v1/models/{NAME}")).json()["versions"] != [2, 3]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    check(await client.post(URL, params={"refine": "none", "model": f"{NAME}@1"}, content=body, headers=NPY), 404)


async def test_a_repository_that_is_broken_changes_nothing(
    client: httpx.AsyncClient, models: Path, pattern: NDArray[np.uint32], capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody deletes all of it: the networks that are loaded go on, and the log says why."""
    await asyncio.to_thread(shutil.rmtree, models)
    told = ""
    async with asyncio.timeout(20):
        while "the networks stay" not in told:
            await asyncio.sleep(0.05)
            told += "".join(capsys.readouterr())
    assert await used(client, npy(pattern)) == 1


async def test_what_cannot_be_activated_leaves_the_one_before(client: httpx.AsyncClient, models: Path) -> None:
    """No such version, no such model, a version whose file was damaged since."""
    check(await client.put(f"/v1/models/{NAME}/active", json={"version": 7}), 404, "versions: 1, 2")
    check(await client.put("/v1/models/nonesuch/active", json={"version": 1}), 404, "known: inphase-bcdi")
    check(await client.put(f"/v1/models/{NAME}/active", json={"version": 0}), 422)
    with (models / NAME / "2" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    check(await client.put(f"/v1/models/{NAME}/active", json={"version": 2}), 404, "versions: 1")
    assert (await client.get(f"/v1/models/{NAME}")).json()["active"] == 1


async def test_only_an_administrator_activates(client: httpx.AsyncClient) -> None:
    """403 for a key that submits."""
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    services.keyring = Keyring([Key.of(KEY, "ada", Scope.SUBMIT)])
    check(await client.put(f"/v1/models/{NAME}/active", json={"version": 2}), 403, "scope admin")


async def test_a_network_that_nobody_asks_is_unloaded(
    serving: AppContext, settings: Settings, models: Path, pattern: NDArray[np.uint32]
) -> None:
    """And is loaded again by who asks; the default stays."""
    changes = {"models_dir": models, "model_idle_s": 1e-3}
    async with serving(settings.model_copy(update=changes)) as client:
        body, services = npy(pattern), client.app.state.services  # type: ignore[attr-defined]
        for _ in range(2):
            query = {"refine": "none", "model": f"{NAME}@2"}
            assert (await client.post(URL, params=query, content=body, headers=NPY)).status_code == 200
            services.catalogue.look()
            assert services.sessions.provider(services.sessions.repository.resolve(f"{NAME}@2")) is None
            assert services.sessions.provider(services.sessions.repository.resolve(None)) is not None
