"""Bodies that are files."""

import errno
import io
import json
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import scipy.io
import tifffile
from numpy.typing import NDArray

from service.api.bodies.media import FILES
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


async def test_an_npz_bomb(serving: AppContext, settings: Settings) -> None:
    """A small archive that would unpack beyond the bound is refused by what its header declares."""
    bounds = settings.bounds.model_copy(update={"array_bytes": 2**16})
    bomb = archive(data=np.zeros((64, 64, 64), np.uint8))
    assert len(bomb) < 2**12
    async with serving(settings.model_copy(update={"bounds": bounds})) as client:
        check(await client.post(URL, params={"refine": "none"}, content=bomb, headers=NPZ), 413, "above the limit")


def files(folder: Path, pattern: NDArray[np.uint32]) -> dict[str, Path]:
    """The same counts in every format whose files are sent, by media type."""
    made = {media: folder / f"scan{suffix}" for media, suffix in FILES.items()}
    for media in ("application/x-hdf5", "application/x-nexus", "application/x-cxi"):
        with h5py.File(made[media], "w") as file:
            file["entry/data/data"] = pattern
            file["entry/other"] = pattern[:8]
    scipy.io.savemat(made["application/x-matlab-data"], {"data": np.moveaxis(pattern, 0, 2)})
    tifffile.imwrite(made["image/tiff"], pattern, photometric="minisblack")
    np.savez(made["application/x-npz"], data=pattern)
    return made


async def test_files_are_sent_as_they_are(
    client: httpx.AsyncClient, tmp_path: Path, pattern: NDArray[np.uint32]
) -> None:
    """Every format gives the counts that an npy body gives, and nothing stays in the store's scratch room."""
    query = {"refine": "none", "format": "npz", "name": ""}
    expected = load(await client.post(URL, params=query, content=npy(pattern), headers=NPY))
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    for media, path in files(tmp_path, pattern).items():
        query["name"] = path.name if media == "image/tiff" else ""
        answer = await client.post(URL, params=query, content=path.read_bytes(), headers={"Content-Type": media})
        assert answer.status_code == 200, (media, answer.text)
        found = load(answer)
        for name in ("modulus", "mask", "object"):
            np.testing.assert_array_equal(found[name], expected[name], err_msg=media)
        assert json.loads(str(found["document"]))["input"]["source"] == (query["name"] or f"body{path.suffix}")
    assert services.budget.used == 0
    assert list(services.store.root.iterdir()) == []


async def test_a_file_that_is_sent_is_read_with_options(
    client: httpx.AsyncClient, data_root: Path, tmp_path: Path, pattern: NDArray[np.uint32]
) -> None:
    """dataset of the file, and a map of the detector that lies below a data root."""
    dark = np.zeros(pattern.shape[1:], np.float32)
    dark[:, 20] = 2
    np.save(data_root / "dark.npy", dark)
    path = files(tmp_path, pattern)["application/x-hdf5"]
    headers = {"Content-Type": "application/x-hdf5"}
    query = {"refine": "none", "format": "npz", "dark": "dark.npy", "dataset": "entry/data/data"}
    arrays = load(await client.post(URL, params=query, content=path.read_bytes(), headers=headers))
    assert (arrays["mask"][:, :, 20] != 0).all()
    for wrong, status, words in (
        ({"dataset": "entry/nothing"}, 422, ("body.h5", "entry/nothing")),
        ({"dark": "/etc/passwd"}, 403, ("outside the data roots",)),
        ({"set": "distance"}, 422, ("distance=1.83",)),
        ({"set": "distance=nan"}, 422, ("distance=1.83",)),
        ({"set": "distance=1.8"}, 422, ("beamline=",)),
        ({"beamline": "P99"}, 422, ("P99",)),
        ({"scan": "-1"}, 422, ("scan",)),
    ):
        answer = await client.post(URL, params={"refine": "none", **wrong}, content=path.read_bytes(), headers=headers)
        check(answer, status, *words)


async def test_a_file_that_is_sent_leads_nowhere(
    client: httpx.AsyncClient, data_root: Path, tmp_path: Path, pattern: NDArray[np.uint32]
) -> None:
    """Neither a link nor a virtual dataset of what was sent reads a file of the service, and no text names a folder."""
    np.save(data_root / "scan.npy", pattern)
    with h5py.File(data_root / "secret.h5", "w") as file:
        file["entry/data"] = pattern
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    for target in (str(data_root / "secret.h5"), "../../../data/secret.h5", "secret.h5"):
        with h5py.File(tmp_path / "link.h5", "w") as file:
            file["entry/data"] = h5py.ExternalLink(target, "/entry/data")
        with h5py.File(tmp_path / "virtual.h5", "w") as file:
            layout = h5py.VirtualLayout(pattern.shape, pattern.dtype)
            layout[...] = h5py.VirtualSource(target, "entry/data", pattern.shape)
            file.create_virtual_dataset("entry/data", layout)
        for name in ("link.h5", "virtual.h5"):
            answer = await client.post(
                URL,
                params={"refine": "none"},
                content=(tmp_path / name).read_bytes(),
                headers={"Content-Type": "application/x-hdf5"},
            )
            check(answer, 422, "body.h5")
            assert str(services.store.root) not in answer.text


async def test_a_disk_that_is_full_is_said(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, pattern: NDArray[np.uint32]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("service.api.bodies.files._write", full)
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    check(await client.post(URL, content=archive(data=pattern), headers=NPZ), 507, "no room")
    assert services.budget.used == 0
    assert list(services.store.root.iterdir()) == []
