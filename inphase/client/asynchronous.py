"""The client for asyncio: the methods of `Client`, to be awaited."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import httpx

from inphase.client import bodies, calls
from inphase.client.bodies import Sent
from inphase.client.calls import Call
from inphase.client.connection import arguments, check, reachable, settings
from inphase.client.errors import RequestError, ServiceError
from inphase.client.events import FINAL, POLL_S, SCAN_FINAL, WAITING, Deadline, Document, Event, Following, Lines
from inphase.client.files import form_of, write_here
from inphase.client.result import Result
from inphase.client.retries import Retries

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from inphase.formats import RawScan

T = TypeVar("T")
_RETRIES: Final = Retries()
_CHUNK: Final = 2**20


class AsyncClient:
    """A connection to one service, for asyncio. What is said of the methods of `Client` holds for these.

    async with AsyncClient("http://127.0.0.1:8000", key) as client:
        job = await client.submit(counts, refine="fast")
        async for event in client.follow(job["id"]):
            print(event)
        result = await client.result(job["id"])
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        retries: Retries = _RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**settings(url, key), transport=transport)
        self._retries = retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def reconstruct(
        self,
        pattern: "ArrayLike | RawScan",
        *,
        wait: float = 10.0,
        sent: Sent | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Send a pattern (rocking, row, column); the job document, finished or not after `wait` seconds."""
        body = await asyncio.to_thread(bodies.of_pattern, pattern, sent)
        return await self._ask(calls.reconstruct(body, wait, key, options))

    async def reconstruct_file(
        self,
        path: str | os.PathLike[str],
        *,
        wait: float = 10.0,
        source: Mapping[str, Any] | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Name a file below the service's data roots."""
        return await self._ask(calls.reconstruct_file(path, wait, source, key, options))

    async def reconstruct_upload(
        self,
        path: str | os.PathLike[str],
        *,
        wait: float = 10.0,
        source: Mapping[str, Any] | None = None,
        sent: Sent | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Send a file of this machine as it is."""
        body = await asyncio.to_thread(bodies.of_file, path, sent)
        return await self._ask(calls.reconstruct(body, wait, key, calls.named(path, options), source))

    async def reconstruct_ptychogram(
        self,
        patterns: "ArrayLike",
        positions: "ArrayLike",
        *,
        probe: "ArrayLike | None" = None,
        mask: "ArrayLike | None" = None,
        dark: "ArrayLike | None" = None,
        flat: "ArrayLike | None" = None,
        wait: float = 10.0,
        sent: Sent | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Send a finished ptychographic scan; the job document, finished or not after `wait` seconds."""
        body = await asyncio.to_thread(
            bodies.of_ptychogram, patterns, positions, probe, mask, sent, dark=dark, flat=flat
        )
        return await self._ask(calls.reconstruct_ptychogram(body, wait, key, options))

    async def reconstruct_ptychogram_file(
        self, path: str | os.PathLike[str], *, wait: float = 10.0, key: str | None = None, **options: Any
    ) -> Document:
        """Name a file below the service's data roots that holds one."""
        return await self._ask(calls.reconstruct_ptychogram_file(path, wait, key, options))

    async def reconstruct_ptychogram_upload(
        self,
        path: str | os.PathLike[str],
        *,
        wait: float = 10.0,
        sent: Sent | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Send a file of this machine that holds one as it is."""
        body = await asyncio.to_thread(bodies.of_file, path, sent)
        return await self._ask(calls.reconstruct_ptychogram(body, wait, key, calls.named(path, options)))

    async def submit(self, pattern: "ArrayLike | RawScan", *, key: str | None = None, **options: Any) -> Document:
        """Send a pattern and do not wait."""
        return await self.reconstruct(pattern, wait=0.0, key=key, **options)

    async def submit_file(self, path: str | os.PathLike[str], *, key: str | None = None, **options: Any) -> Document:
        """The same for a file below the service's data roots."""
        return await self.reconstruct_file(path, wait=0.0, key=key, **options)

    async def submit_upload(self, path: str | os.PathLike[str], *, key: str | None = None, **options: Any) -> Document:
        """The same for a file of this machine."""
        return await self.reconstruct_upload(path, wait=0.0, key=key, **options)

    async def job(self, job_id: str) -> Document:
        """The job document as it stands."""
        return await self._ask(calls.job(job_id))

    async def jobs(self, **filters: str | int | None) -> AsyncIterator[Document]:
        """Jobs, newest first: one line each."""
        cursor = None
        while True:
            page = await self._ask(calls.jobs(filters, cursor))
            for line in page["jobs"]:
                yield line
            if (cursor := page["cursor"]) is None:
                return

    async def follow(self, job_id: str) -> AsyncIterator[Event]:
        """What happens to a job, as it happens, up to its end."""
        async for event in self._follow(partial(calls.events, job_id), calls.job(job_id), FINAL):
            yield event

    async def _follow(
        self, events: Callable[[str], Call[None]], now: Call[Document], final: tuple[str, ...]
    ) -> AsyncIterator[Event]:
        following = Following()
        while True:
            try:
                async for event in self._events(events(following.last)):
                    following.heard(event)
                    yield event
                    if event.ends:
                        return
                if (await self._once(now))["state"] in final:
                    return
            except ServiceError as error:
                following.lost(error)
            yield WAITING
            await asyncio.sleep(POLL_S)

    async def wait(
        self,
        job_id: str,
        *,
        progress: Callable[[Event], object] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 # as that of Client
    ) -> Document:
        """The document of a job when it has ended, whether it succeeded or not. progress: told every event."""
        deadline = Deadline(job_id, timeout)
        async for event in self.follow(job_id):
            if progress is not None and event.kind != "waiting":
                progress(event)
            if not event.ends:
                deadline.check()
        return await self.job(job_id)

    async def cancel(self, job_id: str, reason: str = "") -> Document:
        """Cancel a job."""
        return await self._ask(calls.cancel(job_id, reason))

    async def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its arrays."""
        await self._ask(calls.delete(job_id))

    async def result(self, job_id: str, *, revision: int | None = None) -> Result:
        """The arrays and the document of a result."""
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "result.npz"
            await self._fetch(calls.result(job_id, "npz", revision), archive)
            return await asyncio.to_thread(Result.load, archive)

    async def array(
        self, job_id: str, name: str, cut: str | None = None, *, revision: int | None = None
    ) -> "NDArray[np.generic]":
        """One array of a result, or the part that `cut` names, as in "32,:,:"."""
        return await self._ask(calls.array(job_id, name, cut, revision))

    async def preview(self, job_id: str) -> bytes:
        """Three central slices as PNG."""
        return await self._ask(calls.preview(job_id))

    async def save(self, job_id: str, path: str | os.PathLike[str], *, revision: int | None = None) -> None:
        """Write the result in the format that the name's ending asks for."""
        from inphase.formats.atomic import replacing

        form = form_of(path)
        if form is not None:
            with replacing(Path(path)) as partial:
                await self._fetch(calls.result(job_id, form, revision), partial)
            return
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "result.npz"
            await self._fetch(calls.result(job_id, "npz", revision), archive)
            await asyncio.to_thread(write_here, path, archive)

    async def submit_series(
        self,
        scans: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Name files, folders or patterns (or one) below the service's data roots: one job each, in one frame."""
        return await self._ask(calls.submit_series(scans, key, options))

    async def series(self, series_id: str) -> Document:
        """A series with all its scans as they stand."""
        return await self._ask(calls.series(series_id))

    async def series_file(self, series_id: str, form: str) -> bytes:
        """The table of a series (csv), or its page with pictures (html)."""
        return await self._ask(calls.series_file(series_id, form))

    async def cancel_series(self, series_id: str, reason: str = "") -> Document:
        """Cancel what has not ended. reason: stays with the jobs."""
        return await self._ask(calls.cancel_series(series_id, reason))

    async def open_scan(
        self,
        template: "ArrayLike | RawScan",
        frames: int | None = None,
        *,
        probe: "ArrayLike | None" = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Open a live scan, a rocking curve or with kind="ptycho" a ptychographic scan; its document. Frames follow.

        template: one frame (rows, columns) that stands for all: an array of their type, or a scan with the geometry,
        mask and detector maps of the whole scan; its values are not looked at. frames: of the finished scan, None for
        an open end. probe: (rows, columns) or (modes, rows, columns) complex, what is known of the beam of a
        ptychographic scan. options: name, and those of `reconstruct`; of a ptychographic scan unit, energy_kev,
        distance_m, detector_pixel_m, focus_m, and those of `inphase.ptycho.Options`, whose recipe is `refine` here.
        key: as in `reconstruct`.
        """
        opened = await self._ask(calls.open_scan(bodies.of_template(template), frames, key, options))
        if probe is not None:
            try:
                await self._ask(calls.give_probe(opened["id"], bodies.of_probe(probe)))
            except RequestError as refusal:
                try:
                    await self.abort_scan(opened["id"], "its probe was refused")
                except ServiceError as error:
                    refusal.add_note(f"The scan {opened['id']} is still open, as it could not be aborted: {error}")
                raise
        return opened

    async def add_frames(
        self,
        scan_id: str,
        places: Sequence[int],
        frames: "Sequence[NDArray[Any]]",
        positions: "ArrayLike | None" = None,
    ) -> Document:
        """Send frames (rows, columns) of the template's type, in any order; what became of each.

        places: steps on the rocking axis from the first one, 0; of a ptychographic scan any numbers, which join frames
        and positions. positions: of the latter, as in `add_positions`, where they are known with the frames. When this
        returns, they are on the disk of the service. Raises ValueError for frames that are not of one shape and type,
        RequestError where those are not the template's.
        """
        if positions is not None:
            await self.add_positions(scan_id, places, positions)
        return await self._ask(calls.add_frames(scan_id, places, frames))

    async def add_positions(self, scan_id: str, places: Sequence[int], positions: "ArrayLike") -> Document:
        """Send positions (n, 2), (row, column) in the unit of the ptychographic scan; what became of each.

        places: of the frames, which may come before them or after.
        """
        return await self._ask(calls.add_positions(scan_id, bodies.of_positions(places, positions)))

    async def finish_scan(self, scan_id: str, reason: str = "") -> Document:
        """No frame follows: the image of the finished curve is made, as a job that `final` names."""
        return await self._ask(calls.finish_scan(scan_id, reason))

    async def abort_scan(self, scan_id: str, reason: str = "") -> Document:
        """No frame follows, and no image is made any more."""
        return await self._ask(calls.abort_scan(scan_id, reason))

    async def scan(self, scan_id: str) -> Document:
        """A live scan as it stands: what has come, advice, and its looks, newest first."""
        return await self._ask(calls.scan(scan_id))

    async def follow_scan(self, scan_id: str) -> AsyncIterator[Event]:
        """What happens to a live scan, as it happens, up to its end. Raises and goes on as `follow`."""
        async for event in self._follow(partial(calls.scan_events, scan_id), calls.scan(scan_id), SCAN_FINAL):
            yield event

    async def models(self) -> Document:
        """What is installed."""
        return await self._ask(calls.models())

    async def status(self) -> Document:
        """How the service is: queue, workers, memory, store, models."""
        return await self._ask(calls.status())

    async def _ask(self, call: Call[T]) -> T:
        return await self._again(call, lambda: self._once(call))

    async def _again(self, call: Call[Any], attempt: Callable[[], Awaitable[T]]) -> T:
        made = 0
        while True:
            try:
                return await attempt()
            except ServiceError as error:
                made += 1
                pause = self._retries.pause(error, made, repeatable=call.repeatable)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _once(self, call: Call[T]) -> T:
        content = None if call.body is None else call.body.stream()
        with reachable(self._http.base_url):
            answer = await self._http.request(**arguments(call, content))
        check(answer)
        return call.read(answer)

    @asynccontextmanager
    async def _stream(self, call: Call[Any]) -> AsyncIterator[httpx.Response]:
        with reachable(self._http.base_url):
            async with self._http.stream(**arguments(call, None)) as answer:
                if answer.is_error:
                    await answer.aread()
                check(answer)
                yield answer

    async def _events(self, call: Call[None]) -> AsyncIterator[Event]:
        lines = Lines()
        async with self._stream(call) as answer:
            async for line in answer.aiter_lines():
                if (event := lines.event(line)) is not None:
                    yield event

    async def _fetch(self, call: Call[None], path: Path) -> None:
        async def attempt() -> None:
            async with self._stream(call) as answer:
                file = await asyncio.to_thread(path.open, "wb")
                try:
                    async for chunk in answer.aiter_bytes(_CHUNK):
                        await asyncio.to_thread(file.write, chunk)
                finally:
                    await asyncio.to_thread(file.close)

        await self._again(call, attempt)
