"""/v2: the Open Inference Protocol. Raw tensors through a network, without preprocessing, refinement or a job; behind
the name of a model with `.counts`, one measurement as POST /v1/reconstructions takes it with refine=none.
"""

import asyncio
from typing import Any, Final

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from inphase.formats import RawScan
from inphase.formats.scan import admit
from inphase.imaging.clock import Clock
from inphase.imaging.options import NO_REFINEMENT, Options
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.way import begin, judge
from inphase.models.prediction import Tensors
from service.api import status
from service.api.access import Staying, TheClock, TheServices, in_thread, line
from service.api.bodies.arrays import array_limits
from service.api.bodies.media import JSON, OCTETS
from service.api.bodies.stream import parse_body, read_json
from service.api.oip.body import receive
from service.api.oip.contract import Contract, contract, contracts
from service.api.oip.documents import (
    InferenceStatistics,
    ModelMetadata,
    RepositoryEntry,
    ServerMetadata,
    configuration,
    statistics,
)
from service.api.oip.wire import HEADER_LENGTH, Asked, encoded
from service.api.routing import Router
from service.door.budget import Share, working_bytes
from service.errors import ApiError
from service.identity.keys import Caller, Submits, TheCaller
from service.inference.networks import QueuedNetwork, WhenLeft
from service.lifecycle import Services

health = Router(prefix="/v2/health", tags=["open inference protocol"])
router = Router(prefix="/v2", tags=["open inference protocol"])
_MODEL: Final = "/models/{model}"
_VERSION: Final = "/models/{model}/versions/{version}"


class Index(BaseModel):
    """The body of /v2/repository/index. ready: tell only of models that are loaded."""

    ready: bool = False


class Loading(BaseModel):
    """The body of /v2/repository/models/{model}/load: there is nothing to be said."""

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, str] = {}


@health.get("/live", operation_id="get_server_live", summary="Alive?")
async def live() -> status.Health:
    """As /healthz."""
    return await status.healthz()


@health.get("/ready", operation_id="get_server_ready", summary="Ready?", responses={503: {"model": status.Ready}})
async def ready(services: TheServices, response: Response) -> status.Ready:
    """As /readyz."""
    return await status.readyz(services, response)


@router.get("", operation_id="get_server_metadata", summary="The server")
async def server() -> ServerMetadata:
    """Its name, version and extensions."""
    return ServerMetadata()


@router.get("/models/stats", operation_id="get_all_model_statistics", summary="Statistics of all models")
async def all_statistics(services: TheServices) -> InferenceStatistics:
    """Of all models that have been asked for anything, or are loaded."""
    found = [one for one in contracts(services.sessions.repository) if services.sessions.loaded(one.version)]
    return InferenceStatistics(model_stats=[_statistics(services, one) for one in found])


@router.get(_VERSION, include_in_schema=False)
@router.get(_MODEL, operation_id="get_model_metadata", summary="A model")
async def metadata(model: str, services: TheServices, version: str | None = None) -> ModelMetadata:
    """What it takes and answers; /v2/models/{model}/versions/{version} tells the same of an earlier version."""
    repository = services.sessions.repository
    found = contract(repository, model, version)
    versions = [one.version for one in contracts(repository) if one.name == found.name]
    return ModelMetadata.of(found, [str(one.card.version) for one in versions])


@router.get(f"{_VERSION}/ready", include_in_schema=False)
@router.get(f"{_MODEL}/ready", operation_id="get_model_ready", summary="A model is ready?")
async def model_ready(model: str, services: TheServices, version: str | None = None) -> RepositoryEntry:
    """200 when it is loaded; else 503, which says that the first request loads it."""
    found = RepositoryEntry.of(contract(services.sessions.repository, model, version), services.sessions)
    if found.reason:
        raise ApiError(503, f"model {found.name}@{found.version} is {found.reason}")
    return found


@router.get(f"{_VERSION}/config", include_in_schema=False)
@router.get(f"{_MODEL}/config", operation_id="get_model_configuration", summary="A model's configuration")
async def config(model: str, services: TheServices, version: str | None = None) -> dict[str, Any]:
    """As Triton tells it, so far as its clients read it."""
    found = contract(services.sessions.repository, model, version)
    return configuration(found, services.cap(services.sessions.provider(found.version) or ""))


@router.get(f"{_VERSION}/stats", include_in_schema=False)
@router.get(f"{_MODEL}/stats", operation_id="get_model_statistics", summary="A model's statistics")
async def model_statistics(model: str, services: TheServices, version: str | None = None) -> InferenceStatistics:
    """What its network has computed since the start, for /v1 as well."""
    found = contract(services.sessions.repository, model, version)
    return InferenceStatistics(model_stats=[_statistics(services, found)])


@router.post(
    "/repository/index",
    operation_id="list_repository",
    summary="All models",
    openapi_extra={"requestBody": {"content": {JSON: {}}}},
)
async def index(request: Request, services: TheServices, caller: TheCaller) -> list[RepositoryEntry]:
    """All versions of all models, and whether they are loaded."""
    asked = await _parsed(Index, request, services, caller)
    found = [RepositoryEntry.of(one, services.sessions) for one in contracts(services.sessions.repository)]
    return [entry for entry in found if not asked.ready or not entry.reason]


@router.post(
    "/repository/models/{model}/load",
    operation_id="load_model",
    summary="Load a model",
    dependencies=[Submits, Staying],
    openapi_extra={"requestBody": {"content": {JSON: {}}}},
)
async def load(model: str, request: Request, services: TheServices, caller: TheCaller) -> RepositoryEntry:
    """Load and warm its active version, as its first request would."""
    if (await _parsed(Loading, request, services, caller)).parameters:
        raise ApiError(400, "a model is loaded as its card says: there are no parameters, and no configuration to set")
    found = contract(services.sessions.repository, model, None)
    await services.compute(lambda: services.sessions.get(found.version.label))
    return RepositoryEntry.of(found, services.sessions)


@router.post(
    "/repository/models/{model}/unload", operation_id="unload_model", summary="Unload a model", dependencies=[Submits]
)
async def unload(model: str, services: TheServices) -> RepositoryEntry:
    """Free the memory of its active version, which the next request loads again; 403 for the default model."""
    repository = services.sessions.repository
    found = contract(repository, model, None)
    if found.version.label == repository.resolve(None).label:
        raise ApiError(403, f"{found.label} is the default model: it stays loaded as long as the service runs")
    await services.compute(lambda: services.sessions.release(found.version))
    return RepositoryEntry.of(found, services.sessions)


@router.post(f"{_VERSION}/infer", include_in_schema=False, dependencies=[Submits, Staying], response_class=Response)
@router.post(
    f"{_MODEL}/infer",
    operation_id="infer_tensors",
    summary="Infer",
    dependencies=[Submits, Staying],
    response_class=Response,
    responses={200: {"content": {JSON: {}, OCTETS: {}}, "description": "JSON, with tensors behind it where asked."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON: {}, OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def infer(
    model: str, request: Request, services: TheServices, clock: TheClock, caller: TheCaller, version: str | None = None
) -> Response:
    """Tensors in, tensors out, in JSON or as octets behind it (header Inference-Header-Content-Length)."""
    found = contract(services.sessions.repository, model, version)
    outputs: Tensors
    parameters: dict[str, Any] = {}
    with services.budget.share(caller.owner) as share:
        with clock("receive"):
            asked, tensors = await receive(request, found, services.settings.bounds, share)
        if found.batched:
            with clock("infer"):
                outputs = await _through(await _network(found, services, caller), tensors)
        else:
            counts = _scan(tensors["counts"], services, share)
            left = line(request).when_left
            result = await services.compute(
                lambda: _reconstructed(counts, found, services, caller, left, clock), caller.owner
            )
            outputs, parameters = result.arrays, _said(result)
        return await _answer(found, asked, outputs, parameters, clock)


async def _network(found: Contract, services: Services, caller: Caller) -> QueuedNetwork:
    """Loaded, where it is not."""
    loaded = services.networks.loaded(found.version, caller.owner)
    if loaded is not None:
        return loaded
    return await services.compute(lambda: services.networks.get(found.version.label, caller.owner), caller.owner)


async def _through(network: QueuedNetwork, tensors: Tensors) -> Tensors:
    """Each pattern is an order of its own, so that many of one request do not keep others waiting."""
    patterns = len(next(iter(tensors.values())))
    orders = [
        asyncio.wrap_future(network.submit({name: array[n : n + 1] for name, array in tensors.items()}))
        for n in range(patterns)
    ]
    answers = await asyncio.gather(*orders)
    if patterns == 1:
        return answers[0]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _scan(counts: NDArray[Any], services: Services, share: Share) -> RawScan:
    admit(counts.shape, counts.dtype, "the input counts", array_limits(services.settings.bounds))
    share.grow_to(max(share.held, working_bytes(counts.size, counts.nbytes)))
    return RawScan(counts, None, "the input counts", f"{counts.shape} {counts.dtype}")


def _reconstructed(
    scan: RawScan, found: Contract, services: Services, caller: Caller, when_left: WhenLeft, clock: Clock
) -> Reconstruction:
    network = services.networks.get(found.version.label, caller.owner, when_left)
    prepared, report = begin(scan, Options(model=found.version.label, refine=NO_REFINEMENT), network, clock)
    return judge(prepared, report, prepared.guess, clock)


def _said(result: Reconstruction) -> dict[str, Any]:
    """Of the measurement, beside its arrays."""
    report = result.report
    assert report.metrics.final is not None
    assert report.trust is not None
    return {"chi2": report.metrics.final.chi2, "trust": report.trust.level}


async def _answer(
    found: Contract, asked: Asked, outputs: Tensors, parameters: dict[str, Any], clock: Clock
) -> Response:
    wanted = asked.wanted([tensor.name for tensor in found.outputs])
    document = {"model_name": found.name, "model_version": str(found.version.card.version)}
    document |= {"id": asked.id} if asked.id else {}
    with clock("encode"):
        if all(output.binary for output in wanted):
            answer = encoded(document, wanted, outputs, parameters)
        else:  # numbers as text take their time
            answer = await in_thread(lambda: encoded(document, wanted, outputs, parameters))
    if answer.header is None:
        return Response(answer.body, media_type=JSON)
    return Response(answer.body, headers={HEADER_LENGTH: str(answer.header)}, media_type=OCTETS)


async def _parsed(kind: type[Any], request: Request, services: Services, caller: Caller) -> Any:
    with services.budget.share(caller.owner) as share:
        body = await read_json(request, services.settings.bounds, share)
    return parse_body(kind, body or b"{}")


def _statistics(services: Services, found: Contract) -> dict[str, Any]:
    return statistics(found, services.batcher.statistics.of(found.version.label))
