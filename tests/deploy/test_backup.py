"""The drill of docs/how-to/operate-the-service.md: a backup of a service at work, all lost, all restored."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inphase.client.bodies import encode_frames
from service.settings import Settings
from tests.deploy.known import DEPLOY
from tests.service.api.conftest import NPY, npy
from tests.service.api.served import House, serve
from tests.service.conftest import KEY

BACKUP = DEPLOY / "backup.sh"
OCTETS = {"Content-Type": "application/octet-stream"}


async def recorded(house: House, pattern: NDArray[np.uint32], **options: str | int) -> str:
    """A job of the pattern; its id."""
    answer = await house.client.post("/v1/reconstructions", params=options, content=npy(pattern), headers=NPY)
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["id"])


async def state(house: House, job: str) -> str:
    """What a job is in; the status of HTTP where it is unknown."""
    answer = await house.client.get(f"/v1/jobs/{job}")
    return str(answer.json()["state"]) if answer.status_code == 200 else str(answer.status_code)


async def test_a_backup_brings_everything_back(tmp_path: Path, models_dir: Path, pattern: NDArray[np.uint32]) -> None:
    """The result is the same file, what waited waits, a live scan has its frames; what came later is unknown."""
    settings = Settings(
        api_key=KEY, models_dir=models_dir, state_dir=tmp_path / "state", workers=0, redis_url=None, port=0, threads=1
    )
    folder, backup = tmp_path / "state", tmp_path / "backup"
    async with serve(settings) as house:
        done = await recorded(house, pattern, refine="none", wait=30)
        image = (await house.client.get(f"/v1/jobs/{done}/result")).content
        waiting = await recorded(house, pattern, refine="2*ER", wait=0)
        body = {"shape": list(pattern.shape[1:]), "dtype": "uint32", "frames": 64, "refine": "none"}
        scan = (await house.client.post("/v1/scans", json=body)).json()["id"]
        frames = encode_frames(range(3), list(pattern[:3]))
        answer = await house.client.post(f"/v1/scans/{scan}/frames", content=frames, headers=OCTETS)
        assert answer.json()["received"] == [0, 1, 2]
        command = [BACKUP, folder / "redis", folder / "store", backup]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)
        late = await recorded(house, pattern, refine="2*ER", seed=1, wait=0)
    shutil.rmtree(folder)
    for name in ("redis", "store"):
        shutil.copytree(backup / name, folder / name)
    async with serve(settings) as house:
        assert (await house.client.get(f"/v1/jobs/{done}/result")).content == image
        assert [await state(house, job) for job in (done, late)] == ["succeeded", "404"]
        assert await state(house, waiting) in ("accepted", "reading", "queued")
        found = (await house.client.get(f"/v1/scans/{scan}")).json()
        assert (found["state"], found["frames"]["received"]) == ("open", 3)


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("nowhere", "nowhere", "backup")])
def test_a_backup_that_cannot_be_made_fails(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """And does not look like one."""
    done = subprocess.run([BACKUP, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stderr
