"""What both connections have in common: how a call becomes a request of httpx, and its failure an error of ours."""

from collections.abc import AsyncIterable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from inphase.client.calls import MARGIN_S, Call
from inphase.client.errors import LateError, ServiceError, UnreachableError, error_of

_CONNECT_S: Final = 10.0


def settings(url: str, key: str) -> dict[str, Any]:
    """Arguments of httpx.Client and httpx.AsyncClient."""
    headers = {"Authorization": f"Apikey {key}"} if key else {}
    # httpx loads the certificates of all authorities, 40 ms; plain HTTP, which is never redirected, has no use for them
    certified = not url.startswith("http:")
    return {"base_url": url, "headers": headers, "timeout": _timeout(MARGIN_S), "verify": certified}


def arguments(call: Call[Any], content: Iterable[bytes] | AsyncIterable[bytes] | None) -> dict[str, Any]:
    """Arguments of `build_request` and `stream`."""
    headers = dict(call.headers)
    if call.body is not None:
        headers |= {"Content-Type": call.body.media_type, "Content-Length": str(call.body.size)}
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params),
        "headers": headers,
        "content": content,
        "timeout": _timeout(call.timeout),
    }


@contextmanager
def reachable(url: httpx.URL) -> Iterator[None]:
    """Tells why there was no answer, and whether the service may have seen the request."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise UnreachableError(_gone(url, error), sent=False) from error
    except httpx.TimeoutException as error:
        raise LateError(f"the service at {url} did not answer in time: {type(error).__name__}") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ServiceError(_gone(url, error)) from error
    except httpx.TransportError as error:
        raise UnreachableError(_gone(url, error), sent=True) from error


def check(answer: httpx.Response) -> None:
    """Raises ServiceError for an answer of 400 and more, whose body has been read."""
    if answer.is_error:
        raise error_of(answer.status_code, answer.headers, answer.content)


def _gone(url: httpx.URL, error: Exception) -> str:
    why = str(error) or type(error).__name__
    return f"the service at {url} cannot be reached: {why}; is `inphase serve` running there?"


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=_CONNECT_S)
