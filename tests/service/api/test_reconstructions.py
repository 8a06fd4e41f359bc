"""POST /v1/reconstructions without a queue: every way in, every kind of answer."""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from inphase import fourier
from inphase.pattern import MaskState, digest
from tests.service.api.calls import URL, check, load, post_file, write_folder, write_hdf5
from tests.service.api.conftest import NPY, OCTETS, npy
from tests.toy import crystal


async def test_an_npy_body_comes_back_as_a_document(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The network's image at once: the toy model knows the crystal, so chi2 is what the noise leaves, within 10 %."""
    answer = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["state"] == "succeeded"
    assert document["recorded"] is False  # this service has no queue
    assert document["links"] == {}
    assert document["model"]["name"] == "inphase-bcdi"
    assert document["recipe"]["refine"] == "none"
    assert document["input"]["shape"] == [64, 64, 64]
    assert document["input"]["dtype"] == "uint32"
    assert document["start"]["kind"] == "network"
    assert document["metrics"]["final"] == document["metrics"]["network"]
    assert document["metrics"]["final"]["chi2"] == pytest.approx(document["metrics"]["noise_chi2"], rel=0.1)
    (reason,) = document["trust"]["reasons"]
    assert "not refined" in reason
    assert document["trust"]["level"] == "medium"
    assert document["trust"]["probability"] > 0.9  # the toy network knows this crystal
    assert document["trust"]["probability_reason"] is None


async def test_server_timing_names_the_stages(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Every stage that was passed is in the header and in the document, in the same words."""
    answer = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    stages = {part.partition(";")[0].strip() for part in answer.headers["server-timing"].split(",")}
    assert {"receive", "decode", "preprocess", "infer", "encode", "total"} <= stages
    assert {"receive", "decode", "preprocess", "infer"} <= answer.json()["timings_ms"].keys()


async def test_the_result_itself(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """format=npz answers with the result file, from which anyone can compute the chi2 that the document states."""
    answer = await client.post(URL, params={"refine": "none", "format": "npz"}, content=npy(pattern), headers=NPY)
    assert answer.headers["content-type"] == "application/x-npz"
    arrays = load(answer)
    document = json.loads(str(arrays["document"]))
    valid = arrays["mask"] == 0
    calculated = np.abs(fourier.forward(arrays["object"]))[valid].astype(np.float64)
    measured = arrays["modulus"][valid].astype(np.float64)
    scale = (calculated @ measured) / (calculated @ calculated)
    chi2 = ((scale * calculated - measured) ** 2).sum() / (measured**2).sum()
    assert chi2 == pytest.approx(document["metrics"]["final"]["chi2"], rel=1e-4)  # single precision
    np.testing.assert_allclose(arrays["amplitude"], np.abs(arrays["object"]), rtol=1e-6)
    assert arrays["free"].dtype == bool
    # about 5 % of the voxels are hidden (docs/decisions/0003)
    assert 0.03 < arrays["free"].mean() < 0.06
    assert arrays["object"].dtype == np.complex64
    assert np.isnan(arrays["voxel_size_m"]).all()


async def test_accept_asks_for_the_result_too(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Accept: application/x-npz is the same as format=npz."""
    headers = NPY | {"Accept": "application/x-npz"}
    answer = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=headers)
    assert "object" in load(answer)


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4", "<f4", ">f8", "|u1"])
async def test_every_dtype_and_byte_order(client: httpx.AsyncClient, pattern: NDArray[np.uint32], dtype: str) -> None:
    """The same counts in another type and byte order give the same oversampling."""
    small = np.minimum(pattern, 250)
    wanted = (await client.post(URL, params={"refine": "none"}, content=npy(small), headers=NPY)).json()
    found = await client.post(URL, params={"refine": "none"}, content=npy(small.astype(dtype)), headers=NPY)
    assert found.status_code == 200, found.text
    assert found.json()["oversampling"] == wanted["oversampling"]


async def test_fortran_order(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """An npy file in Fortran order is the same pattern: the same digest, the same metrics."""
    c = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    f = await client.post(URL, params={"refine": "none"}, content=npy(np.asfortranarray(pattern)), headers=NPY)
    assert f.json()["input"]["digest"] == c.json()["input"]["digest"]
    assert f.json()["metrics"] == c.json()["metrics"]


async def test_octets(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Plain little-endian octets with dtype and shape in the query are the same pattern as the npy."""
    query = {"refine": "none", "dtype": "uint32", "shape": "64,64,64"}
    answer = await client.post(URL, params=query, content=pattern.tobytes(), headers=OCTETS)
    assert answer.status_code == 200, answer.text
    same = await client.post(URL, params={"refine": "none"}, content=npy(pattern), headers=NPY)
    assert answer.json()["input"]["digest"] == same.json()["input"]["digest"]


def npz(array: NDArray[np.generic]) -> bytes:
    """The array as an npz file."""
    stream = io.BytesIO()
    np.savez(stream, data=array)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["npy", "npz", "octets", "json"])
async def test_a_body_in_many_small_pieces(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32], data_root: Path, kind: str
) -> None:
    """Chunks that cut the header and the numbers anywhere are put together (no Content-Length),
    for every type of body.
    """
    np.save(data_root / "scan.npy", pattern)
    asked = {"source": {"kind": "file", "path": "scan.npy"}}
    body, headers, query = {
        "npy": (npy(pattern), NPY, {}),
        "npz": (npz(pattern), {"Content-Type": "application/x-npz"}, {}),
        "octets": (pattern.tobytes(), OCTETS, {"dtype": "uint32", "shape": "64,64,64"}),
        "json": (json.dumps(asked).encode(), {"Content-Type": "application/json"}, {}),
    }[kind]

    async def pieces() -> Any:
        for begin in range(0, 200, 7):
            yield body[begin : begin + 7]
        yield b""
        yield body[203:]  # 29 pieces of 7 bytes came before

    answer = await client.post(URL, params={"refine": "none", **query}, content=pieces(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert "content-length" not in answer.request.headers
    assert answer.json()["input"]["digest"] == digest(pattern)


async def test_modulus(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """domain=modulus squares the input, hides no voxels, and says why there is no free log-likelihood."""
    modulus = np.sqrt(pattern).astype(np.float32)
    answer = await client.post(URL, params={"refine": "none", "domain": "modulus"}, content=npy(modulus), headers=NPY)
    document = answer.json()
    assert document["input"]["domain"] == "modulus"
    assert document["metrics"]["noise_chi2"] is None
    assert document["metrics"]["final"]["free_llk"] is None
    assert "modulus" in document["metrics"]["final"]["free_llk_reason"]
    assert document["recipe"]["preprocess"].startswith("modulus")


@pytest.mark.parametrize("name", ["scan.npy", "scan.npz", "scan.tif", "scan.h5", "folder"])
async def test_every_kind_of_file(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32], name: str
) -> None:
    """npy, npz, a TIFF stack, HDF5 and a folder of frames, named relative to the root and absolutely,
    are one pattern.
    """
    path = data_root / name
    match name:
        case "scan.npy":
            np.save(path, pattern)
        case "scan.npz":
            np.savez(path, data=pattern)
        case "scan.tif":
            tifffile.imwrite(path, pattern, photometric="minisblack")
        case "scan.h5":
            write_hdf5(path, pattern)
        case _:
            write_folder(path, pattern)
    relative, absolute = await post_file(client, name), await post_file(client, str(path))
    assert relative.status_code == 200, relative.text
    assert relative.json()["metrics"] == absolute.json()["metrics"]
    assert relative.json()["metrics"]["final"]["support_voxels"] == int((np.abs(crystal()) > 0).sum())


async def test_a_dataset_is_named(client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]) -> None:
    """`dataset` chooses inside a container, and the document says what was taken."""
    with h5py.File(data_root / "two.h5", "w") as file:
        file["small"] = pattern
        file["large"] = np.zeros((65, 64, 64), np.uint16)
    answer = await post_file(client, "two.h5", dataset="small")
    assert answer.status_code == 200, answer.text
    assert "small" in answer.json()["input"]["chosen"]


async def test_dark_and_flat(client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]) -> None:
    """Maps of the whole chip with a region of interest mask what they call bad."""
    np.save(data_root / "scan.npy", pattern)
    dark, flat = np.zeros((128, 128), np.float32), np.ones((128, 128), np.float32)
    dark[10, 20:30] = 7
    tifffile.imwrite(data_root / "dark.tif", dark)
    np.save(data_root / "flat.npy", flat)
    answer = await post_file(client, "scan.npy", dark="dark.tif", flat="flat.npy", roi="0:64,0:64")
    assert answer.status_code == 200, answer.text
    steps = {step["name"]: step["numbers"] for step in answer.json()["preprocess"]["steps"]}
    assert steps["corrections"]["bad_pixels"] == 10


async def test_a_mask_and_steered_steps(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """The mask lies below a data root; the steps after the preset's name are done and told; a mistyped one is 422."""
    np.save(data_root / "scan.npy", pattern)
    mask = np.zeros(pattern.shape[1:], np.uint8)
    mask[10, 20:30] = 1
    np.save(data_root / "mask.npy", mask)
    asked = "auto: binning(off) crop(frames=4:60) hot_pixels(off)"
    answer = await post_file(client, "scan.npy", mask="mask.npy", preprocess=asked)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert "10 of its values mask by mask.npy" in document["input"]["chosen"]
    steps = {step["name"]: step["numbers"] for step in document["preprocess"]["steps"]}
    assert steps["crop"]["frames"] == [4, 60]
    assert "hot_pixels" not in steps
    assert "binning(off)" in document["recipe"]["preprocess"]
    answer = await post_file(client, "scan.npy", preprocess="auto: bining(off)")
    assert answer.status_code == 422
    assert "no preprocessing step 'bining'" in answer.text
    answer = await post_file(client, "scan.npy", mask="../mask.npy")
    assert answer.status_code in (403, 404)


async def test_boxes_are_masked_however_the_data_come(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """Named with a path, and in the query of an npy, an npz and octets: the result's mask has them; nonsense is 422."""
    np.save(data_root / "scan.npy", pattern)
    expected = np.zeros(pattern.shape, bool)
    expected[:, 3:5, 6:60] = expected[7] = True
    boxes = "3:5,6:60;7:8,:,:"
    query = {"masked": boxes, "refine": "none", "format": "npz", "wait": 10}
    stream = io.BytesIO()
    np.savez(stream, data=pattern)
    octets = {"dtype": "uint32", "shape": "64,64,64"}
    answers = [
        await client.post(URL, params=query, json={"source": {"kind": "file", "path": "scan.npy"}}),
        await client.post(URL, params=query, content=npy(pattern), headers=NPY),
        await client.post(URL, params=query, content=stream.getvalue(), headers={"Content-Type": "application/x-npz"}),
        await client.post(URL, params=query | octets, content=pattern.astype("<u4").tobytes(), headers=OCTETS),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert np.array_equal(load(answer)["mask"] == MaskState.MASKED, expected)
    refused = await client.post(URL, params=query | {"masked": "0:65,0:1"}, content=npy(pattern), headers=NPY)
    check(refused, 422, "reaches beyond the measurement")
    refused = await client.post(URL, params={"roi": "0:1,0:1"}, content=npy(pattern), headers=NPY)
    check(refused, 422, "roi", "an array alone")


async def test_the_query_goes_before_the_json(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """An option in the query overrides the same one in the body."""
    np.save(data_root / "scan.npy", pattern)
    body = {"source": {"kind": "file", "path": "scan.npy"}, "refine": "none", "seed": 1}
    answer = await client.post(URL, params={"seed": 2}, json=body)
    assert answer.json()["start"]["seed"] == 2


async def test_without_a_queue_the_default_recipe_becomes_a_prediction(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """When Redis is away the answer is a prediction only, which is not recorded, and the document says so."""
    answer = await client.post(URL, content=npy(pattern), headers=NPY)
    assert answer.status_code == 200
    document = answer.json()
    assert document["recipe"]["refine"] == "none"
    assert document["recorded"] is False
    assert "not refined" in document["reason"]


async def test_random_starts_without_a_queue_are_refused(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """There is nothing to answer with: 503 and when to come back."""
    answer = await client.post(URL, params={"start": "random"}, content=npy(pattern), headers=NPY)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_a_poor_prediction_without_refinement_is_not_trusted(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """`blind` predicts a full box: it is handed out as asked, with low trust and the reasons."""
    answer = await client.post(URL, params={"refine": "none", "model": "blind"}, content=npy(pattern), headers=NPY)
    document = answer.json()
    assert document["trust"]["level"] == "low"
    assert any("fills 100%" in reason for reason in document["trust"]["reasons"])
    assert document["start"]["kind"] == "network"
    assert "not sane" in document["start"]["why"]


async def test_the_free_voxels_follow_the_seed(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The same seed hides the same voxels, another one others."""
    free = []
    for seed in (1, 1, 2):
        query = {"refine": "none", "format": "npz", "seed": seed}
        free.append(load(await client.post(URL, params=query, content=npy(pattern), headers=NPY))["free"])
    assert (free[0] == free[1]).all()
    assert (free[0] != free[2]).any()
