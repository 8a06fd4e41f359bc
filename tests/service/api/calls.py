"""Calls of the API, and what is looked at in every answer."""

import io
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import tifffile
from numpy.typing import NDArray

URL = "/v1/reconstructions"


async def post_file(client: httpx.AsyncClient, path: str, **options: Any) -> httpx.Response:
    """Name a file; refine=none unless asked otherwise. dataset, dark, flat, mask and roi belong to the source."""
    source = {"kind": "file", "path": path} | {
        key: options.pop(key) for key in ("dataset", "dark", "flat", "mask", "roi") if key in options
    }
    return await client.post(URL, json={"source": source, "refine": "none", **options})


def load(answer: httpx.Response) -> dict[str, NDArray[Any]]:
    """The arrays of an npz answer."""
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def check(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """A problem document of this status whose detail has these words, and no traceback."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:inphase:error:")
    assert problem["title"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    for word in words:
        assert word in problem["detail"], problem["detail"]
    assert "Traceback" not in answer.text
    return problem


def write_folder(folder: Path, pattern: NDArray[np.uint32]) -> None:
    """One TIFF per frame."""
    folder.mkdir()
    for number, frame in enumerate(pattern):
        tifffile.imwrite(folder / f"scan_{number:05d}.tif", frame.astype(np.int32))


def write_hdf5(path: Path, pattern: NDArray[np.uint32]) -> None:
    """A NeXus-like file."""
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data/data", data=pattern, chunks=(8, 64, 64), compression="gzip")
        file["entry/mask"] = np.zeros(pattern.shape[1:], np.uint8)


def preview_size(obj: NDArray[np.complex64]) -> tuple[int, int]:
    """(width, height) of the preview of an object: its central planes, each with four voxels around what is bright."""
    planes = [np.abs(obj.take(side // 2, axis)) for axis, side in enumerate(obj.shape)] if obj.ndim == 3 else [abs(obj)]
    lit = [np.argwhere(plane > 0.05 * max(plane.max() for plane in planes)) for plane in planes]
    cut = [(np.maximum(found.min(axis=0) - 4, 0), found.max(axis=0) + 5) for found in lit]
    rows, columns = zip(
        *(np.minimum(end, plane.shape) - begin for plane, (begin, end) in zip(planes, cut, strict=True)), strict=True
    )
    return sum(columns), 2 * max(rows)
