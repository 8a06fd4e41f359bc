"""GET /v1/jobs/{id}/comparison/{other}: how alike two results are, and both of them aligned."""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from fastapi import Path, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from inphase.formats.npz import read_arrays
from inphase.formats.reconstruction import Reconstruction, of_result
from inphase.results.comparison import Comparison, compare
from service.api import results
from service.api.access import JobId, TheClock, TheServices, own_job
from service.api.results import Cut, Form, accepted_array, answered, encoded, known, tag
from service.api.revisions import materialised, pattern_of
from service.api.routing import Router
from service.errors import ApiError
from service.identity.keys import TheCaller
from service.jobs.entry import JobRecord, Revision
from service.jobs.errors import StoreError
from service.jobs.housekeeping import make_room
from service.lifecycle import Services

router = Router(prefix="/v1/jobs", tags=["results"])

Other = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The job with this id is compared with the first.")]
_FIGURES = "figures"


class Compared(StrEnum):
    """What of two aligned results can be looked at: that of A, that of B, and B minus A."""

    AMPLITUDE_A = "amplitude_a"
    AMPLITUDE_B = "amplitude_b"
    AMPLITUDE_DIFFERENCE = "amplitude_difference"
    PHASE_A = "phase_a"
    PHASE_B = "phase_b"
    PHASE_DIFFERENCE = "phase_difference"
    STRAIN_A = "strain_a"
    STRAIN_B = "strain_b"
    STRAIN_DIFFERENCE = "strain_difference"


class Side(BaseModel):
    """One of the two results."""

    job: str
    revision: int
    source: str


class Spread(BaseModel):
    """B minus A over the voxels where both are bright."""

    rms: float
    mean: float


class Agreement(BaseModel):
    """Where the Fourier shell correlation of the two falls below its criterion; a full period."""

    criterion: str
    crossed: bool
    metres: float | None
    voxels: float | None


class ComparisonDocument(BaseModel):
    """The figures of `inphase compare`, and where the aligned arrays are."""

    a: Side
    b: Side
    correlation: float = Field(description="|sum conj(a) b| / (|a| |b|), 0 to 1, modulo all that a pattern cannot tell")
    correlation_of_the_twin: float
    twin: bool
    twin_undecided: bool
    shift_voxels: list[float]
    phase_offset: float
    ramp: list[float]
    ssim: float
    overlap: float
    phase_difference: Spread
    strain_difference: Spread | None
    strain_reason: str | None
    lattice_difference: float | None
    resolution: Agreement
    notes: list[str]
    shape: list[int]
    voxel_size_m: list[float] | None
    links: dict[str, str]


@dataclass(frozen=True)
class _Pair:
    """The newest results of two jobs, and the name under which their comparison lies in the store of the first."""

    a: tuple[JobRecord, Revision]
    b: tuple[JobRecord, Revision]

    @property
    def group(self) -> str:
        """A revision never changes, so that its comparison does not either."""
        results = "|".join(revision.result for _, revision in (self.a, self.b))
        return f"comparison-{self.b[0].job_id}-{hashlib.sha256(results.encode()).hexdigest()[:12]}"


@router.get("/{job_id}/comparison/{other}", operation_id="compare_jobs", summary="Two results compared")
async def figures(
    job_id: JobId, other: Other, services: TheServices, caller: TheCaller, clock: TheClock
) -> ComparisonDocument:
    """How alike the newest results of two jobs are, whatever their twin, place, global phase, ramp and voxels are.

    The second is brought onto the first. A volume cannot be compared with an image: 422.
    """
    pair = await _compared(job_id, other, services, caller, clock)
    told = json.loads(str(results.read_array(services, job_id, pair.group, _FIGURES)))
    sides = {
        name: Side(job=record.job_id, revision=revision.number, source=told[name])
        for name, (record, revision) in (("a", pair.a), ("b", pair.b))
    }
    there = {name: f"/v1/jobs/{job_id}/comparison/{other}/{name}" for name in told["arrays"]}
    return ComparisonDocument(**told | sides | {"links": there})


@router.get(
    "/{job_id}/comparison/{other}/{name}",
    operation_id="get_comparison_array",
    summary="One array of two aligned results",
    response_class=Response,
    responses={304: {"description": "It has not changed since the ETag in If-None-Match."}},
)
async def one(
    job_id: JobId,
    other: Other,
    name: Compared,
    request: Request,
    services: TheServices,
    caller: TheCaller,
    clock: TheClock,
    cut: Cut = None,
    form: Form = None,
) -> Response:
    """float32 on the common grid, in a box around both objects: amplitudes on the scale of A, phases in radians without
    their ramps, strain; NaN where it is not known.
    """
    form = form or accepted_array(request)
    pair = await _compared(job_id, other, services, caller, clock)
    etag = tag(job_id, pair.group, name, cut or "", form)
    if known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})

    def encode() -> tuple[bytes, NDArray[np.generic]]:
        arrays = results.read_arrays(services, job_id, pair.group, name, _FIGURES)
        if name not in arrays:
            raise ApiError(404, f"there is no {name}: {json.loads(str(arrays[_FIGURES]))['strain_reason']}")
        array = arrays[name]
        if name in (Compared.PHASE_A, Compared.PHASE_B) and form == "png":
            return encoded("phase", np.nan_to_num(array), cut, form, np.isfinite(array))
        signed = name.endswith("_difference") or name.startswith("strain")
        return encoded("strain" if signed else "amplitude", array, cut, form)

    with clock("encode"):
        body, part = await services.compute(encode)
    return answered(body, part, form, {"ETag": etag})


async def _compared(job_id: str, other: str, services: Services, caller: TheCaller, clock: TheClock) -> _Pair:
    """Both results, their comparison in the store of the first: it is looked at array by array, and computed once."""
    await own_job(other, services, caller)
    a, b = await pattern_of(services, job_id, None), await pattern_of(services, other, None)
    pair = _Pair(a, b)
    if not services.store.has(job_id, pair.group):
        with clock("encode"):
            for record, revision in (a, b):
                await materialised(services, record, revision)
            await services.compute(lambda: _keep(pair, services))
    return pair


def _keep(pair: _Pair, services: Services) -> None:
    stored = _arrays(compare(*(_result(services, *side) for side in (pair.a, pair.b))))
    make_room(services.records, services.series, services.store, sum(array.nbytes for array in stored.values()))
    job_id = pair.a[0].job_id
    if not services.store.has(job_id, pair.a[1].result):
        raise StoreError(f"the result of job {job_id} has expired")  # it was the oldest that had ended
    services.store.write(job_id, pair.group, stored, durable=False)


def _result(services: Services, record: JobRecord, revision: Revision) -> Reconstruction:
    path = services.store.path(record.job_id, revision.result)
    if not path.is_file():
        raise StoreError(f"the result of job {record.job_id} has expired")
    arrays = read_arrays(path)
    source = json.loads(str(arrays["document"]))["input"]["source"]
    return of_result(arrays, source, "inphase result")


def _arrays(found: Comparison) -> dict[str, NDArray[Any]]:
    arrays = found.arrays()
    size = None if found.geometry is None else [float(side) for side in found.geometry.voxel_size_m(found.a.shape)]
    told = {"shape": list(found.a.shape), "voxel_size_m": size, "arrays": list(arrays)}
    return {**arrays, _FIGURES: np.array(json.dumps(found.to_builtins() | told))}
