"""GET /v1/jobs/{id}/result: the arrays of a job, whole or cut, as files, octets or pictures."""

import hashlib
import io
import re
import zipfile
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import Query, Request, Response
from fastapi.responses import FileResponse
from numpy.typing import NDArray

from inphase.imaging.arrays import ARRAYS, BY_NAME
from inphase.ptycho.arrays import NAMES as PTYCHO
from service.api.access import JobId, TheClock, TheServices
from service.api.download import MEDIA, ResultFormat, accepted, stored
from service.api.revisions import RevisionNumber, materialised, revision_of, told
from service.api.routing import Router
from service.document import JobDocument
from service.errors import ApiError
from service.jobs.entry import JobRecord, Revision
from service.jobs.errors import StoreCorruptError, StoreError
from service.lifecycle import Services
from service.pictures import png

router = Router(prefix="/v1/jobs", tags=["results"])

_NAMES: Final = dict.fromkeys([*(array.name for array in ARRAYS if array.served), *PTYCHO])
ArrayName = StrEnum("ArrayName", [(name, name) for name in _NAMES])  # type: ignore[misc]  # made from the tables
ArrayFormat = Literal["npy", "octet-stream", "png"]
_MEDIA: Final = {"npy": "application/x-npy", "octet-stream": "application/octet-stream", "png": "image/png"}
Cut = Annotated[
    str | None,
    Query(
        alias="slice",
        max_length=100,
        examples=["32,:,:"],
        description="Only this part of the array is sent; it is written as in numpy.",
    ),
]
Form = Annotated[
    ArrayFormat | None,
    Query(
        alias="format",
        description="The array comes in this format; by default in the one that Accept asks for, else as npy.",
    ),
]
_PART: Final = re.compile(r"(-?\d{1,9})|(-?\d{1,9})?:(-?\d{1,9})?(?::(-?\d{1,9})?)?")


@router.get(
    "/{job_id}/result",
    operation_id="get_result",
    summary="The whole result",
    response_class=FileResponse,
    responses={
        200: {
            "content": {media: {} for media in MEDIA.values()},
            "description": "The result is an npz with every array and the job document, or CXI 1.6, VTI, VTS or MATLAB "
            "5.",
        },
        304: {"description": "The result has not changed since the ETag in If-None-Match."},
    },
)
async def whole(
    job_id: JobId,
    request: Request,
    services: TheServices,
    clock: TheClock,
    form: Annotated[
        ResultFormat | None,
        Query(
            alias="format",
            description="The result comes in this format; by default in the one that Accept asks for, else as npz.",
        ),
    ] = None,
    revision: RevisionNumber = None,
) -> Response:
    """The whole result as one file (docs/reference/formats):
    the newest revision, also while the job runs, or the one asked for.
    """
    form = form or accepted(request) or "npz"
    record, found = await revision_of(services, job_id, revision)
    etag = tag(job_id, found.result, form)
    if known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    with clock("encode"):
        await materialised(services, record, found)
    path = services.store.path(job_id, found.result)
    if not path.is_file():
        raise StoreError(f"the result of job {job_id} has expired")
    headers = {"ETag": etag, "Cache-Control": "private", "Vary": "Accept", **told(found)}
    with clock("encode"):
        return await stored(services, path, form, f"inphase-{job_id}", headers)


@router.get(
    "/{job_id}/result/{name}",
    operation_id="get_result_array",
    summary="One array",
    response_class=Response,
    responses={
        200: {
            "content": {media: {} for media in _MEDIA.values()},
            "description": "The body is the array, or the part of it that `slice` names.",
        },
        304: {"description": "The result has not changed since the ETag in If-None-Match."},
    },
)
async def one(
    job_id: JobId,
    name: ArrayName,
    request: Request,
    services: TheServices,
    clock: TheClock,
    cut: Cut = None,
    form: Form = None,
    revision: RevisionNumber = None,
) -> Response:
    """One array of the result, of its newest revision or the one asked for. A PNG shows a plane: the middle one of
    the first axis where `slice` names none.
    """
    form = form or accepted_array(request)
    record, found = await revision_of(services, job_id, revision)
    etag = tag(job_id, found.result, name, cut or "", form)
    if known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    with clock("encode"):
        await materialised(services, record, found)

    def encode() -> tuple[bytes, NDArray[np.generic]]:
        if why := missing(services, name, record, found):
            raise ApiError(404, f"job {job_id} has no {name}: {why}")
        shaded = form == "png" and name in BY_NAME and BY_NAME[name].shown == "phase"
        support = read_array(services, job_id, found.result, "support") if shaded else None
        return encoded(name, read_array(services, job_id, found.result, name), cut, form, support)

    with clock("encode"):
        body, part = await services.compute(encode)
    return answered(body, part, form, {"ETag": etag, **told(found)})


def encoded(
    name: str,
    array: NDArray[np.generic],
    cut: str | None,
    form: ArrayFormat,
    support: NDArray[np.bool_] | None = None,
) -> tuple[bytes, NDArray[np.generic]]:
    """An array, or the part of it that is asked for, in a format; and the part. Raises ApiError 422.

    support: of the object, of the array's shape: outside it a picture of a phase is empty.
    """
    cut = cut or (str(array.shape[0] // 2) if form == "png" and array.ndim > 2 else "")
    part = cut_out(array, cut)
    if form == "png":
        if part.ndim != 2:
            raise ApiError(
                422, f"a PNG shows a plane, slice={cut!r} leaves {part.ndim} axes: name one index, as in 32,:,:"
            )
        if not part.size:
            raise ApiError(422, f"a PNG shows a plane, slice={cut!r} leaves none of its voxels: {part.shape}")
        return png.encode(name, part, None if support is None else cut_out(support, cut)), part
    if form == "octet-stream":
        return np.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes(), part
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(part), allow_pickle=False)
    return stream.getvalue(), part


def answered(body: bytes, part: NDArray[np.generic], form: ArrayFormat, headers: dict[str, str]) -> Response:
    """The answer with an encoded array; its headers say what the octets are."""
    said = {
        "Cache-Control": "private",
        "X-Inphase-Dtype": part.dtype.name,
        "X-Inphase-Shape": ",".join(str(side) for side in part.shape),
    }
    return Response(body, media_type=_MEDIA[form], headers=said | headers)


def read_array(services: Services, job_id: str, result: str, name: str) -> NDArray[Any]:
    """One array of a stored group; the others stay on disk."""
    array = read_arrays(services, job_id, result, name).get(name)
    if array is None:
        raise StoreCorruptError(f"the stored result of job {job_id} is damaged: it has no {name}")
    return array


def read_arrays(services: Services, job_id: str, result: str, *names: str) -> dict[str, NDArray[Any]]:
    """Those of these arrays that a stored group has; the others stay on disk."""
    path = services.store.path(job_id, result)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in names if name in archive}
    except FileNotFoundError:
        raise StoreError(f"the result of job {job_id} has expired") from None
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise StoreCorruptError(f"the stored result of job {job_id} is damaged: {error}") from error


def cut_out(array: NDArray[Any], text: str) -> NDArray[Any]:
    """The part of an array that `32,:,::2` names. Raises ApiError 422."""
    if not text:
        return array
    parts = text.replace(" ", "").split(",")
    if len(parts) > array.ndim:
        raise ApiError(422, f"slice={text!r} names {len(parts)} axes, the array has {array.ndim}: {array.shape}")
    index: list[int | slice] = []
    for axis, part in enumerate(parts):
        match = _PART.fullmatch(part)
        if match is None:
            raise ApiError(
                422, f"slice={text!r} is not understood at {part!r}: write an index, or begin:end:step, for each axis"
            )
        if match[1] is not None:
            number = int(match[1])
            if not -array.shape[axis] <= number < array.shape[axis]:
                raise ApiError(422, f"slice={text!r} is out of range: axis {axis} has {array.shape[axis]} voxels")
            index.append(number)
        else:
            begin, end, step = (None if found is None else int(found) for found in match.groups()[1:])
            if step == 0:
                raise ApiError(422, f"slice={text!r} has a step of zero")
            index.append(slice(begin, end, step))
    return np.asarray(array[tuple(index)])


def missing(services: Services, name: str, record: JobRecord, revision: Revision) -> str | None:
    """Why a result has no such array; None where it has."""
    if name in PTYCHO and name in BY_NAME:  # every image has an object
        return None
    if JobDocument.from_json(record.document).ptychography is not None:
        return None if name in PTYCHO else f"it is the image of a ptychographic scan, and has {', '.join(PTYCHO)}"
    if name not in BY_NAME:
        return "it is the image of a pattern, not of a ptychographic scan"
    present = BY_NAME[name].present
    if present == "always":
        return None
    if revision.kind == "network" and not revision.final:
        return f"revision {revision.number} is the network's image; the refined one may have it"
    stored = record.document
    if not revision.final:
        stored = str(read_array(services, record.job_id, revision.result, "document")).encode()
    report = JobDocument.from_json(stored).reported
    if present == "strain":
        return report.strain_reason
    if present == "image":
        is_image = len(report.preprocess.shape) == 2
        return None if is_image else "only images have it: of a volume, displacement is the phase without wraps"
    if report.ensemble is None:
        return "it had one start; ask for several with start=mixed or start=random"
    if report.ensemble.mode_weights is None:
        return f"of {len(report.ensemble.members)} starts {report.ensemble.accepted} led to the same solution"
    if report.grid is not None and any(level.kept for level in report.grid.levels):
        return "several starts were compared on the model's grid: an earlier revision has it"
    return None


def accepted_array(request: Request) -> ArrayFormat:
    """The format of an array that Accept asks for."""
    accept = request.headers.get("accept", "")
    if "image/png" in accept and "application/x-npy" not in accept:
        return "png"
    return "octet-stream" if "application/octet-stream" in accept else "npy"


def tag(*parts: str) -> str:
    """A result never changes, so its name is its version."""
    return f'"{hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]}"'


def known(request: Request, etag: str) -> bool:
    """Whether the client has this version already."""
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in asked or "*" in asked
