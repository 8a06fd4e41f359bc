"""Looking at a measurement before it is submitted."""

import base64
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.service.api.calls import check
from tests.service.api.conftest import NPY, npy

URL = "/v1/previews"


async def test_a_preview_shows_the_largest_counts(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """Sent: shape, type, total and the projection along each axis are those of the array."""
    answer = await client.post(URL, content=npy(pattern), headers=NPY)
    seen = answer.json()
    assert (seen["shape"], seen["dtype"], seen["geometry"]) == ([64, 64, 64], "uint32", False)
    assert (seen["total"], seen["largest"]) == (pattern.sum(), pattern.max())
    assert [plane["axis"] for plane in seen["planes"]] == [0, 1, 2]
    for plane in seen["planes"]:
        values = np.frombuffer(base64.b64decode(plane["data"]), "<f4").reshape(plane["shape"])
        assert np.array_equal(values, pattern.max(axis=plane["axis"]).astype(np.float32))


async def test_a_file_is_looked_at_in_the_same_way(
    client: httpx.AsyncClient, data_root: Path, pattern: NDArray[np.uint32]
) -> None:
    """Named: masked voxels count for nothing, and a long axis is shortened by taking the largest of a block."""
    long = np.pad(pattern, [(0, 0), (0, 0), (0, 600)])
    mask = np.zeros(long.shape, np.uint8)
    mask[:, :, 100:] = 1
    long[:, :, 200] = 10**6  # masked
    np.savez(data_root / "scan.npz", data=long, mask=mask)
    answer = await client.post(URL, json={"source": {"kind": "file", "path": "scan.npz"}})
    seen = answer.json()
    assert seen["largest"] == pattern.max()
    np.testing.assert_allclose(seen["masked"], (mask == 1).mean())
    plane = seen["planes"][0]
    assert (plane["shape"], plane["block"]) == ([64, 222], [1, 3])  # 664 in blocks of 3
    values = np.frombuffer(base64.b64decode(plane["data"]), "<f4").reshape(plane["shape"])
    assert values[32, 0] == pattern[:, 32, :3].max()


async def test_a_region_says_where_it_begins(client: httpx.AsyncClient, data_root: Path) -> None:
    """Boxes that are drawn on it are those of whole frames."""
    counts = np.random.default_rng(0).poisson(4, (9, 40, 50)).astype(np.uint16)
    np.save(data_root / "scan.npy", counts)
    source = {"kind": "file", "path": "scan.npy", "region": "5:25,8:30"}
    seen = (await client.post(URL, json={"source": source})).json()
    assert (seen["shape"], seen["start"]) == ([9, 20, 22], [0, 5, 8])
    boxed = (await client.post(URL, json={"source": source | {"masked": "5:25,8:19"}})).json()
    np.testing.assert_allclose(boxed["masked"], 0.5)
    check(await client.post(URL, json={"source": source | {"region": "5:45,8:30"}}), 422, "rows 5:45 of frames of 40")
    check(await client.post(f"{URL}?region=0:8,0:8", content=npy(counts), headers=NPY), 422, "an array alone")


async def test_what_cannot_be_read_is_refused_as_a_reconstruction_would(client: httpx.AsyncClient) -> None:
    """A path outside, a body that is no array, a type that is not taken."""
    check(await client.post(URL, json={"source": {"kind": "file", "path": "/etc/passwd"}}), 403, "data roots")
    check(await client.post(URL, content=b"nothing", headers=NPY), 400)
    check(await client.post(URL, content=b"x", headers={"Content-Type": "text/plain"}), 415)
    check(await client.post(URL, content=npy(np.zeros((8, 8, 8), np.uint16)), headers=NPY), 422, "empty")


async def test_marks_are_no_counts(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """A detector gap at the type's maximum is masked, and does not outshine the peak."""
    gap = pattern.copy()
    gap[:, 40:43] = 2**32 - 1
    seen = (await client.post(URL, content=npy(gap), headers=NPY)).json()
    np.testing.assert_allclose(seen["masked"], 3 / 64)
    assert seen["largest"] == pattern.max()
