"""POST /v1/previews: what a measurement looks like to the service, before anything is made of it."""

import base64
from typing import Annotated, Final

import numpy as np
from fastapi import Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from inphase.formats import RawScan
from inphase.formats.scan import native
from inphase.pattern import Domain
from inphase.preprocess.validate import pattern_from_array
from service.api.access import Staying, TheClock, TheServices
from service.api.bodies.media import Uncoded
from service.api.received import data_of
from service.api.reconstructions import BODY, Call, receive
from service.api.routing import Router
from service.identity.keys import Submits, TheCaller

router = Router(prefix="/v1/previews", tags=["reconstructions"])

_SIDE: Final = 256  # voxels of a plane: the largest of a block stands for it


class Plane(BaseModel):
    """The largest value along one axis."""

    axis: int
    shape: tuple[int, int]
    block: tuple[int, int] = Field(description="One value stands for so many voxels, down and across.")
    data: str = Field(description="These are the values, float32, little endian, in base64.")


class Preview(BaseModel):
    """A measurement as the service understands it."""

    shape: tuple[int, ...]
    start: tuple[int, ...] = Field(
        description="This voxel of whole frames is the first one, where a region of them was read; boxes of `masked` "
        "count from theirs."
    )
    dtype: str
    source: str
    chosen: str = Field(description="This says what was taken out of a container, and what was passed over.")
    total: float
    largest: float
    masked: float = Field(description="This share of the voxels has no value.")
    geometry: bool = Field(description="Whether the data say where their voxels lie; strain maps need it.")
    planes: tuple[Plane, ...]


@router.post(
    "",
    operation_id="create_preview",
    summary="Look at a measurement",
    openapi_extra=BODY,
    dependencies=[Submits, Staying, Uncoded],
)
async def preview(
    request: Request, services: TheServices, clock: TheClock, caller: TheCaller, call: Annotated[Call, Query()]
) -> Preview:
    """The same body as a reconstruction's, read in the same way; nothing is kept of it."""
    with services.budget.share(caller.owner) as share:
        received = await receive(request, call, services, clock, caller.roots, share)
        with clock("decode"):
            return await services.compute(
                lambda: _seen(data_of(received, services), received.submission.options.domain), caller.owner
            )


def _seen(scan: RawScan, domain: Domain) -> Preview:
    """As the way of one pattern checks it: what marks a gap or a full counter is no count."""
    pattern = pattern_from_array(native(scan.array), domain, scan.geometry, scan.metadata, scan.mask)
    values = pattern.intensity
    planes = tuple(_plane(values, axis) for axis in range(values.ndim)) if values.ndim == 3 else (_plane(values, None),)
    return Preview(
        shape=scan.array.shape,
        start=scan.start,
        dtype=scan.array.dtype.name,
        source=scan.source,
        chosen=scan.chosen,
        total=float(values.sum(dtype=np.float64)),
        largest=float(values.max()),
        masked=1 - float(pattern.valid.mean()),
        geometry=scan.geometry is not None,
        planes=planes,
    )


def _plane(values: NDArray[np.float32], axis: int | None) -> Plane:
    """The largest values along an axis, None for a plane as it is, at most `_SIDE` a side."""
    plane = values if axis is None else values.max(axis=axis)
    blocks = [-(-side // _SIDE) for side in plane.shape]
    padded = np.pad(plane, [(0, -side % block) for side, block in zip(plane.shape, blocks, strict=True)])
    rows, columns = (side // block for side, block in zip(padded.shape, blocks, strict=True))
    small = padded.reshape(rows, blocks[0], columns, blocks[1]).max(axis=(1, 3))
    data = base64.b64encode(small.astype("<f4").tobytes()).decode()
    return Plane(axis=axis or 0, shape=(rows, columns), block=(blocks[0], blocks[1]), data=data)
