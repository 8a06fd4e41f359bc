"""The web application. `create_app(settings)` builds one; nothing is shared between two of them."""

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from service import errors, lifecycle
from service.api import (
    comparisons,
    docs,
    events,
    feed,
    jobs,
    login,
    models,
    previews,
    ptychograms,
    reconstructions,
    removal,
    results,
    scans,
    series,
    status,
    views,
)
from service.api.access import OwnJob
from service.api.oip import routes as oip
from service.api.ptychograms import NamedFile
from service.identity.keys import Authorised
from service.intake.sources import CommonReading, FileSource
from service.page import serving
from service.settings import Settings
from service.telemetry import TelemetryMiddleware

DESCRIPTION = """
A measured coherent diffraction pattern in, the complex image of the sample out.

Send `Authorization: Apikey <key>` (or `Bearer <key>`).
Errors are problem documents (RFC 9457) that say what is wrong, where, and what to do.
"""
_PROBLEM: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {errors.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for code, text in {
        400: "the body is not what it declares",
        401: "no key, a wrong one, or one that has expired",
        403: "a path outside the data roots, or a key that may not do this",
        404: "no such job, model or file",
        408: "the body came too slowly",
        409: "the job was cancelled, or is in a state that does not allow this",
        413: "above a configured bound; nothing was allocated",
        415: "a body of this type, or with this Content-Encoding, is not taken",
        422: "the options or the data cannot be used",
        429: "the requests of this owner hold all the memory that they may, or the key has used up its quota: try "
        "again after Retry-After",
        503: "overloaded, leaving, or without a queue: try again after Retry-After",
        507: "no room for the arrays",
    }.items()
}


class _Application(FastAPI):
    """FastAPI whose schema also has the models that only hand-written parts refer to."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI schema."""
        schema = super().openapi()
        for model in (errors.Problem, FileSource, NamedFile, CommonReading):
            part = TypeAdapter(model).json_schema(ref_template="#/components/schemas/{model}")
            schema["components"]["schemas"] |= part.pop("$defs", {}) | {model.__name__: part}
        return schema


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; what it needs is started with it and stopped with it."""
    services = lifecycle.Services(settings or Settings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.stop()

    app = _Application(
        title="inphase",
        version=importlib.metadata.version("inphase"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address to go to would be made of what the client called this host
    )
    app.state.services = services
    app.add_middleware(TelemetryMiddleware, metrics=services.metrics, tracing=services.tracing)
    errors.install(app)
    for router in (
        reconstructions.router,
        ptychograms.router,
        previews.router,
        jobs.listing,
        feed.router,
        series.router,
        scans.router,
        models.router,
    ):
        app.include_router(router, dependencies=[Authorised], responses=_PROBLEM)
    for router in (jobs.router, events.router, results.router, views.router, comparisons.router, removal.router):
        app.include_router(router, dependencies=[Authorised, OwnJob], responses=_PROBLEM)
    app.include_router(login.router, responses=_PROBLEM)
    app.include_router(status.router)
    app.include_router(status.protected, responses={code: _PROBLEM[code] for code in (401, 429)})
    app.include_router(oip.health)  # behind the probes: routes are prepared when they are first tried
    app.include_router(oip.router, dependencies=[Authorised], responses=_PROBLEM)
    docs.install(app)
    serving.install(app)
    return app
