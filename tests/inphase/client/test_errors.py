"""What an answer of 400 and more becomes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from inphase.client.errors import (
    AccessError,
    ConflictError,
    FaultError,
    MissingError,
    OverloadError,
    RequestError,
    ServiceError,
    error_of,
)

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/errors.md"
DOCUMENTED = re.findall(r"^\| `(urn:inphase:error:[\w-]+)` \| (\d+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
KINDS: dict[int, type[ServiceError]] = {
    400: RequestError, 401: AccessError, 403: AccessError, 404: MissingError, 405: RequestError, 408: RequestError,
    409: ConflictError, 413: RequestError, 415: RequestError, 422: RequestError, 429: OverloadError, 500: FaultError,
    503: OverloadError, 507: OverloadError,
}  # fmt: skip


@pytest.mark.parametrize(("urn", "status"), DOCUMENTED)
def test_every_documented_error_has_its_class(urn: str, status: str) -> None:
    """By its status; with everything that the problem document says."""
    problem = {"type": urn, "title": "Title", "detail": "detail", "status": int(status), "request_id": "abc"}
    error = error_of(int(status), {"retry-after": "5"}, json.dumps(problem).encode())
    assert type(error) is KINDS[int(status)]
    assert str(error) == f"Title: detail (HTTP {status})"
    assert (error.urn, error.status, error.request_id, error.retry_after) == (urn, int(status), "abc", 5.0)


def test_the_documentation_was_read() -> None:
    """There are more than twenty."""
    assert len(DOCUMENTED) > 20


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html> (HTTP 502)"),
        (b"", "Bad Gateway (HTTP 502)"),
        (b"[]", "[] (HTTP 502)"),
        (b'{"title": "x"}', '{"title": "x"} (HTTP 502)'),
        (b"\xff\xfe", "�� (HTTP 502)"),
    ],
)
def test_the_errors_of_others_are_told_as_they_are(body: bytes, text: str) -> None:
    """Of a proxy; the id of the request may stand in a header. It names no date to come back at that we know."""
    headers: dict[str, Any] = {"x-request-id": "abc", "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}
    error = error_of(502, headers, body)
    assert (type(error), str(error), error.urn) == (FaultError, text, "")
    assert (error.request_id, error.retry_after) == ("abc", None)


def test_a_status_without_a_name() -> None:
    """Some proxies invent theirs."""
    assert str(error_of(599, {}, b"")) == "no text (HTTP 599)"
