"""POST /v1/reconstructions: one pattern in, its image out, in the same call where `wait` allows."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from fastapi import Query, Request, Response
from pydantic import Field

from inphase.formats import Reading
from inphase.formats.masks import with_boxes
from inphase.imaging.clock import Clock
from service.api.access import IdempotencyKey, Staying, TheClock, TheOrigin, TheServices, check_options, line
from service.api.bodies.arrays import octet_layout, receive_array
from service.api.bodies.files import receive_file
from service.api.bodies.media import FILES, JSON, NPY, OCTETS, Uncoded, media_type
from service.api.bodies.stream import parse_body, read_json
from service.api.download import MEDIA
from service.api.received import Form, Received, reply
from service.api.routing import Router
from service.api.schema import JOB, request_body
from service.door.budget import Share
from service.errors import ApiError
from service.identity.keys import Submits, TheCaller
from service.intake.options import JobOptions, ReadingOptions
from service.intake.sources import FileSource
from service.intake.submission import Submission, Upload
from service.lifecycle import Services

router = Router(prefix="/v1/reconstructions", tags=["reconstructions"])


class Call(JobOptions, ReadingOptions):
    """The query: options, how a file is read, how octets are an array, and what to answer."""

    dtype: Annotated[
        str | None,
        Field(
            max_length=40,
            description="The numbers of an octet body have this type, little endian: uint16, float32, ...",
        ),
    ] = None
    shape: Annotated[
        str | None, Field(max_length=100, description="An octet body has this shape in C order, such as 201,256,256.")
    ] = None
    format: Annotated[
        Form,
        Field(description="The answer is the job document (json), or the result itself in this format."),
    ] = None


class FileCall(JobOptions):
    """The JSON body."""

    source: FileSource


BODY: Final = request_body(
    FileCall, {"source": {"kind": "file", "path": "scan_0054/"}, "refine": "fast"}, NPY, OCTETS, *FILES
)


@router.post(
    "",
    operation_id="create_reconstruction",
    summary="Reconstruct a pattern",
    response_model=JOB,
    responses={
        200: {
            "content": {media: {} for media in MEDIA.values()},
            "description": "The job is done. The body is its document, or with format= (or Accept) the result itself.",
        },
        202: {"model": JOB, "description": "The job is accepted, but was not finished within `wait`; ask at Location."},
    },
    openapi_extra=BODY,
    dependencies=[Submits, Staying, Uncoded],
)
async def reconstruct(
    request: Request,
    services: TheServices,
    clock: TheClock,
    caller: TheCaller,
    origin: TheOrigin,
    call: Annotated[Call, Query()],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Clean, predict, refine. Send a file's path as JSON, the file itself (HDF5, CXI, MATLAB, TIFF, npz), or the array
    as npy or octets.

    Data that cannot be used are answered with 422 while the call waits; with `wait=0` the job fails with the reason.
    """
    return await reply(
        request,
        lambda share: receive(request, call, services, clock, caller.roots, share),
        call.format, idempotency_key, caller, origin, services, clock,
    )  # fmt: skip


_TAKEN: Final = (
    f"send {JSON} with the path of a file (HDF5, npy, npz, TIFF, MATLAB) below a data root, the file as it is as "
    f"{', '.join(FILES)} or {NPY}, or {OCTETS} with ?dtype= and ?shape="
)


async def receive(
    request: Request, call: Call, services: Services, clock: Clock, roots: tuple[Path, ...] | None, share: Share
) -> Received:
    """The body, and what is asked. Whatever can be refused before the data come is refused before."""
    settings = services.settings
    kind = media_type(request)
    if kind == JSON:
        with clock("receive"):
            body = await read_json(request, settings.bounds, share)
        asked = _parsed(body, call)
        await check_options(asked, services)
        submission = Submission(
            options=_options(asked), source=asked.source, receive_ms=clock.ms["receive"], roots=roots
        )
        return Received(submission, share, line(request), body=body)
    if kind not in (NPY, OCTETS, *FILES):
        raise ApiError(415, f"a body of type {kind or 'none'!r} is not taken here: {_TAKEN}")
    await check_options(call, services)
    told = call.told()
    of_files = [name for name in told if name != "masked"]
    if of_files and kind not in FILES:
        raise ApiError(422, f"{', '.join(of_files)}: say how a file is read, and a body of {kind} is an array alone")
    layout = octet_layout(call.dtype, call.shape, settings.bounds) if kind == OCTETS else None
    with clock("receive"):
        if kind in FILES:
            below = settings.data_roots if roots is None else roots
            scan = await receive_file(request, Reading(**told), call.domain, below, services, share, call.name)
        else:
            scan = await receive_array(request, layout, settings.bounds, share)
            if (boxes := call.masked) is not None:
                array = scan
                scan = await services.compute(lambda: with_boxes(array, boxes))
    submission = Submission(options=_options(call), source=Upload(), receive_ms=clock.ms["receive"])
    return Received(submission, share, line(request), scan)


def _options(asked: JobOptions) -> JobOptions:
    return JobOptions(**{name: getattr(asked, name) for name in JobOptions.model_fields})


def _parsed(body: bytes, call: Call) -> FileCall:
    """The JSON body with the query's options over it. Raises RequestValidationError."""
    asked = parse_body(FileCall, body)
    over = call.model_dump(exclude_unset=True, exclude={"dtype", "shape", "format", *ReadingOptions.model_fields})
    return asked.model_copy(update={**over, "source": replace(asked.source, **call.told())})
