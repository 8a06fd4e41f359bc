"""Results over HTTP: arrays, slices, pictures, and what is no longer there."""

import io
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.service.api.calls import check, load, post_file, preview_size
from tests.service.api.queued import client, predicted, services, submit, work

__all__ = ["client"]  # a fixture


async def test_arrays_and_slices(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Every array as npy and as octets, whole and cut, is the one in the result file."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    arrays = load(await client.get(where))
    for name in ("amplitude", "phase", "phase_flat", "object", "support", "modulus", "mask", "free"):
        answer = await client.get(f"{where}/{name}")
        assert answer.headers["content-type"] == "application/x-npy"
        np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), arrays[name])
    for cut, index in {
        "32,:,:": np.s_[32, :, :],
        "-1": np.s_[-1],
        ":,::2,10:20": np.s_[:, ::2, 10:20],
        "::-1": np.s_[::-1],
        "1,2,3": np.s_[1, 2, 3],
        "90:99": np.s_[90:99],
    }.items():
        answer = await client.get(f"{where}/phase", params={"slice": cut, "format": "octet-stream"})
        wanted = arrays["phase"][index]
        shape = tuple(int(side) for side in answer.headers["x-inphase-shape"].split(",") if side)
        found = np.frombuffer(answer.content, answer.headers["x-inphase-dtype"]).reshape(shape)
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("cut", ["64", "-65", "1,2,3,4", "a", "1:2:3:4", "::0", "1;2", "1,,2", "0x1", "1e3"])
async def test_slices_that_cannot_be(client: httpx.AsyncClient, pattern: NDArray[np.uint32], cut: str) -> None:
    """Out of range or not understood: 422 with the axis or the part."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/phase", params={"slice": cut}), 422, "slice")


async def test_pictures(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """PNG shows the middle plane, or the one that is named; grey amplitudes, coloured phases;
    never a volume or a line.
    """
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    for name, mode in {
        "amplitude": "L",
        "modulus": "L",
        "support": "L",
        "mask": "L",
        "phase": "RGB",
        "object": "RGB",
    }.items():
        answer = await client.get(f"{where}/{name}", params={"format": "png"})
        assert answer.headers["content-type"] == "image/png"
        image = Image.open(io.BytesIO(answer.content))
        assert (image.size, image.mode) == ((64, 64), mode)
    narrow = await client.get(f"{where}/amplitude", params={"format": "png", "slice": "10:30,32"})
    assert Image.open(io.BytesIO(narrow.content)).size == (64, 20)  # width, height
    accepted = await client.get(f"{where}/amplitude", headers={"Accept": "image/png"})
    assert accepted.headers["content-type"] == "image/png"
    seen = await client.get(where.removesuffix("result") + "preview")
    obj = np.load(io.BytesIO((await client.get(f"{where}/object")).content))
    assert Image.open(io.BytesIO(seen.content)).size == preview_size(obj)
    again = await client.get(where.removesuffix("result") + "preview", headers={"If-None-Match": seen.headers["etag"]})
    assert again.status_code == 304
    for cut in (":,:,:", "1,2", "1,2,3"):
        check(await client.get(f"{where}/phase", params={"format": "png", "slice": cut}), 422, "plane")


async def test_etags(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """What a client has already is not sent again: 304 without a body; another part has another tag."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    tags = set()
    for path in ("", "/phase", "/phase?slice=1", "/phase?slice=1&format=png", "/amplitude"):
        first = await client.get(f"{where}{path}")
        tag = first.headers["etag"]
        tags.add(tag)
        again = await client.get(f"{where}{path}", headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert (await client.get(f"{where}{path}", headers={"If-None-Match": '"other"'})).status_code == 200
    assert len(tags) == 5


async def test_an_expired_result(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The record may outlive the arrays: 404 that says so."""
    job_id = await predicted(client, pattern)
    services(client).store.delete(job_id)
    check(await client.get(f"/v1/jobs/{job_id}/result"), 404, "expired")
    check(await client.get(f"/v1/jobs/{job_id}/result/phase"), 404, "expired")


async def test_a_damaged_result(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A file that lost its end is an error of the service that names the job, not garbage."""
    job_id = await predicted(client, pattern)
    path = services(client).store.path(job_id, "result-0")
    path.write_bytes(path.read_bytes()[:1000])
    check(await client.get(f"/v1/jobs/{job_id}/result/phase"), 500, job_id)


async def test_unknown_arrays_and_formats(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The answer names what there is."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/colour"), 422, "amplitude")
    check(await client.get(f"{where}/phase", params={"format": "jpeg"}), 422, "png")
    check(await client.get(where, params={"format": "doc"}), 422, "npz")


async def test_strain_maps(client: httpx.AsyncClient, pattern: NDArray[np.uint32], data_root: Path) -> None:
    """With q_steps and q_centre in the file, displacement, strain and d-spacing are arrays of the result and
    pictures.
    """
    with h5py.File(data_root / "known.h5", "w") as file:
        file["counts"] = pattern
        file["q_steps"] = np.diag([2e6, 5e6, 4e6])
        file["q_centre"] = np.array([0.0, 2.7e10, 0.0])
    answer = await post_file(client, "known.h5")
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["strain"]["q_per_m"] == pytest.approx([0.0, 2.7e10, 0.0], rel=0.01)
    assert document["preprocess"]["geometry"]["frame"] == "laboratory"
    where = f"/v1/jobs/{document['id']}/result"
    arrays = load(await client.get(where))
    for name in ("displacement", "strain", "strain_with_ramp", "d_spacing"):
        found = np.load(io.BytesIO((await client.get(f"{where}/{name}")).content))
        np.testing.assert_array_equal(found, arrays[name])
        picture = Image.open(io.BytesIO((await client.get(f"{where}/{name}", params={"format": "png"})).content))
        assert picture.size == (64, 64)
    assert np.nanmean(arrays["d_spacing"]) == pytest.approx(2 * np.pi / 2.7e10, rel=1e-3)


async def test_strain_without_geometry(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """404 says what is missing; the rest of the result is there."""
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/strain"), 404, "give q_steps and q_centre")
    assert (await client.get(f"{where}/phase")).status_code == 200


async def test_what_several_starts_agree_on(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The average and its modes are arrays of the result;
    a job with one start says why it has none, one in disagreement too.
    """
    where = f"/v1/jobs/{await predicted(client, pattern)}/result"
    check(await client.get(f"{where}/average"), 404, "one start", "start=mixed")
    refine = "40*HIO+10*ER+10*AER | SW(every=10,threshold=0.2,sigma=2..1)"
    answer = await submit(client, pattern, start="mixed", starts=2, refine=refine)
    await work(client, answer.json()["id"])
    document = (await client.get(f"/v1/jobs/{answer.json()['id']}")).json()
    assert [member["kind"] for member in document["ensemble"]["members"]] == ["network", "jittered"]
    where = f"/v1/jobs/{document['id']}/result"
    modes = np.load(io.BytesIO((await client.get(f"{where}/modes")).content))
    assert modes.shape == (2, 64, 64, 64)
    assert (await client.get(f"{where}/average", params={"format": "png"})).status_code == 200
    answer = await submit(client, pattern, start="random", starts=2, refine="1*ER")
    await work(client, answer.json()["id"])
    check(
        await client.get(f"/v1/jobs/{answer.json()['id']}/result/prtf"), 404, "of 2 starts 1 led to the same solution"
    )
