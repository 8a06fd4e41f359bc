"""How the service is: /healthz, /readyz, /v1/status, /metrics."""

import asyncio
import importlib.metadata
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from service.api.access import TheServices, in_thread
from service.api.models import ModelList, index
from service.identity.keys import Authorised
from service.jobs.errors import QueueUnavailableError, StoreError
from service.jobs.pulse import Beat
from service.jobs.state import JobState
from service.lifecycle import Services
from service.sandbox.errors import SandboxUnavailableError

T = TypeVar("T")
_PATIENCE_S: Final = 1.0  # for Redis, the store and the sandbox

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
    sandbox: SandboxStatus | None = Field(
        description="null where the process that reads files does not start, or has not yet"
    )
    models: ModelList
    store_bytes: int | None = Field(description="null where the store does not work or takes its time")
    store_limit_bytes: int
    bytes_in_flight: int
    bytes_in_flight_limit: int
    refused_requests: dict[str, int] = Field(description="requests not served since the start, by status")


@router.get("/healthz", operation_id="get_health", summary="Alive?")
async def healthz() -> Health:
    """200 while the event loop runs."""
    return Health()


@router.get("/readyz", operation_id="get_readiness", summary="Ready?", responses={503: {"model": Ready}})
async def readyz(services: TheServices, response: Response) -> Ready:
    """200 when the model is warm, the store can be written, Redis neither refuses nor hangs, and the service stays.

    While Redis is not there at all predictions go on, so that alone leaves the service ready.
    """
    why = None
    if services.draining.is_set():
        why = "the service is shutting down"
    elif not services.warm:
        why = "the model is being loaded"
    elif not os.access(services.store.root, os.W_OK):
        why = "the store cannot be written"
    elif services.pulse is not None and ((beat := await services.pulse.lately()).refused or beat.silent):
        why = beat.why
    response.status_code = 503 if why else 200
    return Ready(ready=why is None, why=why)


@protected.get("/v1/status", operation_id="get_status", summary="The service at a glance")
async def status(services: TheServices) -> Status:
    """One JSON for dashboards."""
    beat = await services.pulse.feel() if services.pulse is not None else Beat(up=False)
    queue, store_bytes, sandbox = await asyncio.gather(
        _in_time(services, lambda: _queue(services, beat), _hanging(services, beat)),
        _in_time(services, lambda: _store_bytes(services), None),
        _in_time(services, lambda: _sandbox(services), None),
    )
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


@protected.get("/metrics", operation_id="get_metrics", summary="Prometheus", response_class=Response)
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


async def _in_time(services: Services, work: Callable[[], T], otherwise: T) -> T:
    """What a short call finds, or what is said instead where it takes longer; other calls' threads may be all busy."""
    with anyio.move_on_after(_PATIENCE_S):
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=services.looking)
    return otherwise


def _queue(services: Services, beat: Beat) -> QueueStatus | None:
    if services.records is None or beat.silent:
        return _hanging(services, beat)
    try:
        jobs = {state: services.records.count(state) for state in JobState}
        return QueueStatus(up=beat.up, why=beat.why, jobs=jobs, workers=services.records.workers())
    except QueueUnavailableError as error:
        return QueueStatus(up=False, why=str(error), jobs={}, workers=[])


def _hanging(services: Services, beat: Beat) -> QueueStatus | None:
    if services.records is None:
        return None
    return QueueStatus(up=False, why=beat.why or "Redis takes its time", jobs={}, workers=[])


def _store_bytes(services: Services) -> int | None:
    try:
        return services.store.total_bytes()
    except StoreError:
        return None
