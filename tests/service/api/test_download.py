"""Results as files of several formats, and measurements that come as npz with geometry and mask; on a real Redis."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from vtkmodules.vtkIOXML import vtkXMLImageDataReader, vtkXMLStructuredGridReader

from service.jobs.embedded import find_server
from service.jobs.errors import NoRedisError
from service.lifecycle import Services
from service.settings import Settings
from tests.service.api.conftest import NPY, npy
from tests.service.api.test_bad_input import check
from tests.service.api.test_reconstructions import URL, load
from tests.service.conftest import AppContext

NPZ = {"Content-Type": "application/x-npz"}
MEDIA = {
    "cxi": "application/x-cxi",
    "vti": "application/x-vti",
    "vts": "application/x-vts",
    "mat": "application/x-matlab-data",
}


@pytest.fixture
async def queued(serving: AppContext, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with its own Redis and no worker."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    async with serving(settings.model_copy(update={"queue": True, "workers": 0, "redis_url": None})) as client:
        yield client


def archive(**arrays: Any) -> bytes:
    """An npz file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def amplitude(content: bytes, form: str, folder: Path) -> NDArray[np.float32]:
    """What the programs that these formats are for read out of a file, in our axes."""
    path = folder / f"r.{form}"
    path.write_bytes(content)
    if form == "cxi":
        with h5py.File(path) as file:
            return np.abs(file["entry_1/data_1/data"][()])
    if form == "mat":
        return np.moveaxis(np.abs(scipy.io.loadmat(path)["object"]), 2, 0)
    from vtkmodules.util.numpy_support import vtk_to_numpy

    reader = vtkXMLImageDataReader() if form == "vti" else vtkXMLStructuredGridReader()
    reader.SetFileName(str(path))
    reader.Update()
    return vtk_to_numpy(reader.GetOutput().GetPointData().GetArray("amplitude")).reshape(64, 64, 64)


def leftovers(client: httpx.AsyncClient) -> list[Path]:
    """Scratch files in the store."""
    services: Services = client.app.state.services  # type: ignore[attr-defined]
    return list(services.store.root.glob(".*"))


async def test_every_format_of_a_stored_result(
    queued: httpx.AsyncClient, pattern: NDArray[np.uint32], tmp_path: Path
) -> None:
    """By ?format= and by Accept, with ETag, length and name; the object is the npz's; nothing stays in the store."""
    job = (await queued.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)).json()["id"]
    where = f"/v1/jobs/{job}/result"
    known = load(await queued.get(where))
    for form, media in MEDIA.items():
        answer = await queued.get(where, params={"format": form})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == media
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert f'filename="inphase-{job}.{form}"' in answer.headers["content-disposition"]
        np.testing.assert_array_equal(amplitude(answer.content, form, tmp_path), known["amplitude"])
        accepted = await queued.get(where, headers={"Accept": f"{media}, */*;q=0.1"})
        assert accepted.headers["content-type"] == media
        again = await queued.get(where, params={"format": form}, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    etags = {(await queued.get(where, params={"format": f})).headers["etag"] for f in ("npz", *MEDIA)}
    assert len(etags) == 1 + len(MEDIA)
    as_hdf5 = await queued.get(where, headers={"Accept": "application/x-hdf5"})
    assert as_hdf5.headers["content-type"] == "application/x-cxi"
    check(await queued.get(where, params={"format": "pdf"}), 422, "cxi")
    assert leftovers(queued) == []


async def test_the_result_in_the_same_call(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], tmp_path: Path
) -> None:
    """Without a queue nothing is stored; the answer is made from memory, by ?format= or Accept."""
    for form, query, headers in (
        ("cxi", {"format": "cxi"}, {}),
        ("vts", {}, {"Accept": "application/x-vts"}),
    ):
        answer = await client.post(URL, params={"refine": "none", **query}, content=npy(pattern), headers=NPY | headers)
        assert answer.headers["content-type"] == MEDIA[form], answer.text
        assert amplitude(answer.content, form, tmp_path).shape == (64, 64, 64)
    assert leftovers(client) == []


async def test_no_room_for_a_conversion(
    queued: httpx.AsyncClient, pattern: NDArray[np.uint32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk answers 507 before anything is written."""
    job = (await queued.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)).json()["id"]
    services: Services = queued.app.state.services  # type: ignore[attr-defined]
    monkeypatch.setattr(services.store, "max_bytes", 1)
    check(await queued.get(f"/v1/jobs/{job}/result", params={"format": "cxi"}), 507, "store")
    assert leftovers(queued) == []


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
    """Cut off, no archive, no volume, impossible geometry or mask: a clear refusal, and the budget is free afterwards."""
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
    """Nobody says how long a chunked body is: what has come is counted, and it is refused where a bound is passed."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 2**16
            yield bytes(2**16)

    bounded = settings.model_copy(update={"bounds": settings.bounds.model_copy(update=bounds)})
    async with serving(bounded) as client:
        answer = await client.post(URL, params={"refine": "none"}, content=endless(), headers=NPZ)
        assert answer.status_code == (413 if "body_bytes" in bounds else 503), answer.text
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
