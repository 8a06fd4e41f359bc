"""How the service is: /healthz, /readyz, /v1/status, /metrics."""

import importlib.metadata
import os
import time

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from service.api.access import TheServices, in_thread
from service.api.models import ModelList, index
from service.jobs.errors import QueueUnavailableError
from service.jobs.state import JobState
from service.lifecycle import Services
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
    """The queue: jobs by state, living workers."""

    up: bool
    jobs: dict[JobState, int]
    workers: list[str]


class Status(BaseModel):
    """The service at a glance."""

    version: str
    uptime_s: float
    draining: bool
    queue: QueueStatus | None
    models: ModelList
    store_bytes: int
    store_limit_bytes: int
    bytes_in_flight: int
    bytes_in_flight_limit: int


@router.get("/healthz", summary="Alive?")
async def healthz() -> Health:
    """200 while the event loop runs."""
    return Health()


@router.get("/readyz", summary="Ready?", responses={503: {"model": Ready}})
async def readyz(services: TheServices, response: Response) -> Ready:
    """200 when the model is warm, the store can be written and the service is not leaving."""
    why = None
    if services.draining.is_set():
        why = "the service is shutting down"
    elif not services.warm:
        why = "the model is being loaded"
    elif not os.access(services.store.root, os.W_OK):
        why = "the store cannot be written"
    response.status_code = 503 if why else 200
    return Ready(ready=why is None, why=why)


@protected.get("/v1/status", summary="The service at a glance")
async def status(services: TheServices) -> Status:
    """One JSON for dashboards."""
    queue, store_bytes = await in_thread(lambda: (_queue(services), services.store.total_bytes()))
    return Status(
        version=importlib.metadata.version("inphase"),
        uptime_s=time.time() - services.started,
        draining=services.draining.is_set(),
        queue=queue,
        models=await index(services),
        store_bytes=store_bytes,
        store_limit_bytes=services.settings.bounds.store_bytes,
        bytes_in_flight=services.budget.used,
        bytes_in_flight_limit=services.budget.limit,
    )


@protected.get("/metrics", summary="Prometheus", response_class=Response)
async def metrics(services: TheServices) -> Response:
    """Prometheus text format."""
    body = await in_thread(lambda: generate_latest(services.metrics.registry))
    return Response(body, media_type=CONTENT_TYPE_LATEST)


def _queue(services: Services) -> QueueStatus | None:
    if services.records is None:
        return None
    try:
        jobs = {state: services.records.count(state) for state in JobState}
        return QueueStatus(up=True, jobs=jobs, workers=services.records.workers())
    except QueueUnavailableError:
        return QueueStatus(up=False, jobs={}, workers=[])
