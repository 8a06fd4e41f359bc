"""The client that waits for its answers."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


class Client:
    """A connection to one service. key: of its owner. transport: for tests.

    Every method raises ServiceError where the service refuses or cannot be reached.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        retries: Retries = _RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**settings(url, key), transport=transport)
        self._retries = retries

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
        sent: Sent | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Send a pattern (rocking, row, column); the job document, finished or not after `wait` seconds.

        An array, or what numpy makes one of (nested lists, a dataset of h5py), of real numbers; of a masked array the
        mask goes too. A scan that was read from a file goes with all that is known of it, its geometry, mask and
        detector maps, as npz; a plain array as npy.
        Raises TypeError for what is no such array.
        options: model, domain, preprocess, refine, start, starts, seed, grid, priority, reuse. sent: told bytes sent
        and bytes in all. key: any text that is new for each measurement; a call repeated with it, after an answer that
        did not come, is one job.
        """
        return self._ask(calls.reconstruct(bodies.of_pattern(pattern, sent), wait, key, options))

    def reconstruct_file(
        self,
        path: str | os.PathLike[str],
        *,
        wait: float = 10.0,
        source: Mapping[str, Any] | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Name a file below the service's data roots. source: how it is read, by the names of `inphase.read`.
        options, key: as in `reconstruct`.
        """
        return self._ask(calls.reconstruct_file(path, wait, source, key, options))

    def reconstruct_upload(
        self,
        path: str | os.PathLike[str],
        *,
        wait: float = 10.0,
        source: Mapping[str, Any] | None = None,
        sent: Sent | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Send a file of this machine as it is: npy, npz, HDF5, NeXus, CXI, MATLAB or TIFF.

        source: how it is read, by the names of `inphase.read`. options, sent, key: as in `reconstruct`; the `name` of
        the job is that of the file, unless given. Raises ValueError for another ending, OSError.
        """
        return self._ask(calls.reconstruct(bodies.of_file(path, sent), wait, key, calls.named(path, options), source))

    def reconstruct_ptychogram(
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
        """Send a finished ptychographic scan; the job document, finished or not after `wait` seconds.

        patterns: (n, rows, columns) counts. positions: (n, 2), (row, column). probe: (rows, columns) or (modes, rows,
        columns) complex. mask: (rows, columns) or (n, rows, columns), what is not zero is unknown. dark, flat:
        (rows, columns), what the detector shows without beam and in even light; the service applies them. options:
        unit, energy_kev, distance_m, detector_pixel_m, focus_m, those of `inphase.ptycho.Options`, whose recipe is
        `refine` here, priority, reuse. sent, key: as in `reconstruct`.
        """
        body = bodies.of_ptychogram(patterns, positions, probe, mask, sent, dark=dark, flat=flat)
        return self._ask(calls.reconstruct_ptychogram(body, wait, key, options))

    def reconstruct_ptychogram_file(
        self, path: str | os.PathLike[str], *, wait: float = 10.0, key: str | None = None, **options: Any
    ) -> Document:
        """Name a file below the service's data roots that holds one, as `inphase.ptycho.read` reads it. options, key:
        as in `reconstruct_ptychogram`.
        """
        return self._ask(calls.reconstruct_ptychogram_file(path, wait, key, options))

    def reconstruct_ptychogram_upload(
        self,
        path: str | os.PathLike[str],
        *,
        wait: float = 10.0,
        sent: Sent | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Send a file of this machine as it is: npz, HDF5, NeXus, CXI or ptyd. options, sent, key: as in
        `reconstruct_ptychogram`. Raises as `reconstruct_upload`.
        """
        return self._ask(
            calls.reconstruct_ptychogram(bodies.of_file(path, sent), wait, key, calls.named(path, options))
        )

    def submit(self, pattern: "ArrayLike | RawScan", *, key: str | None = None, **options: Any) -> Document:
        """Send a pattern and do not wait: the document of the accepted job, which fails where its data cannot be used.

        key: as in `reconstruct`.
        """
        return self.reconstruct(pattern, wait=0.0, key=key, **options)

    def submit_file(self, path: str | os.PathLike[str], *, key: str | None = None, **options: Any) -> Document:
        """The same for a file below the service's data roots. options: those of `reconstruct_file`."""
        return self.reconstruct_file(path, wait=0.0, key=key, **options)

    def submit_upload(self, path: str | os.PathLike[str], *, key: str | None = None, **options: Any) -> Document:
        """The same for a file of this machine. options: those of `reconstruct_upload`."""
        return self.reconstruct_upload(path, wait=0.0, key=key, **options)

    def job(self, job_id: str) -> Document:
        """The job document as it stands."""
        return self._ask(calls.job(job_id))

    def jobs(self, **filters: str | int | None) -> Iterator[Document]:
        """Jobs, newest first: one line each. filters: state, series, owner, model, trust, since, until."""
        cursor = None
        while True:
            page = self._ask(calls.jobs(filters, cursor))
            yield from page["jobs"]
            if (cursor := page["cursor"]) is None:
                return

    def follow(self, job_id: str) -> Iterator[Event]:
        """What happens to a job, as it happens, up to its end.

        A stream that breaks off, because the service restarts or the network does, is taken up after the last event.
        Raises ServiceError where the job is unknown, or the service stays away for a minute.
        """
        return self._follow(partial(calls.events, job_id), calls.job(job_id), FINAL)

    def _follow(
        self, events: Callable[[str], Call[None]], now: Call[Document], final: tuple[str, ...]
    ) -> Iterator[Event]:
        following = Following()
        while True:
            try:
                for event in self._events(events(following.last)):
                    following.heard(event)
                    yield event
                    if event.ends:
                        return
                # ended without the job's end: the service leaves, its Redis is away, or the end was heard before
                if self._once(now)["state"] in final:
                    return
            except ServiceError as error:
                following.lost(error)
            yield WAITING
            time.sleep(POLL_S)

    def wait(
        self, job_id: str, *, progress: Callable[[Event], object] | None = None, timeout: float | None = None
    ) -> Document:
        """The document of a job when it has ended, whether it succeeded or not. progress: told every event.

        Raises TimeoutError after `timeout` seconds; the job goes on.
        """
        deadline = Deadline(job_id, timeout)
        for event in self.follow(job_id):
            if progress is not None and event.kind != "waiting":
                progress(event)
            if not event.ends:
                deadline.check()
        return self.job(job_id)

    def cancel(self, job_id: str, reason: str = "") -> Document:
        """Cancel a job. reason: why, for the job document."""
        return self._ask(calls.cancel(job_id, reason))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its arrays.

        Raises ConflictError where it has not ended.
        """
        self._ask(calls.delete(job_id))

    def result(self, job_id: str, *, revision: int | None = None) -> Result:
        """The arrays and the document of a result. revision: as in `save`.

        Raises ConflictError where the job has none, and says why.
        """
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "result.npz"
            self._fetch(calls.result(job_id, "npz", revision), archive)
            return Result.load(archive)

    def array(
        self, job_id: str, name: str, cut: str | None = None, *, revision: int | None = None
    ) -> "NDArray[np.generic]":
        """One array of a result, or the part that `cut` names, as in "32,:,:". revision: None for the newest one."""
        return self._ask(calls.array(job_id, name, cut, revision))

    def preview(self, job_id: str) -> bytes:
        """Three central slices as PNG: of the newest image that the job has.
        MissingError where there is none yet.
        """
        return self._ask(calls.preview(job_id))

    def save(self, job_id: str, path: str | os.PathLike[str], *, revision: int | None = None) -> None:
        """Write the result in the format that the name's ending asks for (inphase.formats.writers).

        revision: None for the newest one, which before the job's end is the network's image.
        `path` then holds all of it, or what it held before. Raises DataError for an unknown ending, before it is
        fetched.
        """
        from inphase.formats.atomic import replacing

        form = form_of(path)
        if form is not None:
            with replacing(Path(path)) as partial:
                self._fetch(calls.result(job_id, form, revision), partial)
            return
        with tempfile.TemporaryDirectory() as folder:  # what is a folder is made here
            archive = Path(folder) / "result.npz"
            self._fetch(calls.result(job_id, "npz", revision), archive)
            write_here(path, archive)

    def submit_series(
        self,
        scans: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        key: str | None = None,
        **options: Any,
    ) -> Document:
        """Name files, folders or patterns (or one) below the service's data roots: one job each, in one frame.

        options: name, those of `reconstruct`, and reading: how all are read, a mapping with the names of
        `inphase.read`.
        """
        return self._ask(calls.submit_series(scans, key, options))

    def series(self, series_id: str) -> Document:
        """A series with all its scans as they stand."""
        return self._ask(calls.series(series_id))

    def series_file(self, series_id: str, form: str) -> bytes:
        """The table of a series (csv), or its page with pictures (html)."""
        return self._ask(calls.series_file(series_id, form))

    def cancel_series(self, series_id: str, reason: str = "") -> Document:
        """Cancel what has not ended. reason: stays with the jobs."""
        return self._ask(calls.cancel_series(series_id, reason))

    def open_scan(
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
        distance_m, detector_pixel_m, focus_m, model, and those of `inphase.ptycho.Options`, whose recipe is `refine`
        here. key: as in `reconstruct`. A scan whose probe is refused is aborted.
        """
        opened = self._ask(calls.open_scan(bodies.of_template(template), frames, key, options))
        if probe is not None:
            try:
                self._ask(calls.give_probe(opened["id"], bodies.of_probe(probe)))
            except RequestError as refusal:
                try:
                    self.abort_scan(opened["id"], "its probe was refused")
                except ServiceError as error:
                    refusal.add_note(f"The scan {opened['id']} is still open, as it could not be aborted: {error}")
                raise
        return opened

    def add_frames(
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
            self.add_positions(scan_id, places, positions)
        return self._ask(calls.add_frames(scan_id, places, frames))

    def add_positions(self, scan_id: str, places: Sequence[int], positions: "ArrayLike") -> Document:
        """Send positions (n, 2), (row, column) in the unit of the ptychographic scan; what became of each.

        places: of the frames, which may come before them or after.
        """
        return self._ask(calls.add_positions(scan_id, bodies.of_positions(places, positions)))

    def finish_scan(self, scan_id: str, reason: str = "") -> Document:
        """No frame follows: the image of the finished curve is made, as a job that `final` names."""
        return self._ask(calls.finish_scan(scan_id, reason))

    def abort_scan(self, scan_id: str, reason: str = "") -> Document:
        """No frame follows, and no image is made any more."""
        return self._ask(calls.abort_scan(scan_id, reason))

    def scan(self, scan_id: str) -> Document:
        """A live scan as it stands: what has come, advice, and its looks, newest first."""
        return self._ask(calls.scan(scan_id))

    def follow_scan(self, scan_id: str) -> Iterator[Event]:
        """What happens to a live scan, as it happens, up to its end. Raises and goes on as `follow`."""
        return self._follow(partial(calls.scan_events, scan_id), calls.scan(scan_id), SCAN_FINAL)

    def models(self) -> Document:
        """What is installed."""
        return self._ask(calls.models())

    def status(self) -> Document:
        """How the service is: queue, workers, memory, store, models."""
        return self._ask(calls.status())

    def _ask(self, call: Call[T]) -> T:
        return self._again(call, lambda: self._once(call))

    def _again(self, call: Call[Any], attempt: Callable[[], T]) -> T:
        """What an attempt gives; it is made again as long as that is safe."""
        made = 0
        while True:
            try:
                return attempt()
            except ServiceError as error:
                made += 1
                pause = self._retries.pause(error, made, repeatable=call.repeatable)
                if pause is None:
                    raise
            time.sleep(pause)

    def _once(self, call: Call[T]) -> T:
        content = None if call.body is None else call.body.chunks()
        with reachable(self._http.base_url):
            answer = self._http.request(**arguments(call, content))
        check(answer)
        return call.read(answer)

    @contextmanager
    def _stream(self, call: Call[Any]) -> Iterator[httpx.Response]:
        with reachable(self._http.base_url), self._http.stream(**arguments(call, None)) as answer:
            if answer.is_error:
                answer.read()
            check(answer)
            yield answer

    def _events(self, call: Call[None]) -> Iterator[Event]:
        lines = Lines()
        with self._stream(call) as answer:
            for line in answer.iter_lines():
                if (event := lines.event(line)) is not None:
                    yield event

    def _fetch(self, call: Call[None], path: Path) -> None:
        def attempt() -> None:
            with self._stream(call) as answer, path.open("wb") as file:
                for chunk in answer.iter_bytes(_CHUNK):
                    file.write(chunk)

        self._again(call, attempt)
