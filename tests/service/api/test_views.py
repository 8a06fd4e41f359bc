"""The calculated pattern and the surface of a result."""

import io
import json
import struct

import httpx
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inphase import fourier
from tests.service.api.calls import check, load
from tests.service.api.conftest import NPY
from tests.service.api.queued import client, predicted, submit

__all__ = ["client"]  # a fixture


async def test_the_calculated_pattern_is_that_of_the_object(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """|F| of the downloaded object up to one factor; with it the document's chi2 comes out."""
    job_id = await predicted(client, pattern)
    arrays = load(await client.get(f"/v1/jobs/{job_id}/result"))
    answer = await client.get(f"/v1/jobs/{job_id}/calculated")
    found = np.load(io.BytesIO(answer.content))
    assert answer.headers["x-inphase-shape"] == "64,64,64"
    expected = np.abs(fourier.forward(arrays["object"]))
    factor = found.sum() / expected.sum()
    np.testing.assert_allclose(found, factor * expected, rtol=1e-4, atol=1e-4 * found.max())
    valid = arrays["mask"] == 0
    modulus = arrays["modulus"].astype(np.float64)
    chi2 = ((found - modulus)[valid] ** 2).sum() / (modulus[valid] ** 2).sum()
    document = (await client.get(f"/v1/jobs/{job_id}")).json()
    np.testing.assert_allclose(chi2, document["metrics"]["final"]["chi2"], rtol=1e-4)
    plane = await client.get(f"/v1/jobs/{job_id}/calculated", params={"slice": "32,:,:", "format": "octet-stream"})
    assert np.array_equal(np.frombuffer(plane.content, "<f4").reshape(64, 64), found[32])
    known = await client.get(f"/v1/jobs/{job_id}/calculated", headers={"If-None-Match": answer.headers["etag"]})
    assert known.status_code == 304


def mesh(file: bytes) -> tuple[dict[str, object], NDArray[np.float32], NDArray[np.uint32]]:
    """What a glTF says of itself, its vertices and its triangles, read by the specification's layout."""
    magic, version, size, length = struct.unpack("<4sIII", file[:16])
    assert (magic, version, size) == (b"glTF", 2, len(file))
    head = json.loads(file[20 : 20 + length])
    body = file[20 + length + 8 :]
    assert len(body) == head["buffers"][0]["byteLength"]

    def part(accessor: int, dtype: str) -> NDArray[np.generic]:
        view = head["bufferViews"][head["accessors"][accessor]["bufferView"]]
        return np.frombuffer(body[view["byteOffset"] : view["byteOffset"] + view["byteLength"]], dtype)

    primitive = head["meshes"][0]["primitives"][0]
    vertices = part(primitive["attributes"]["POSITION"], "<f4").reshape(-1, 3)
    faces = part(primitive["indices"], "<u4").reshape(-1, 3)
    return head["meshes"][0]["extras"], vertices, faces  # type: ignore[return-value]


async def test_the_surface_encloses_the_crystal(client: httpx.AsyncClient, pattern: NDArray[np.uint32]) -> None:
    """The volume within the mesh is that of the voxels above the level; the mesh says what its colours mean."""
    job_id = await predicted(client, pattern)
    answer = await client.get(f"/v1/jobs/{job_id}/surface", params={"level": 0.5})
    assert answer.headers["content-type"] == "model/gltf-binary"
    said, vertices, faces = mesh(answer.content)
    assert said | {"low": 0, "high": 0} == {
        "of": "phase", "unit": "rad", "low": 0, "high": 0, "level": 0.5, "length_unit": "voxel",
    }  # fmt: skip
    corners = vertices[faces].astype(np.float64)
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    amplitude = load(await client.get(f"/v1/jobs/{job_id}/result"))["amplitude"]
    inside = amplitude >= 0.5 * amplitude.max()
    # marching cubes cut half a voxel of the shell's corners and edges
    assert ndimage.binary_erosion(inside).sum() < volume < 1.02 * inside.sum()


async def test_without_strain_there_is_none_to_paint_with(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """404 with the reason; a level of 1 is refused."""
    job_id = await predicted(client, pattern)
    check(await client.get(f"/v1/jobs/{job_id}/surface", params={"of": "strain"}), 404, "no strain")
    check(await client.get(f"/v1/jobs/{job_id}/surface", params={"level": 1}), 422)


async def test_a_strain_surface_has_the_lengths_of_the_geometry(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """With voxels of 5 nm the vertices lie nanometres apart, and the colours' range is that of the strain there."""
    body = io.BytesIO()
    steps = np.eye(3) * 2 * np.pi / (64 * 5e-9)
    np.savez(body, data=pattern, q_steps=steps, q_centre=np.array([0.0, 0.0, 2.7e10]))
    answer = await client.post(
        "/v1/reconstructions?refine=none&wait=20",
        content=body.getvalue(),
        headers={"Content-Type": "application/x-npz"},
    )
    job_id = answer.json()["id"]
    said, vertices, _ = mesh((await client.get(f"/v1/jobs/{job_id}/surface?of=strain")).content)
    strain = np.load(io.BytesIO((await client.get(f"/v1/jobs/{job_id}/result/strain")).content))
    assert said["length_unit"] == "nm"
    crystal = np.argwhere(np.isfinite(strain))
    np.testing.assert_allclose(np.ptp(vertices, axis=0), 5 * (np.ptp(crystal, axis=0) + 1), atol=5)
    assert 0 < float(str(said["high"])) <= np.nanmax(np.abs(strain))


async def test_the_networks_image_has_a_surface_while_the_job_waits(
    client: httpx.AsyncClient, pattern: NDArray[np.uint32]
) -> None:
    """Revision 1 is materialised for it."""
    answer = await submit(client, pattern, refine="5*ER", headers=NPY)
    surface = await client.get(f"/v1/jobs/{answer.json()['id']}/surface")
    assert (surface.status_code, surface.headers["inphase-final"]) == (200, "false")
