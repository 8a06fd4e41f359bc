"""Errors as HTTP: RFC 9457 problem documents. `detail` says what is wrong, where, and what to do."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from inphase.errors import CancelledError, DataError, InphaseError, RecipeError, TooLargeError
from inphase.models.repository import ModelError, UnknownModelError
from service.door.budget import BusyError, ShareError
from service.jobs.errors import (
    DocumentError,
    KeyReusedError,
    NoRedisError,
    QueueUnavailableError,
    QuotaError,
    ScanClosedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreTooSmallError,
    StoreUnavailableError,
    UnknownJobError,
    UnknownScanError,
    UnknownSeriesError,
)
from service.sandbox.errors import SandboxUnavailableError

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"


class ApiError(InphaseError):
    """A request that cannot be served, with its HTTP status."""

    def __init__(
        self, status: int, detail: str, *, title: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.headers = dict(headers or {})


class ProblemError(BaseModel):
    """One invalid field."""

    where: str
    what: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(
        description="The type is urn:inphase:error:<kind> and never changes.", examples=["urn:inphase:error:recipe"]
    )
    title: str
    status: int
    detail: str = Field(description="The text says what is wrong, where, and what to do.")
    instance: str = Field(description="This is the path of the request.")
    request_id: str
    errors: list[ProblemError] | None = None
    error: str | None = Field(None, description="Below /v2 this is the detail again, where that protocol has it.")


@dataclass(frozen=True)
class _Kind:
    """lasting: whether the same request fails again, whatever its status says."""

    status: int
    name: str
    title: str
    lasting: bool = False


# the first that fits; subclasses stand before their base
_KINDS: Final[tuple[tuple[type[InphaseError], _Kind], ...]] = (
    (TooLargeError, _Kind(413, "too-large", "The data are too large")),
    (DataError, _Kind(422, "data", "The data cannot be used")),
    (RecipeError, _Kind(422, "recipe", "The recipe cannot be understood")),
    (UnknownModelError, _Kind(404, "unknown-model", "No such model")),
    (ModelError, _Kind(503, "model", "The model cannot be used")),
    (UnknownSeriesError, _Kind(404, "unknown-series", "No such series")),
    (UnknownScanError, _Kind(404, "unknown-scan", "No such live scan")),
    (ScanClosedError, _Kind(409, "scan-closed", "The scan takes no frames any more")),
    (UnknownJobError, _Kind(404, "unknown-job", "No such job")),
    (KeyReusedError, _Kind(422, "idempotency-key", "The key was used for another request")),
    (DocumentError, _Kind(500, "document", "The job document cannot be read")),
    (QueueUnavailableError, _Kind(503, "queue", "The queue is not available")),
    (NoRedisError, _Kind(503, "queue", "The queue is not available")),
    (StoreFullError, _Kind(507, "store-full", "No room for the arrays")),
    (StoreTooSmallError, _Kind(507, "store-too-small", "The store is too small", lasting=True)),
    (StoreUnavailableError, _Kind(503, "store-unavailable", "The store does not work")),
    (StoreCorruptError, _Kind(500, "store", "The stored arrays are damaged")),
    (StoreError, _Kind(404, "store", "No such arrays")),
    (SandboxUnavailableError, _Kind(503, "reading", "Nothing can be read")),
    (BusyError, _Kind(503, "busy", "The service is busy")),
    (ShareError, _Kind(429, "share", "One owner's share is taken")),
    (QuotaError, _Kind(429, "quota", "The key has what it may have")),
    (CancelledError, _Kind(409, "cancelled", "The job was cancelled")),
)
_RETRY_AFTER: Final = {429: "5", 503: "5", 507: "60"}


def install(app: FastAPI) -> None:
    """Answer every error with a problem document."""
    app.add_exception_handler(InphaseError, _inphase)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)


def problem(
    request: Request,
    status: int,
    name: str,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[ProblemError] | None = None,
    lasting: bool = False,
) -> JSONResponse:
    """A problem document as a response. lasting: the same request will fail again."""
    detail = below_roots(detail, _roots(request))
    request.state.problem = name  # what it is counted as
    body = Problem(
        type=f"urn:inphase:error:{name}",
        title=title,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=getattr(request.state, "request_id", ""),
        errors=errors,
        error=detail if request.url.path.startswith("/v2") else None,
    )
    own = {"Retry-After": _RETRY_AFTER[status]} if status in _RETRY_AFTER and not lasting else {}
    if status == 500:  # what the request has left behind is not known
        own["Connection"] = "close"
    return JSONResponse(body.model_dump(exclude_none=True), status, {**own, **(headers or {})}, MEDIA_TYPE)


def below_roots(text: str, roots: Sequence[Path]) -> str:
    """A text whose paths begin below the data roots: where these lie on the server is nobody's business."""
    for root in sorted(map(str, roots), key=len, reverse=True):
        text = text.replace(f"{root.rstrip('/')}/", "") if root != "/" else text
    return text


def _roots(request: Request) -> Sequence[Path]:
    services = getattr(request.app.state, "services", None)
    return () if services is None else services.settings.data_roots


def kind(error: InphaseError) -> _Kind:
    """Status, name and title of an error of ours."""
    for cls, found in _KINDS:
        if isinstance(error, cls):
            return found
    return _Kind(500, "internal", "Internal error")


async def _inphase(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InphaseError)
    if isinstance(error, ApiError):
        name = HTTPStatus(error.status).phrase.lower().replace(" ", "-")
        return problem(request, error.status, name, error.title, str(error), headers=error.headers)
    found = kind(error)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, QuotaError) else None
    return problem(
        request, found.status, found.name, found.title, str(error), headers=headers, lasting=found.lasting
    )  # fmt: skip


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    detail = {
        404: f"there is nothing at {request.url.path}; /docs lists what there is",
        405: f"{request.url.path} does not take {request.method}; /docs lists what it takes",
    }.get(error.status_code, str(error.detail))
    return problem(request, error.status_code, phrase.lower().replace(" ", "-"), phrase, detail, headers=error.headers)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return invalid(request, error.errors())


def invalid(request: Request, errors: Any) -> JSONResponse:
    """422 for pydantic's list of errors."""
    found = [ProblemError(where=".".join(str(part) for part in item["loc"]), what=item["msg"]) for item in errors]
    detail = "; ".join(f"{item.where}: {item.what}" for item in found[:5])
    return problem(request, 422, "invalid", "The request is not valid", detail, errors=found)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, MemoryError):
        return problem(
            request,
            503,
            "memory",
            "Out of memory",
            "this machine has no memory left for the request: try a smaller volume",
        )
    identity = getattr(request.state, "request_id", "")
    logger.error("request %s failed", identity, exc_info=error)
    return problem(
        request, 500, "internal", "Internal error",
        f"a fault of the service, not of the request; its log has the details under request {identity}",
    )  # fmt: skip
