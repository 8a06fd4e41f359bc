"""A single detector frame through the service: sent, named, refined by the worker's code, fetched and looked at."""

import io
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image

from service.settings import Settings
from tests import toy
from tests.flat import counts, crystal
from tests.service.api.calls import URL, check, load, preview_size
from tests.service.api.conftest import NPY, npy
from tests.service.api.queued import client, read, submit, work
from tests.service.conftest import AppContext

__all__ = ["client"]  # a fixture

OPTIONS = {"start": "random", "refine": "10*ER", "starts": 1}


async def test_a_frame_is_refined_and_fetched(client: httpx.AsyncClient) -> None:
    """Its result has two axes, its arrays are cut by two indices and shown whole, and the preview is the image."""
    answer = await submit(client, counts(), **OPTIONS)
    job_id = answer.json()["id"]
    await work(client, job_id)
    document = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (document["state"], document["preprocess"]["shape"]) == ("succeeded", [64, 64]), document
    where = f"/v1/jobs/{job_id}/result"
    arrays = load(await client.get(where))
    assert arrays["object"].shape == (64, 64)
    row = np.load(io.BytesIO((await client.get(f"{where}/phase", params={"slice": "32,:"})).content))
    np.testing.assert_array_equal(row, arrays["phase"][32])
    picture = await client.get(f"{where}/amplitude", params={"format": "png"})
    assert Image.open(io.BytesIO(picture.content)).size == (64, 64)
    preview = await client.get(f"/v1/jobs/{job_id}/preview")
    assert Image.open(io.BytesIO(preview.content)).size == preview_size(arrays["object"])
    for form in ("cxi", "vti", "vts", "mat"):
        assert (await client.get(where, params={"format": form})).status_code == 200
    check(await client.get(f"{where}/strain"), 404, "geometry")


@pytest.mark.parametrize("name", ["frame.tif", "frame.npy", "stack.npy"])
async def test_a_frame_in_a_file_is_the_same_job(client: httpx.AsyncClient, data_root: Path, name: str) -> None:
    """A TIFF, an npy and a stack of one frame, named by their path: the same input as the bytes themselves."""
    frame = counts()
    tifffile.imwrite(data_root / "frame.tif", frame)
    np.save(data_root / "frame.npy", frame)
    np.save(data_root / "stack.npy", frame[None])
    sent = (await submit(client, frame, **OPTIONS)).json()["id"]
    named = await client.post(URL, json={"source": {"kind": "file", "path": name}, "wait": 0, **OPTIONS})
    await read(client, named.json()["id"])
    documents = [(await client.get(f"/v1/jobs/{job}")).json() for job in (sent, named.json()["id"])]
    assert documents[0]["input"]["digest"] == documents[1]["input"]["digest"]


async def test_a_network_for_volumes_is_refused_for_a_frame(client: httpx.AsyncClient) -> None:
    """422 with the way out, and nothing is left."""
    answer = await client.post(URL, content=npy(counts()), headers=NPY)
    check(answer, 422, "2 axes", "start=random")
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


@pytest.fixture
def with_images(settings: Settings, tmp_path: Path) -> Settings:
    """A service that has a network of the family image as well, which knows the flat crystal."""
    toy.write_model(tmp_path / "networks", toy.crystal())
    toy.write_model(tmp_path / "networks", crystal((64, 64), (64 / 131, 64 / 160)), name="flat")
    toy.write_scan_model(tmp_path / "networks")
    return settings.model_copy(update={"models_dir": tmp_path / "networks"})


async def test_a_network_of_images_answers_for_frames(
    with_images: Settings, serving: AppContext, data_root: Path
) -> None:
    """Its image of a frame as npy, TIFF and HDF5, by the same door: the same object, and its phase without wraps."""
    frame = counts()
    tifffile.imwrite(data_root / "frame.tif", frame)
    with h5py.File(data_root / "frame.h5", "w") as file:
        file["entry/data/data"] = frame
    async with serving(with_images) as door:
        query, npz = {"model": "flat", "refine": "none"}, {"Accept": "application/x-npz"}
        answers = [await door.post(URL, params=query, content=npy(frame), headers=NPY | npz)]
        for name in ("frame.tif", "frame.h5"):
            source = {"kind": "file", "path": name}
            answers.append(await door.post(URL, json={"source": source, **query}, headers=npz))
        found = [load(answer) for answer in answers]
    for arrays in found:
        np.testing.assert_array_equal(arrays["object"], found[0]["object"])
    support, flat = found[0]["support"], found[0]["phase_unwrapped"]
    assert np.isnan(flat[~support]).all()
    difference = (flat - found[0]["phase_flat"])[support] / (2 * np.pi)
    np.testing.assert_allclose(difference, difference.round(), atol=1e-4)


async def test_a_network_of_scans_is_refused_for_a_pattern(with_images: Settings, serving: AppContext) -> None:
    """With what takes it, and which networks there are for patterns."""
    async with serving(with_images) as door:
        for query in ({"model": "scans", "refine": "none"}, {"model": "scans", "refine": "none", "slice": "center"}):
            answer = await door.post(URL, params=query, content=npy(toy.counts()), headers=NPY)
            check(answer, 422, "family volume or image", "inphase ptycho --model")


async def test_the_central_slice_of_a_curve_is_a_frame(with_images: Settings, serving: AppContext) -> None:
    """slice=center makes one of a rocking curve; without it the network says what to do."""
    async with serving(with_images) as door:
        query = {"model": "flat", "refine": "none"}
        check(await door.post(URL, params=query, content=npy(toy.counts()), headers=NPY), 422, "slice=center", "stack")
        answer = await door.post(URL, params=query | {"slice": "center"}, content=npy(toy.counts()), headers=NPY)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["preprocess"]["shape"] == [64, 64]
        (step,) = (step for step in document["preprocess"]["steps"] if step["name"] == "central_slice")
        assert step["numbers"]["frame"] == toy.counts().sum((1, 2)).argmax()
        check(await door.post(URL, params=query | {"slice": "middle"}, content=npy(toy.counts()), headers=NPY), 422)
