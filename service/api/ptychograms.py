"""POST /v1/ptychograms: a finished ptychographic scan in, its image out, in the same call where `wait` allows."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from inphase.imaging.clock import Clock
from inphase.ptycho.prediction import of_scans
from service.api.access import IdempotencyKey, Staying, TheClock, TheOrigin, TheServices, line, records
from service.api.bodies.files import receive_ptychogram
from service.api.bodies.media import CXI, HDF5, JSON, NEXUS, NPZ, Uncoded, media_type
from service.api.bodies.stream import parse_body, read_json
from service.api.download import MEDIA
from service.api.received import Received, reply
from service.api.routing import Router
from service.api.schema import JOB, request_body
from service.door.budget import Share
from service.errors import ApiError
from service.identity.keys import Submits, TheCaller
from service.intake.options import AnswerOptions, FileBeamOptions, JobOptions, PtychoOptions
from service.intake.sources import DataPath
from service.intake.submission import PtychogramFile, Submission, Upload
from service.lifecycle import Services

router = Router(prefix="/v1/ptychograms", tags=["reconstructions"])

FILES: Final = (NPZ, HDF5, NEXUS, CXI)


class PtychogramOptions(PtychoOptions, FileBeamOptions, AnswerOptions):
    """How to reconstruct, what the file lacks, and how to be answered."""

    model: Annotated[
        str | None,
        Field(
            max_length=100,
            description="The image is begun from that of this network of the family scan, given as name or "
            "name@version; with refine=none it is left as it is.",
        ),
    ] = None


class Call(PtychogramOptions):
    """The query: the options, and what to answer."""

    format: Annotated[
        Literal["json", "npz", "cxi"] | None,
        Field(description="The answer is the job document (json), or the result itself in this format."),
    ] = None


class NamedFile(BaseModel):
    """A file that the service itself can read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["file"] = "file"
    path: DataPath


class FileCall(PtychogramOptions):
    """The JSON body."""

    source: NamedFile


BODY: Final = request_body(FileCall, {"source": {"kind": "file", "path": "scan_0054.cxi"}, "refine": "60*EPIE"}, *FILES)


@router.post(
    "",
    operation_id="create_ptychogram",
    summary="Reconstruct a ptychographic scan",
    response_model=JOB,
    responses={
        200: {
            "content": {MEDIA[form]: {} for form in ("npz", "cxi")},
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
    """Find object and probe. Send a file's path as JSON, or the file itself (npz, HDF5, NeXus, CXI) with patterns,
    positions and what is known of beam and detector.

    Data that cannot be used are answered with 422 while the call waits; with `wait=0` the job fails with the reason.
    """
    return await reply(
        request,
        lambda share: receive(request, call, services, clock, caller.roots, share),
        call.format, idempotency_key, caller, origin, services, clock,
    )  # fmt: skip


async def receive(
    request: Request, call: Call, services: Services, clock: Clock, roots: tuple[Path, ...] | None, share: Share
) -> Received:
    """The body, and what is asked. Whatever can be refused before the data come is refused before."""
    kind = media_type(request)
    if kind == JSON:
        with clock("receive"):
            body = await read_json(request, services.settings.bounds, share)
        asked = parse_body(FileCall, body)
        asked = asked.model_copy(update=call.model_dump(exclude_unset=True, exclude={"format"}))
        await _check(asked, services)
        beam = {name: getattr(asked, name) for name in FileBeamOptions.model_fields}
        source = PtychogramFile(path=asked.source.path, **beam)
        submission = _submission(asked, source=source, receive_ms=clock.ms["receive"], roots=roots)
        return Received(submission, share, line(request), body=body)
    if kind not in FILES:
        raise ApiError(
            415,
            f"a body of type {kind or 'none'!r} is not taken here: send {JSON} with the path of a file below a data "
            f"root, or the file as it is as {', '.join(FILES)}; a single pattern goes to /v1/reconstructions",
        )
    await _check(call, services)
    with clock("receive"):
        below = services.settings.data_roots if roots is None else roots
        measured = await receive_ptychogram(request, call.given(), below, services, share, call.name)
    return Received(_submission(call, source=Upload(), receive_ms=clock.ms["receive"]), share, line(request), measured)


async def _check(asked: PtychogramOptions, services: Services) -> None:
    """Refuse what can be refused before anything is read; the network is loaded. Raises RecipeError, DataError,
    ModelError, ApiError, QueueUnavailableError: what no worker reads has no image.
    """
    records(services)
    if asked.webhook is not None:
        services.webhooks.check(asked.webhook)
    options = asked.ptycho()
    if asked.model is None:
        options.require_steps()
        return
    await services.compute(lambda: of_scans(services.sessions.get(asked.model).version.card))


def _submission(asked: PtychogramOptions, **parts: Any) -> Submission:
    answer = {name: getattr(asked, name) for name in AnswerOptions.model_fields}
    how = {name: getattr(asked, name) for name in PtychoOptions.model_fields}
    return Submission(options=JobOptions(model=asked.model, **answer), ptychography=PtychoOptions(**how), **parts)
