"""POST /v1/ptychograms on a real Redis; the worker's part is done by hand here."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from inphase import ptycho
from service.jobs.state import JobState
from tests.inphase.ptycho.scenes import small
from tests.service.api.calls import load
from tests.service.api.queued import client, read, records, work

__all__ = ["client"]  # a fixture

URL = "/v1/ptychograms"
NPZ = {"Content-Type": "application/x-npz"}
SCENE = small(frames=5)
COUNTS = SCENE.counts.astype(np.uint32)
REFINE = "3*EPIE"


def saved(folder: Path, **change: Any) -> Path:
    """A file of the scene."""
    held = {"data": COUNTS, "scan": SCENE.positions, "probe": SCENE.probe} | change
    np.savez(folder / "scan.npz", **{name: array for name, array in held.items() if array is not None})
    return folder / "scan.npz"


async def done(client: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    """The document of a job that a worker has made."""
    assert answer.status_code == 202, answer.text
    job = str(answer.json()["id"])
    await read(client, job)
    if records(client).get(job).state is JobState.QUEUED:
        await work(client, job)
    document: dict[str, Any] = (await client.get(f"/v1/jobs/{job}")).json()
    return document


async def arrays_of(client: httpx.AsyncClient, document: dict[str, Any]) -> dict[str, Any]:
    """Of its result."""
    assert document["state"] == "succeeded", document["reason"]
    return load(await client.get(f"/v1/jobs/{document['id']}/result"))


def check_same(found: dict[str, Any], wanted: ptycho.Reconstruction) -> None:
    """To the last bit."""
    for name in ("object", "probe", "coverage", "positions_px", "origin_px", "ids"):
        array = getattr(wanted, name)
        assert (found[name].dtype, found[name].tobytes()) == (array.dtype, array.tobytes()), name


@pytest.mark.parametrize("sent", [False, True], ids=["named", "sent"])
async def test_a_file_gives_what_the_library_makes_of_it(
    client: httpx.AsyncClient, data_root: Path, sent: bool
) -> None:
    """Options reach it, by JSON and by the query."""
    path = saved(data_root)
    asked = {"refine": REFINE, "modes": 2, "hold_out": 0.2, "seed": 3, "unit": "pixel", "wait": 0}
    if sent:
        answer = await client.post(URL, params=asked, content=path.read_bytes(), headers=NPZ)
    else:
        answer = await client.post(URL, json={"source": {"kind": "file", "path": "scan.npz"}, **asked})
    document = await done(client, answer)
    wanted = ptycho.reconstruct(
        ptycho.read(path, unit="pixel"), ptycho.Options(REFINE, modes=2, hold_out=0.2, seed=3)
    )  # fmt: skip
    check_same(await arrays_of(client, document), wanted)
    report = document["ptychography"]["report"]
    assert (report["r_factor"], report["notes"]) == (wanted.report.r_factor, list(wanted.report.notes))
    assert document["ptychography"]["source"] == ("body.npz" if sent else str(path))
