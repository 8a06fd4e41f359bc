"""POST /v1/previews: what a measurement looks like to the service, before anything is made of it."""

import base64
from contextlib import AsyncExitStack
from typing import Annotated, Final

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from inphase.formats import RawScan
from inphase.pattern import MaskState
from service.api.access import TheClock, TheServices
from service.api.bodies import Uncoded
from service.api.reconstructions import BODY, Call, data_of, receive
from service.security import Submits

router = APIRouter(prefix="/v1/previews", tags=["reconstructions"])

_SIDE: Final = 256  # voxels of a plane: the largest of a block stands for it


class Plane(BaseModel):
    """The largest value along one axis."""

    axis: int
    shape: tuple[int, int]
    data: str = Field(description="These are the values, float32, little endian, in base64.")


class Preview(BaseModel):
    """A measurement as the service understands it."""

    shape: tuple[int, ...]
    dtype: str
    source: str
    chosen: str = Field(description="This says what was taken out of a container, and what was passed over.")
    total: float
    largest: float
    masked: float = Field(description="This share of the voxels has no value.")
    geometry: bool = Field(description="Whether the data say where their voxels lie; strain maps need it.")
    planes: tuple[Plane, ...]


@router.post("", summary="Look at a measurement", openapi_extra=BODY, dependencies=[Submits, Uncoded])
async def preview(request: Request, services: TheServices, clock: TheClock, call: Annotated[Call, Query()]) -> Preview:
    """The same body as a reconstruction's, read in the same way; nothing is kept of it."""
    async with AsyncExitStack() as held:
        received = await receive(request, call, services, clock, held)
        with clock("decode"):
            return await services.compute(lambda: _seen(data_of(received, services)))


def _seen(scan: RawScan) -> Preview:
    array = scan.array
    known = np.isfinite(array)
    if scan.mask is not None:
        known &= scan.mask == MaskState.VALID
    values = np.where(known, array, 0)
    return Preview(
        shape=array.shape,
        dtype=array.dtype.name,
        source=scan.source,
        chosen=scan.chosen,
        total=float(values.sum(dtype=np.float64)),
        largest=float(values.max()),
        masked=1 - float(known.mean()),
        geometry=scan.geometry is not None,
        planes=tuple(_plane(values, axis) for axis in range(values.ndim))
        if values.ndim == 3
        else (_plane(values, None),),
    )


def _plane(values: NDArray[np.generic], axis: int | None) -> Plane:
    """The largest values along an axis, None for a plane as it is, at most `_SIDE` a side."""
    plane = (values if axis is None else values.max(axis=axis)).astype(np.float32)
    blocks = [-(-side // _SIDE) for side in plane.shape]
    padded = np.pad(plane, [(0, -side % block) for side, block in zip(plane.shape, blocks, strict=True)])
    rows, columns = (side // block for side, block in zip(padded.shape, blocks, strict=True))
    small = padded.reshape(rows, blocks[0], columns, blocks[1]).max(axis=(1, 3))
    data = base64.b64encode(small.astype("<f4").tobytes()).decode()
    return Plane(axis=axis or 0, shape=(rows, columns), data=data)
