"""A whole result as a file: stored as npz, and made into the format that a request asks for."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Final, Literal

import anyio.to_thread
from fastapi import Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from inphase.formats.npz import read_arrays
from inphase.formats.result import Arrays
from inphase.formats.writers import write_result
from inphase.ptycho.formats.written import reconstruction_of, write_cxi
from service.api.bodies.media import NPZ
from service.document import JobDocument
from service.errors import ApiError
from service.jobs.errors import StoreCorruptError
from service.lifecycle import Services

ResultFormat = Literal["npz", "cxi", "vti", "vts", "mat"]
MEDIA: Final[dict[ResultFormat, str]] = {
    "npz": NPZ,
    "cxi": "application/x-cxi",
    "vti": "application/x-vti",
    "vts": "application/x-vts",
    "mat": "application/x-matlab-data",
}
# what Accept may say besides: a CXI is an HDF5
_ASKED: Final[dict[str, ResultFormat]] = {media: form for form, media in MEDIA.items()}
_ASKED["application/x-hdf5"] = "cxi"
_CHUNK: Final = 2**20


def accepted(request: Request) -> ResultFormat | None:
    """The first format that Accept names; None where it names none of them."""
    for part in request.headers.get("accept", "").split(","):
        form = _ASKED.get(part.partition(";")[0].strip().lower())
        if form is not None:
            return form
    return None


async def stored(services: Services, path: Path, form: ResultFormat, name: str, headers: dict[str, str]) -> Response:
    """A stored result (npz) in a format. Raises DataError where the format cannot hold it, StoreFullError."""
    if form == "npz":
        return FileResponse(path, headers=headers, media_type=NPZ, filename=f"{name}.npz")
    return await _made(services, lambda: read_arrays(path), form, name, headers)


async def unstored(
    services: Services, arrays: Arrays, form: ResultFormat, name: str, headers: dict[str, str]
) -> Response:
    """A result that is nowhere but in memory."""
    return await _made(services, lambda: arrays, form, name, headers)


async def _made(
    services: Services, load: Callable[[], Arrays], form: ResultFormat, name: str, headers: dict[str, str]
) -> Response:
    """The file is written in the store's scratch room and unlinked before a byte is sent:
    nothing can be left behind.
    """

    def write() -> IO[bytes]:
        arrays = load()
        services.store.admit(sum(array.nbytes for array in arrays.values()))
        with services.store.scratch() as folder:
            path = folder / f"result.{form}"
            (_write_scan if "coverage" in arrays else write_result)(path, arrays)
            return path.open("rb")

    file = await services.compute(write)
    headers = headers | {
        "Content-Length": str(os.fstat(file.fileno()).st_size),
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
    }
    return StreamingResponse(_chunks(file), headers=headers, media_type=MEDIA[form])


def _write_scan(path: Path, arrays: Arrays) -> None:
    """The image of a ptychographic scan, as the library writes it. Raises ApiError for what holds none."""
    told = str(arrays["document"])
    found = JobDocument.from_json(told.encode()).ptychography
    if found is None or found.report is None:
        raise StoreCorruptError("the stored result is damaged: its document is of no ptychographic scan")
    if path.suffix != ".cxi":
        raise ApiError(422, f"the image of a ptychographic scan is written as npz or cxi, not as {path.suffix[1:]}")
    write_cxi(path, reconstruction_of(arrays, found.report), told)


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await anyio.to_thread.run_sync(file.read, _CHUNK):
            yield chunk
