"""Results as files of several formats, and measurements that come as npz with geometry and mask; on a real Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

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
from tests.service.api.calls import URL, check, load
from tests.service.api.conftest import NPY, npy
from tests.service.conftest import AppContext

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
