"""What is asked when a live scan is opened, for each kind: as JSON, or in the query beside a file."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, get_args

import numpy as np
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from inphase.formats import RawScan
from inphase.geometry import Geometry
from service.api.bodies.media import JSON
from service.api.bodies.stream import parse_body
from service.errors import ApiError
from service.intake.options import MapOptions, ReadingOptions
from service.scans.order import (
    KindName,
    PtychoOrder,
    PtychoScanOptions,
    RockingFields,
    RockingOptions,
    RockingOrder,
    ScanOrder,
)

Row = tuple[float, float, float]


class Declared(MapOptions):
    """What the frames of a scan are."""

    shape: Annotated[
        tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]],
        Field(description="A frame has so many rows and columns."),
    ]
    dtype: Annotated[
        str,
        Field(
            max_length=40,
            description="The numbers of a frame have this type, little endian: uint16, uint32, float32, ...",
        ),
    ]


class RockingCall(RockingOptions, Declared):
    """The JSON body of a rocking curve: what its frames are, what is known of the detector, and how to reconstruct."""

    q_steps: Annotated[
        tuple[Row, Row, Row] | None,
        Field(description="The change of Q from voxel to voxel along frames, rows and columns, in 1/m."),
    ] = None
    q_centre: Annotated[
        Row | None,
        Field(description="Q at the voxel (frames // 2, rows // 2, columns // 2), in 1/m; at place 0 of an open end."),
    ] = None
    sample_rotation: tuple[Row, Row, Row] | None = None
    saturation: Annotated[
        float | None, Field(gt=0, description="At and above so many counts the detector does not count any more.")
    ] = None


class PtychoCall(PtychoScanOptions, Declared):
    """The JSON body of a ptychographic scan; its probe follows by a call of its own."""


class ScanQuery(RockingFields, ReadingOptions):
    """The query: options, and how a file is read. Those of the other kind are refused."""

    kind: Annotated[
        KindName, Field(description="The frames are those of a rocking curve, or of a ptychographic scan.")
    ] = "rocking"
    modes: Annotated[int | None, Field(description="As in the JSON body of a ptychographic scan.")] = None
    probe_start: int | None = None
    positions_start: int | None = None
    search_px: float | None = None
    hold_out: float | None = None
    turn: bool | None = None
    energy_kev: float | None = None
    distance_m: float | None = None
    detector_pixel_m: float | None = None
    focus_m: float | None = None
    unit: str | None = None


_CALLS: Final[Mapping[KindName, type[RockingCall | PtychoCall]]] = {"rocking": RockingCall, "ptycho": PtychoCall}
OPTIONS: Final[Mapping[KindName, type[RockingOptions | PtychoScanOptions]]] = {
    "rocking": RockingOptions, "ptycho": PtychoScanOptions,
}  # fmt: skip


def parsed(body: bytes, call: ScanQuery) -> RockingCall | PtychoCall:
    """The JSON body with the query's options over it. Raises RequestValidationError, ApiError 422."""
    over = call.model_dump(mode="json", exclude_unset=True)
    if strange := [
        name for name in over if name in ReadingOptions.model_fields and name not in MapOptions.model_fields
    ]:
        raise ApiError(422, f"{', '.join(strange)}: say how a file is read, and a body of {JSON} is none")
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return parse_body(RockingCall, body)  # which says what is wrong with it
    both = {"kind": "rocking", **given, **over}
    kind = both["kind"]
    if kind not in get_args(KindName):
        raise ApiError(422, f"kind is {kind!r}: a live scan is of the kind {' or '.join(get_args(KindName))}")
    model = _CALLS[kind]
    _known(over, model, kind)
    return parse_body(model, json.dumps(both).encode())


def options_of(kind: KindName, given: Mapping[str, Any]) -> RockingOptions | PtychoScanOptions:
    """What is asked of the scan. Raises ApiError 422 for the options of another kind, RequestValidationError."""
    model = OPTIONS[kind]
    _known(given, model, kind)
    try:
        return model.model_validate({**given, "kind": kind})
    except ValidationError as error:
        raise RequestValidationError([{**wrong, "loc": ("query", *wrong["loc"])} for wrong in error.errors()]) from None


def _known(given: Mapping[str, Any], model: type[BaseModel], kind: str) -> None:
    if strange := [name for name in given if name not in model.model_fields]:
        raise ApiError(422, f"{', '.join(strange)}: no option of a live scan of the kind {kind}")


def order_with(options: RockingOptions | PtychoScanOptions, template: RawScan) -> ScanOrder:
    """What was asked, with what a frame is."""
    rows, columns = template.array.shape[-2:]
    told = {"shape": (rows, columns), "dtype": str(template.array.dtype)}
    if isinstance(options, RockingOptions):
        return RockingOrder(**options.model_dump(), **told)
    return PtychoOrder(**options.model_dump(), **told)


def geometry_of(asked: RockingCall) -> Geometry | None:
    """As it was declared. Raises ApiError, DataError."""
    if asked.q_steps is None:
        if asked.q_centre is not None or asked.sample_rotation is not None:
            raise ApiError(422, "q_centre and sample_rotation belong to q_steps, which are not given")
        return None
    more = (None if given is None else np.array(given) for given in (asked.q_centre, asked.sample_rotation))
    return Geometry(np.array(asked.q_steps), *more)
