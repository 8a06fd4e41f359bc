"""The calls of the service: what is asked, and what the answer is read as. Both clients make these and no others."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import uuid4

from inphase.client import bodies
from inphase.client.bodies import Body
from inphase.client.errors import FaultError
from inphase.client.events import Document

if TYPE_CHECKING:
    import httpx
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
Path = str | os.PathLike[str]

MARGIN_S: Final = 60.0  # beyond `wait`, for the stages that it does not count
_LONGEST: Final = 200  # letters of a name
_KEY: Final = "Idempotency-Key"
_JOBS: Final = "/v1/jobs"
_SERIES: Final = "/v1/series"
_SCANS: Final = "/v1/scans"
_RECONSTRUCTIONS: Final = "/v1/reconstructions"
_PTYCHOGRAMS: Final = "/v1/ptychograms"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. read: makes what was asked for out of an answer that is no error. timeout: seconds.
    same: the service does nothing more when a POST comes twice, also without a key.
    """

    method: str
    path: str
    read: "Callable[[httpx.Response], T]"
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    timeout: float = MARGIN_S
    same: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether the service does the same when the call comes twice."""
        return self.method != "POST" or _KEY in self.headers or self.same


def reconstruct(
    body: Body, wait: float, key: str | None, options: Mapping[str, Any], source: Mapping[str, Any] | None = None
) -> Call[Document]:
    """Bytes that are a measurement. source: how a file is read."""
    query = _given(options) | _given(source or {}) | {"wait": wait}
    return Call(
        "POST", _RECONSTRUCTIONS, _json, query, _repeatable(key), body, timeout=wait + MARGIN_S
    )  # fmt: skip


def named(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a file that is sent: people know its job by the file's name, unless they say otherwise."""
    name = "".join(letter for letter in os.path.basename(path) if letter.isprintable())
    return {"name": name[-_LONGEST:], **options}


def reconstruct_file(
    path: Path, wait: float, source: Mapping[str, Any] | None, key: str | None, options: Mapping[str, Any]
) -> Call[Document]:
    """A file below the service's data roots."""
    asked = {"source": {"kind": "file", "path": path, **(source or {})}, "wait": wait, **options}
    body = bodies.of_json(asked)
    return Call("POST", _RECONSTRUCTIONS, _json, {}, _repeatable(key), body, timeout=wait + MARGIN_S)


def reconstruct_ptychogram(body: Body, wait: float, key: str | None, options: Mapping[str, Any]) -> Call[Document]:
    """Bytes that are a ptychographic measurement."""
    return replace(reconstruct(body, wait, key, options), path=_PTYCHOGRAMS)


def reconstruct_ptychogram_file(path: Path, wait: float, key: str | None, options: Mapping[str, Any]) -> Call[Document]:
    """The same in a file below the service's data roots."""
    return replace(reconstruct_file(path, wait, None, key, _given(options)), path=_PTYCHOGRAMS)


def job(job_id: str) -> Call[Document]:
    """A job document."""
    return Call("GET", f"{_JOBS}/{job_id}", _json)


def jobs(filters: Mapping[str, Any], cursor: str | None) -> Call[Document]:
    """A page of the list of jobs."""
    return Call("GET", _JOBS, _json, _given(filters) | _given({"cursor": cursor}))


def cancel(job_id: str, reason: str) -> Call[Document]:
    """The end of a job before its end."""
    return Call("DELETE", f"{_JOBS}/{job_id}", _json, {"reason": reason} if reason else {})


def delete(job_id: str) -> Call[None]:
    """The end of a record."""
    return Call("DELETE", f"{_JOBS}/{job_id}/record", lambda _: None)


def events(job_id: str, after: str) -> Call[None]:
    """The stream of a job's events behind one of them; the answer is read line by line."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    return Call("GET", f"{_JOBS}/{job_id}/events", lambda _: None, {}, headers)


def preview(job_id: str) -> Call[bytes]:
    """A picture."""
    return Call("GET", f"{_JOBS}/{job_id}/preview", _octets)


def result(job_id: str, form: str, revision: int | None) -> Call[None]:
    """The file of a result; the answer is read in chunks."""
    return Call("GET", f"{_JOBS}/{job_id}/result", lambda _: None, {"format": form} | _given({"revision": revision}))


def array(job_id: str, name: str, cut: str | None, revision: int | None) -> "Call[NDArray[np.generic]]":
    """An array of a result, or a part of it."""
    return Call(
        "GET", f"{_JOBS}/{job_id}/result/{name}", _array, _given({"slice": cut or None, "revision": revision})
    )  # fmt: skip


def submit_series(scans: Path | Sequence[Path], key: str | None, options: Mapping[str, Any]) -> Call[Document]:
    """Several scans in one frame."""
    named = [scans] if isinstance(scans, str | os.PathLike) else list(scans)
    return Call("POST", _SERIES, _json, {}, _repeatable(key), bodies.of_json({"scans": named} | _given(options)))


def series(series_id: str) -> Call[Document]:
    """A series with its scans."""
    return Call("GET", f"{_SERIES}/{series_id}", _json)


def series_file(series_id: str, form: str) -> Call[bytes]:
    """A series as a table or a page."""
    return Call("GET", f"{_SERIES}/{series_id}", _octets, {"format": form})


def cancel_series(series_id: str, reason: str) -> Call[Document]:
    """The end of what has not ended."""
    return Call("DELETE", f"{_SERIES}/{series_id}", _json, {"reason": reason} if reason else {})


def open_scan(body: Body, frames: int | None, key: str | None, options: Mapping[str, Any]) -> Call[Document]:
    """A live scan. body: one frame that stands for all."""
    return Call("POST", _SCANS, _json, _given({"frames": frames, **options}), _repeatable(key), body)


def add_frames(scan_id: str, places: Sequence[int], frames: "Sequence[NDArray[Any]]") -> Call[Document]:
    """Frames of a live scan, and of which kind they are: the service refuses those of another one."""
    body = bodies.of_frames(places, frames)
    return Call("POST", f"{_SCANS}/{scan_id}/frames", _json, bodies.kind_of(frames), body=body, same=True)


def add_positions(scan_id: str, body: Body) -> Call[Document]:
    """Positions of frames of a live scan."""
    return Call("POST", f"{_SCANS}/{scan_id}/positions", _json, body=body, same=True)


def give_probe(scan_id: str, body: Body) -> Call[None]:
    """What is known of the beam of a live scan."""
    return Call("PUT", f"{_SCANS}/{scan_id}/probe", lambda _: None, body=body)


def finish_scan(scan_id: str, reason: str) -> Call[Document]:
    """The last look at a live scan."""
    return Call("POST", f"{_SCANS}/{scan_id}/finish", _json, {"reason": reason}, same=True)


def abort_scan(scan_id: str, reason: str) -> Call[Document]:
    """The end of a live scan without one."""
    return Call("DELETE", f"{_SCANS}/{scan_id}", _json, {"reason": reason})


def scan(scan_id: str) -> Call[Document]:
    """A live scan as it stands."""
    return Call("GET", f"{_SCANS}/{scan_id}", _json)


def scan_events(scan_id: str, after: str) -> Call[None]:
    """The same stream of a live scan."""
    return replace(events(scan_id, after), path=f"{_SCANS}/{scan_id}/events")


def models() -> Call[Document]:
    """What is installed."""
    return Call("GET", "/v1/models", _json)


def status() -> Call[Document]:
    """How the service is."""
    return Call("GET", "/v1/status", _json)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _repeatable(key: str | None) -> dict[str, str]:
    """A call that its sender cannot repeat can be repeated by the client where the answer was lost."""
    return {_KEY: uuid4().hex if key is None else key}


def _json(answer: "httpx.Response") -> Document:
    try:
        document: Document = json.loads(answer.content)
    except ValueError:
        raise FaultError(
            f"{answer.url} answered {answer.headers.get('content-type')}, no JSON: is it an inphase service?",
            answer.status_code,
        ) from None
    return document


def _octets(answer: "httpx.Response") -> bytes:
    return answer.content


def _array(answer: "httpx.Response") -> "NDArray[np.generic]":
    import io

    import numpy as np

    loaded: NDArray[np.generic] = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return loaded
