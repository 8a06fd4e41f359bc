"""What can go wrong between a caller and a service."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from inphase.errors import InphaseError


class ServiceError(InphaseError):
    """The service refused, or cannot be reached.

    status: of HTTP, 0 where there was no answer. urn: what kind of error it is, for programs
    (docs/reference/errors.md), empty where somebody else answered. request_id: what the service's log knows the request
    by. retry_after: seconds after which another attempt may succeed, None where nothing was said.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        *,
        urn: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.urn = urn
        self.request_id = request_id
        self.retry_after = retry_after


class UnreachableError(ServiceError):
    """There was no answer. sent: whether the service may have seen the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class LateError(UnreachableError):
    """The answer did not come in time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, sent=True)


class RequestError(ServiceError):
    """The request, or the data in it, cannot be used; repeated, it is refused again."""


class AccessError(ServiceError):
    """The key is missing or wrong, or does not allow this."""


class MissingError(ServiceError):
    """There is no such job, series, model, array or route; or it belongs to somebody else."""


class ConflictError(ServiceError):
    """The state of the job does not allow this: it has ended, or has no result yet."""


class OverloadError(ServiceError):
    """The service cannot take this now. Nothing was accepted; the same request may succeed later."""


class FaultError(ServiceError):
    """The service, or something between, has a fault; the request is not to blame."""


_OF_STATUS: Final[Mapping[int, type[ServiceError]]] = {
    HTTPStatus.UNAUTHORIZED: AccessError,
    HTTPStatus.FORBIDDEN: AccessError,
    HTTPStatus.NOT_FOUND: MissingError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.TOO_MANY_REQUESTS: OverloadError,
    HTTPStatus.SERVICE_UNAVAILABLE: OverloadError,
    HTTPStatus.INSUFFICIENT_STORAGE: OverloadError,
}


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    """An answer of 400 and more as an error, with the text of its problem document where it is one."""
    problem = _problem(body)
    try:
        detail = f"{problem['title']}: {problem['detail']}"
    except KeyError:
        detail = body[:200].decode(errors="replace") or _phrase(status)
    kind = _OF_STATUS.get(status, RequestError if status < 500 else FaultError)
    after = headers.get("retry-after", "")
    return kind(
        f"{detail} (HTTP {status})",
        status,
        urn=str(problem.get("type", "")),
        request_id=str(problem.get("request_id") or headers.get("x-request-id", "")),
        retry_after=float(after) if after.isdecimal() else None,
    )


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no text"
