"""GET /v1/jobs/{id}/calculated and /surface: what follows from a result and is looked at, but is not stored with it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

import numpy as np
from fastapi import Query, Request, Response
from numpy.typing import NDArray

from inphase.metrics import fitted_modulus
from inphase.strain import ISOSURFACE
from inphase.surface import isosurface, phase_at, value_at
from service.api.access import JobId, TheClock, TheServices
from service.api.results import (
    Cut,
    Form,
    accepted_array,
    answered,
    encoded,
    known,
    missing,
    read_arrays,
    tag,
)
from service.api.revisions import RevisionNumber, materialised, pattern_of, told
from service.api.routing import Router
from service.document import JobDocument
from service.errors import ApiError
from service.pictures import colours, glb

router = Router(prefix="/v1/jobs", tags=["results"])


class Painted(StrEnum):
    """What colours a surface."""

    PHASE = "phase"
    STRAIN = "strain"
    DISPLACEMENT = "displacement"


@dataclass(frozen=True)
class _Paint:
    """Numbers as colours: from low to high, in this unit."""

    light: NDArray[np.float64]
    low: float
    high: float
    unit: str


_RANGE: Final = 99.0  # percentile of the sizes on the surface that has the full colour
_NM: Final = 1e9


@router.get(
    "/{job_id}/calculated", operation_id="get_calculated", summary="The calculated pattern", response_class=Response
)
async def calculated(
    job_id: JobId,
    request: Request,
    services: TheServices,
    clock: TheClock,
    cut: Cut = None,
    form: Form = None,
    revision: RevisionNumber = None,
) -> Response:
    """The modulus of the far field of the object, scaled to the measured one, float32 on the same grid.

    Beside the array `modulus` of the result it shows what the image explains, and what it does not.
    """
    form = form or accepted_array(request)
    record, found = await pattern_of(services, job_id, revision)
    etag = tag(job_id, found.result, "calculated", cut or "", form)
    if known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    with clock("encode"):
        await materialised(services, record, found)

    def encode() -> tuple[bytes, NDArray[np.generic]]:
        arrays = read_arrays(services, job_id, found.result, "object", "modulus", "mask", "coherence_kernel")
        pattern = fitted_modulus(arrays["object"], arrays["modulus"], arrays["mask"], arrays.get("coherence_kernel"))
        return encoded("modulus", pattern, cut, form)

    with clock("encode"):
        body, part = await services.compute(encode)
    return answered(body, part, form, {"ETag": etag, **told(found)})


@router.get(
    "/{job_id}/surface",
    operation_id="get_surface",
    summary="The surface of the object",
    response_class=Response,
    responses={
        200: {"content": {glb.MEDIA_TYPE: {}}, "description": "The body is a coloured mesh (glTF 2.0, binary)."}
    },
)
async def surface(
    job_id: JobId,
    request: Request,
    services: TheServices,
    clock: TheClock,
    painted: Annotated[
        Painted, Query(alias="of", description="The surface is coloured by this array of the result.")
    ] = Painted.PHASE,
    level: Annotated[
        float,
        Query(gt=0, lt=1, description="The surface lies where the amplitude has this share of its maximum."),
    ] = ISOSURFACE,
    revision: RevisionNumber = None,
) -> Response:
    """The isosurface of the amplitude as binary glTF, with a colour for every vertex.

    Its units are nanometres of the laboratory frame, or voxels where no geometry is known; `extras` of the mesh has the
    quantity, the unit and the range of the colours.
    """
    record, found = await pattern_of(services, job_id, revision)
    etag = tag(job_id, found.result, "surface", painted, repr(level))
    if known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    with clock("encode"):
        await materialised(services, record, found)

    def encode() -> bytes:
        if why := missing(services, painted, record, found):
            raise ApiError(404, f"job {job_id} has no {painted}: {why}")
        arrays = read_arrays(services, job_id, found.result, "object", painted, "document")
        # of this revision: each grid has voxels of its own
        geometry = JobDocument.from_json(str(arrays["document"]).encode()).reported.preprocess.geometry
        basis = None if geometry is None else np.array(geometry.voxel_basis_m) * _NM
        mesh = isosurface(np.abs(arrays["object"]), level, basis)
        if painted is Painted.PHASE:
            paint = _cyclic(phase_at(arrays["object"], mesh))
        else:
            scale, unit = (1.0, "1") if painted is Painted.STRAIN else (_NM, "nm")
            paint = _diverging(scale * value_at(arrays[painted], mesh), unit)
        said: dict[str, Any] = {
            "of": painted, "unit": paint.unit, "low": paint.low, "high": paint.high, "level": level,
            "length_unit": "voxel" if basis is None else "nm",
        }  # fmt: skip
        return glb.encode(mesh, paint.light, said)

    with clock("encode"):
        body = await services.compute(encode)
    headers = {"ETag": etag, "Cache-Control": "private", **told(found)}
    return Response(body, media_type=glb.MEDIA_TYPE, headers=headers)


def _cyclic(phase: NDArray[np.float32]) -> _Paint:
    shown = colours.coloured(colours.CYCLIC, (phase + np.pi) / (2 * np.pi))
    return _Paint(colours.decoded(shown), -np.pi, np.pi, "rad")


def _diverging(values: NDArray[np.float32], unit: str) -> _Paint:
    top = float(np.percentile(np.abs(values), _RANGE)) or 1.0
    shown = colours.coloured(colours.DIVERGING, 0.5 + values / (2 * top))
    return _Paint(colours.decoded(shown), -top, top, unit)
