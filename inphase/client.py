"""The Python client of the service.

with Client("http://127.0.0.1:8000", key) as client:
    document = client.reconstruct(counts, refine="fast")
    client.save(document["id"], "result.cxi")
"""

import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from inphase.errors import InphaseError

if TYPE_CHECKING:
    from inphase.formats import RawScan

Document = dict[str, Any]
_SERVED = ("npz", "cxi", "vti", "vts", "mat")  # by the service; everything else is made here
_CHUNK = 2**20
_POLL_S = 0.5
_AWAY_S = 60.0  # how long `follow` waits for a service that is gone
FINAL = (
    "succeeded",
    "failed",
    "cancelled",
)  # states after which nothing comes; before: accepted, reading, queued, running
SCAN_FINAL = ("finished", "aborted")  # the same of a live scan; before: open, finishing
_MARGIN_S = 60.0  # beyond `wait`, for the stages that it does not count


@dataclass(frozen=True)
class Event:
    """Something that happened to a job or a live scan.

    kind: of a scan "state", "frames" (what has come, and words of advice) or "look" (one that has ended); of a job
    "state" (data: state, reason), "revision" (data: number, kind, final, and where the result is), "progress"
    (data: iteration, total, chi2, support_voxels, stage, and where a preview is), or "waiting" (no data): about two
    seconds have passed without anything.
    """

    event_id: str
    kind: str
    data: Document

    @property
    def ends(self) -> bool:
        """Whether no event follows."""
        return self.kind == "state" and self.data["state"] in (*FINAL, *SCAN_FINAL)


class ServiceError(InphaseError):
    """The service refused, or cannot be reached. status: of HTTP, 0 where there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """A connection to one service. transport: for tests."""

    def __init__(self, url: str, key: str = "", *, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Apikey {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_MARGIN_S, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def reconstruct(
        self,
        pattern: "ArrayLike | RawScan",
        *,
        wait: float = 10.0,
        sent: Callable[[int, int], None] | None = None,
        key: str | None = None,
        **options: str | float | int | None,
    ) -> Document:
        """Send a pattern (rocking, row, column); the job document, finished or not after `wait` seconds.

        An array, or what numpy makes one of (nested lists, a dataset of h5py), of real numbers; of a masked array the
        mask goes too. A scan that was read from a file goes with all that is known of it, its geometry, mask and
        detector maps, as npz; a plain array as npy.
        Raises TypeError for what is no such array.
        options: model, domain, preprocess, refine, start, starts, seed, priority, reuse. sent: told bytes sent and
        bytes in all. key: any text that is new for each measurement; a call repeated with it, after an answer that did
        not come, is one job.
        """
        from inphase.formats import RawScan, npz
        from inphase.formats.scan import scan_of

        scan = pattern if isinstance(pattern, RawScan) else scan_of(pattern)
        if npz.is_plain(scan):
            kind, size, content = "application/x-npy", _npy_size(scan.array), _npy_chunks(scan.array, sent)
        else:
            body = npz.encode(scan)
            kind, size, content = "application/x-npz", len(body), _chunks(memoryview(body), sent)
        query = {name: value for name, value in options.items() if value is not None} | {"wait": wait}
        return self._json(
            "POST",
            "/v1/reconstructions",
            params=query,
            content=content,
            headers={"Content-Type": kind, "Content-Length": str(size)} | _repeatable(key),
            timeout=wait + _MARGIN_S,
        )

    def reconstruct_file(
        self,
        path: str | os.PathLike[str],
        *,
        wait: float = 10.0,
        source: Mapping[str, str | os.PathLike[str]] | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Name a file below the service's data roots. source: how it is read, by the names of `inphase.read`.
        key: as in `reconstruct`.
        """
        body = {"source": {"kind": "file", "path": path, **(source or {})}, "wait": wait, **options}
        return self._json("POST", "/v1/reconstructions", **_as_json(body, key), timeout=wait + _MARGIN_S)

    def job(self, job_id: str) -> Document:
        """The job document as it stands."""
        return self._json("GET", f"/v1/jobs/{job_id}")

    def follow(self, job_id: str) -> Iterator[Event]:
        """What happens to a job, as it happens, up to its end.

        A stream that breaks off, because the service restarts or the network does, is taken up after the last event.
        Raises ServiceError where the job is unknown, or the service stays away for a minute.
        """
        return self._follow(f"/v1/jobs/{job_id}", FINAL)

    def _follow(self, where: str, final: tuple[str, ...]) -> Iterator[Event]:
        last, lost_at = "", 0.0
        while True:
            try:
                for event in self._events(where, last):
                    last, lost_at = event.event_id or last, 0.0
                    yield event
                    if event.ends:
                        return
                # ended without the end: the service leaves, its Redis is away, or the end was heard before
                if self._json("GET", where)["state"] in final:
                    return
            except ServiceError as error:
                if error.status not in (0, 502, 503, 504):
                    raise
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > _AWAY_S:
                    raise
            time.sleep(_POLL_S)

    def _events(self, where: str, after: str) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        events = f"{where}/events"
        with _reachable(self._http.base_url), self._http.stream("GET", events, headers=headers) as answer:
            if answer.is_error:
                answer.read()
            _check(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")
                    continue
                if "id" in fields:
                    yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
                elif fields.get("") == "waiting":
                    yield Event("", "waiting", {})
                fields = {}

    def submit(self, pattern: "ArrayLike | RawScan", *, key: str | None = None, **options: Any) -> Document:
        """Send a pattern and do not wait: the document of the accepted job, which fails where its data cannot be used.

        key: as in `reconstruct`.
        """
        return self.reconstruct(pattern, wait=0.0, key=key, **options)

    def jobs(self, **filters: str | int | None) -> Iterator[Document]:
        """Jobs, newest first: one line each. filters: state, series, owner, model, trust, since, until."""
        query = {name: value for name, value in filters.items() if value is not None}
        while True:
            page = self._json("GET", "/v1/jobs", params=query)
            yield from page["jobs"]
            if page["cursor"] is None:
                return
            query["cursor"] = page["cursor"]

    def submit_series(
        self,
        scans: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]",
        *,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Name files, folders or patterns (or one) below the service's data roots: one job each, in one frame.

        options: name, those of `reconstruct`, and reading: how all are read, a mapping with the names of
        `inphase.read`.
        """
        named = [scans] if isinstance(scans, str | os.PathLike) else list(scans)
        body = {"scans": named} | {name: value for name, value in options.items() if value is not None}
        return self._json("POST", "/v1/series", **_as_json(body, key))

    def series(self, series_id: str) -> Document:
        """A series with all its scans as they stand."""
        return self._json("GET", f"/v1/series/{series_id}")

    def series_file(self, series_id: str, form: str) -> bytes:
        """The table of a series (csv), or its page with pictures (html)."""
        with _reachable(self._http.base_url):
            answer = self._http.get(f"/v1/series/{series_id}", params={"format": form})
        _check(answer)
        return answer.content

    def cancel_series(self, series_id: str) -> Document:
        """Cancel what has not ended."""
        return self._json("DELETE", f"/v1/series/{series_id}")

    def open_scan(
        self,
        template: "ArrayLike | RawScan",
        frames: int | None = None,
        *,
        key: str | None = None,
        **options: str | float | int | None,
    ) -> Document:
        """Open a live scan, a rocking curve whose frames follow; its document.

        template: one frame (rows, columns) that stands for all: an array of their type, or a scan with the geometry,
        mask and detector maps of the whole curve; its values are not looked at. frames: of the finished curve, None for
        an open end. options: name, and those of `reconstruct`. key: as in `reconstruct`.
        """
        from inphase.formats import RawScan, npz
        from inphase.formats.scan import scan_of

        body = npz.encode(template if isinstance(template, RawScan) else scan_of(template))
        query = {name: value for name, value in {"frames": frames, **options}.items() if value is not None}
        headers = {"Content-Type": "application/x-npz"} | _repeatable(key)
        return self._json("POST", "/v1/scans", params=query, content=body, headers=headers)

    def add_frames(self, scan_id: str, places: Sequence[int], frames: "Sequence[NDArray[Any]]") -> Document:
        """Send frames (rows, columns) of the template's type, in any order; what became of each.

        places: steps on the rocking axis from the first one, 0. When this returns, they are on the disk of the service.
        It may be repeated where no answer came.
        """
        from inphase.live.batch import encode

        return self._json(
            "POST",
            f"/v1/scans/{scan_id}/frames",
            content=encode(places, frames),
            headers={"Content-Type": "application/octet-stream"},
        )

    def scan(self, scan_id: str) -> Document:
        """A live scan as it stands: what has come, advice, and its looks, newest first."""
        return self._json("GET", f"/v1/scans/{scan_id}")

    def follow_scan(self, scan_id: str) -> Iterator[Event]:
        """What happens to a live scan, as it happens, up to its end. Raises and goes on as `follow`."""
        return self._follow(f"/v1/scans/{scan_id}", SCAN_FINAL)

    def finish_scan(self, scan_id: str, reason: str = "") -> Document:
        """No frame follows: the image of the finished curve is made, as a job that `final` names."""
        return self._json("POST", f"/v1/scans/{scan_id}/finish", params={"reason": reason})

    def abort_scan(self, scan_id: str, reason: str = "") -> Document:
        """No frame follows, and no image is made any more."""
        return self._json("DELETE", f"/v1/scans/{scan_id}", params={"reason": reason})

    def preview(self, job_id: str) -> bytes:
        """Three central slices as PNG: of the newest image that the job has.
        ServiceError 404 where there is none yet.
        """
        with _reachable(self._http.base_url):
            answer = self._http.get(f"/v1/jobs/{job_id}/preview")
        _check(answer)
        return answer.content

    def cancel(self, job_id: str) -> Document:
        """Cancel a job."""
        return self._json("DELETE", f"/v1/jobs/{job_id}")

    def array(
        self, job_id: str, name: str, cut: str | None = None, *, revision: int | None = None
    ) -> NDArray[np.generic]:
        """One array of a result, or the part that `cut` names, as in "32,:,:". revision: None for the newest one."""
        query = ({"slice": cut} if cut else {}) | _numbered(revision)
        with _reachable(self._http.base_url):
            answer = self._http.get(f"/v1/jobs/{job_id}/result/{name}", params=query)
        _check(answer)
        loaded: NDArray[np.generic] = np.load(io.BytesIO(answer.content), allow_pickle=False)
        return loaded

    def save(self, job_id: str, path: str | Path, *, revision: int | None = None) -> None:
        """Write the result in the format that the name's ending asks for (inphase.formats.writers).

        revision: None for the newest one, which before the job's end is the network's image.
        `path` then holds all of it, or what it held before. Raises DataError for an unknown ending, before it is
        fetched.
        """
        from inphase.formats.atomic import replacing
        from inphase.formats.npz import read_arrays
        from inphase.formats.writers import write_result, writer_for

        writer_for(path)
        ending = Path(path).suffix.lower().removeprefix(".")
        if ending in _SERVED:
            with replacing(Path(path)) as partial:
                self._fetch(job_id, ending, partial, revision)
            return
        with tempfile.TemporaryDirectory() as folder:  # what is a folder is made here
            fetched = Path(folder) / "result.npz"
            self._fetch(job_id, "npz", fetched, revision)
            write_result(path, read_arrays(fetched))

    def _fetch(self, job_id: str, form: str, path: Path, revision: int | None) -> None:
        where, query = f"/v1/jobs/{job_id}/result", {"format": form} | _numbered(revision)
        with _reachable(self._http.base_url), self._http.stream("GET", where, params=query) as answer:
            if answer.is_error:
                answer.read()
            _check(answer)
            with path.open("xb") as file:
                for chunk in answer.iter_bytes(_CHUNK):
                    file.write(chunk)

    def models(self) -> Document:
        """What is installed."""
        return self._json("GET", "/v1/models")

    def _json(self, method: str, path: str, **arguments: Any) -> Document:
        with _reachable(self._http.base_url):
            answer = self._http.request(method, path, **arguments)
        _check(answer)
        try:
            document: Document = answer.json()
        except ValueError:
            raise ServiceError(
                f"{answer.url} answered {answer.headers.get('content-type')}, no JSON: is it an inphase service?"
            ) from None
        return document


@contextlib.contextmanager
def _reachable(url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise ServiceError(f"the service at {url} did not answer in time: {type(error).__name__}") from error
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise ServiceError(
            f"the service at {url} cannot be reached: {error}; is `inphase serve` running there?"
        ) from error


def _numbered(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"revision": str(revision)}


def _repeatable(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _as_json(body: Document, key: str | None) -> dict[str, Any]:
    """A JSON body that may hold paths and numbers of numpy."""
    headers = {"Content-Type": "application/json"} | _repeatable(key)
    return {"content": json.dumps(body, default=_plain), "headers": headers}


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as an option: {value!r}"[:200])


def _check(answer: httpx.Response) -> None:
    """Raise ServiceError with the problem document's text."""
    if not answer.is_error:
        return
    try:
        problem = answer.json()
        detail = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        detail = answer.text[:200] or answer.reason_phrase
    raise ServiceError(f"{detail} (HTTP {answer.status_code})", answer.status_code)


def _npy_header(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, np.lib.format.header_data_from_array_1_0(np.empty((0,), array.dtype)) | {"shape": array.shape}
    )
    return stream.getvalue()


def _npy_size(array: NDArray[np.generic]) -> int:
    return len(_npy_header(array)) + array.nbytes


def _npy_chunks(array: NDArray[np.generic], sent: Callable[[int, int], None] | None) -> Iterator[bytes]:
    """The npy file of an array, without a second copy of it in memory."""
    yield _npy_header(array)
    yield from _chunks(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, sent)


def _chunks(octets: memoryview, sent: Callable[[int, int], None] | None) -> Iterator[bytes]:
    for begin in range(0, len(octets), _CHUNK):
        yield bytes(octets[begin : begin + _CHUNK])
        if sent is not None:
            sent(min(begin + _CHUNK, len(octets)), len(octets))
