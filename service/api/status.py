"""How the service is: /healthz, /readyz, /v1/status, /metrics."""

import importlib.metadata
import os
import time
from dataclasses import asdict

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from service.api.access import TheServices, in_thread
from service.api.models import ModelList, index
from service.jobs.errors import QueueUnavailableError
from service.jobs.pulse import Beat
from service.jobs.state import JobState
from service.lifecycle import Services
from service.sandbox.errors import SandboxUnavailableError
from service.security import Authorised

router = APIRouter(tags=["status"])
protected = APIRouter(tags=["status"], dependencies=[Authorised])


class Health(BaseModel):
    """Whether the process answers."""

    status: str = "ok"


class Ready(BaseModel):
    """Whether requests are welcome; `why` where they are not."""

    ready: bool
    why: str | None = None


class QueueStatus(BaseModel):
    """The queue: whether it takes jobs, and `why` where it does not; jobs by state, living workers."""

    up: bool
    why: str | None = None
    jobs: dict[JobState, int]
    workers: list[str]


class SandboxStatus(BaseModel):
    """What the kernel enforces on the processes that read files, beside limits on memory, processor, time and files."""

    landlock: int = Field(description="version of Landlock, which allows to read the data roots alone; 0: not offered")
    seccomp: bool = Field(description="whether sockets, new processes and programs are refused")
    network_namespace: bool = Field(description="whether they have no network at all")


class Status(BaseModel):
    """The service at a glance."""

    version: str
    uptime_s: float
    draining: bool
    queue: QueueStatus | None
    sandbox: SandboxStatus | None = Field(description="null where the process that reads files does not start")
    models: ModelList
    store_bytes: int
    store_limit_bytes: int
    bytes_in_flight: int
    bytes_in_flight_limit: int
    refused_requests: dict[str, int] = Field(description="requests not served since the start, by status")


@router.get("/healthz", summary="Alive?")
async def healthz() -> Health:
    """200 while the event loop runs."""
    return Health()


@router.get("/readyz", summary="Ready?", responses={503: {"model": Ready}})
async def readyz(services: TheServices, response: Response) -> Ready:
    """200 when the model is warm, the store can be written, Redis does not refuse jobs and the service is not leaving.

    While Redis does not answer at all predictions go on, so that alone leaves the service ready.
    """
    why = None
    if services.draining.is_set():
        why = "the service is shutting down"
    elif not services.warm:
        why = "the model is being loaded"
    elif not os.access(services.store.root, os.W_OK):
        why = "the store cannot be written"
    elif services.pulse is not None and (beat := await services.pulse.feel()).refused:
        why = beat.why
    response.status_code = 503 if why else 200
    return Ready(ready=why is None, why=why)


@protected.get("/v1/status", summary="The service at a glance")
async def status(services: TheServices) -> Status:
    """One JSON for dashboards."""
    beat = await services.pulse.feel() if services.pulse is not None else Beat(up=False)
    queue, store_bytes = await in_thread(lambda: (_queue(services, beat), services.store.total_bytes()))
    sandbox = await in_thread(lambda: _sandbox(services))
    return Status(
        version=importlib.metadata.version("inphase"),
        uptime_s=time.time() - services.started,
        draining=services.draining.is_set(),
        queue=queue,
        sandbox=sandbox,
        models=await index(services),
        store_bytes=store_bytes,
        store_limit_bytes=services.settings.bounds.store_bytes,
        bytes_in_flight=services.budget.used,
        bytes_in_flight_limit=services.budget.limit,
        refused_requests=services.metrics.refusals(),
    )


@protected.get("/metrics", summary="Prometheus", response_class=Response)
async def metrics(services: TheServices) -> Response:
    """Prometheus text format."""
    if services.pulse is not None:
        await services.pulse.feel()
    body = await in_thread(lambda: generate_latest(services.metrics.registry))
    return Response(body, media_type=CONTENT_TYPE_LATEST)


def _sandbox(services: Services) -> SandboxStatus | None:
    try:
        return SandboxStatus(**asdict(services.sandbox.protections))
    except SandboxUnavailableError:
        return None


def _queue(services: Services, beat: Beat) -> QueueStatus | None:
    if services.records is None:
        return None
    try:
        jobs = {state: services.records.count(state) for state in JobState}
        return QueueStatus(up=beat.up, why=beat.why, jobs=jobs, workers=services.records.workers())
    except QueueUnavailableError as error:
        return QueueStatus(up=False, why=str(error), jobs={}, workers=[])
