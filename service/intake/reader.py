"""Reads the data of accepted jobs, asks the network for a first image, and lets a worker refine it.

A request that waits has its job read at once, by its own thread. Everything else, the scans of series above all, is
read by `run`, one job after the other, and only so far ahead of the workers that it neither fills the store nor delays
what is asked meanwhile. What is urgent, as the looks at live scans are, has a line of its own beside that. What is
being read stands in Redis: a service that dies leaves it to the next one.
"""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

import anyio
import anyio.to_thread
from structlog.contextvars import bound_contextvars

from inphase.errors import CancelledError, InphaseError
from inphase.formats import Limits, RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import NO_REFINEMENT
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.report import Report, Series
from inphase.imaging.way import begin, judge
from inphase.ptycho import parts
from inphase.ptycho.measurement import Measurement
from service.document import Ptychography
from service.door.budget import Budget, Share, carried_bytes, working_bytes
from service.errors import below_roots, kind
from service.inference.networks import Networks
from service.intake.acceptance import Intake
from service.intake.drawing import begun
from service.intake.sources import FileSource, load, load_ptychogram
from service.intake.submission import (
    UPLOAD,
    LiveFrames,
    PtychogramFile,
    Sent,
    Submission,
    Upload,
    uploaded,
)
from service.jobs.entry import JobRecord
from service.jobs.errors import QueueUnavailableError, StoreError, UnknownSeriesError
from service.jobs.record import Records
from service.jobs.series import SeriesRecords
from service.jobs.state import JobState, Priority
from service.jobs.store import Arrays, Store
from service.logs import log
from service.sandbox.sandbox import Sandbox
from service.scans.live import LiveScans
from service.series.document import SeriesOrder
from service.series.frame import Frame
from service.settings import Settings
from service.tracing import Tracing

_AHEAD: Final = 8  # queued jobs beyond which nothing more is read ahead
_PASSING: Final = (429, 503, 507)  # what has these statuses is no fault of the data: they are read again later
_STORE_REST_S: Final = 5.0  # nothing is read ahead for so long after the store has failed: it would be for nothing
_LOOK_S: Final = 0.5
_ANNOUNCE_S: Final = 1.0
_STOP_S, _STOP_LOOK_S = 5.0, 0.05


class Line:
    """Jobs of these priorities are read one after the other. asked: set when one may have come."""

    def __init__(self, priorities: tuple[Priority, ...]) -> None:
        self.priorities = priorities
        self.asked = asyncio.Event()
        self.one = anyio.CapacityLimiter(1)  # beside the slots of requests: what is read ahead never takes one


class Reader:
    """One a service. `run` and `announce` never end by themselves. news: set whenever a job was read here."""

    def __init__(
        self,
        settings: Settings,
        networks: Networks,
        records: Records,
        series: SeriesRecords,
        store: Store,
        intake: Intake,
        sandbox: Sandbox,
        budget: Budget,
        live: LiveScans,
        news: asyncio.Event,
        tracing: Tracing,
    ) -> None:
        self._settings, self._networks, self._store = settings, networks, store
        self._records, self._series, self._intake = records, series, intake
        self._sandbox, self._budget, self._live, self._tracing = sandbox, budget, live, tracing
        self._active: set[str] = set()  # tokens of the jobs that are being read
        self._leaving = False
        self._rest_until = 0.0
        self._news = news
        self._lines = (Line(tuple(Priority)), Line((Priority.HIGH,)))

    def wake(self) -> None:
        """A job has come that no request reads."""
        for line in self._lines:
            line.asked.set()

    async def announce(self) -> None:
        """Say which jobs are being read here, so that others leave them alone."""
        while True:
            if tokens := tuple(self._active):
                try:
                    await anyio.to_thread.run_sync(self._records.announce_readers, tokens)
                except QueueUnavailableError as error:  # the others cannot look either
                    log.warning("Redis does not hear what is read here", why=str(error))
                except Exception:  # without this task what is read counts as lost
                    log.exception("Redis does not hear what is read here")
            await asyncio.sleep(_ANNOUNCE_S)

    async def run(self) -> None:
        """Read accepted jobs until cancelled."""
        await asyncio.gather(*(self._run(line) for line in self._lines))

    async def _run(self, line: Line) -> None:
        while True:
            line.asked.clear()
            try:
                read = await anyio.to_thread.run_sync(self.read_next, line.priorities, limiter=line.one)
            except QueueUnavailableError as error:
                log.warning("accepted jobs wait to be read", why=str(error))
                read = False
            except Exception:
                log.exception("a job could not be read")
                read = False
            if read:
                self._news.set()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await line.asked.wait()

    async def stop(self) -> None:
        """Let what is being read come to its end, for a few seconds; the rest is left to the next service."""
        end = time.monotonic() + min(_STOP_S, self._settings.drain_s)
        announcing = asyncio.create_task(self.announce())
        while self._active and time.monotonic() < end:  # noqa: ASYNC110  # threads set no event
            await asyncio.sleep(_STOP_LOOK_S)
        self._leaving = True
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)

    def read_next(self, priorities: Sequence[Priority] = tuple(Priority)) -> bool:
        """Read one accepted job of these priorities, the most urgent first; whether there was one and room for it."""
        if time.monotonic() < self._rest_until:
            return False
        self._records.reclaim()
        self._complete_series()
        if self._records.count(JobState.QUEUED) >= _AHEAD or (job_id := self._records.unread(priorities)) is None:
            return False
        token = self.take(job_id)
        return token is None or self._read_alone(job_id, token)  # where another was quicker, there may be more

    def take(self, job_id: str) -> str | None:
        """Begin to read a job: the token that stands for this attempt,
        None where another was quicker or it has ended.
        """
        token = new_token()
        return token if self._records.take(job_id, token) else None

    @contextmanager
    def reading(self, token: str) -> Iterator[None]:
        """Others leave the job alone while the block lasts, also while its reading waits for its turn."""
        self._active.add(token)
        try:
            yield
        finally:
            self._active.discard(token)

    def read(self, job_id: str, token: str, clock: Clock, share: Share, scan: Sent | None = None) -> JobRecord:
        """Read a job that was taken (inside `reading`), and hand it out or end it; its record then.

        share: holds the memory that it takes. scan: what was sent, where it is still in memory. Whatever is raised
        leaves the job to the caller: see `give_up`.
        """
        record = self._records.get(job_id)
        with self._tracing.span("read job", "consumer", record.traceparent, inphase__job=job_id) as span:
            try:
                return self._read(record, token, clock, share, scan)
            finally:
                span.stages(clock.laps)

    def _read(self, record: JobRecord, token: str, clock: Clock, share: Share, scan: Sent | None) -> JobRecord:
        submission = Submission.model_validate_json(record.asked)
        clock.ms.setdefault("receive", submission.receive_ms)
        if submission.ptychography is not None:
            with clock("decode"):
                arrays, told = self._ptychogram(record, submission, share, scan)
            return self._intake.hand_out_scan(record, token, arrays, told, reuse=submission.options.reuse)
        assert scan is None or isinstance(scan, RawScan)
        prepared, report = self._begin(record, submission, clock, share, scan)
        if report.recipe.refine == NO_REFINEMENT:
            frame = Frame(self._store, record.series, record.job_id) if record.series else None
            result = judge(prepared, report, prepared.guess, clock, frame=frame)
            with clock("encode"):
                return self._intake.keep(record, token, result)
        return self._intake.hand_out(record, token, prepared, report, reuse=submission.options.reuse)

    def give_up(self, job_id: str, token: str, error: BaseException) -> bool:
        """What becomes of a job whose sender is not there to be told. False where it is to be read again later."""
        if self._leaving:
            return False  # nobody says any more that it is being read: the next service reads it
        if isinstance(error, InphaseError) and _passes(error):
            log.warning("a job is given back", job=job_id, why=str(error))
            if isinstance(error, StoreError):
                self._rest_until = time.monotonic() + _STORE_REST_S
            self._records.give_back(job_id, token)
            return False
        self._intake.fail(job_id, token, reason(error, self._settings.data_roots))
        return True

    def _read_alone(self, job_id: str, token: str) -> bool:
        try:
            record = self._records.get(job_id)
            about = bound_contextvars(job=job_id, owner=record.owner, request_id=record.request_id)
            with about, self.reading(token), self._budget.share(record.owner) as share:
                self.read(job_id, token, Clock(), share)
        except CancelledError as error:
            if self._records.cancelled(job_id):
                self._intake.fail(job_id, token, str(error))  # its reason is the cancellation's
            return True
        except Exception as error:
            if not self._leaving and not isinstance(error, InphaseError | MemoryError | OSError):
                log.exception("a job could not be read", job=job_id)
            return self.give_up(job_id, token, error)
        return True

    def _begin(
        self, record: JobRecord, submission: Submission, clock: Clock, share: Share, scan: RawScan | None
    ) -> tuple[PreparedPattern, Report]:
        options = submission.options.imaging()
        network = self._networks.get(options.model, record.owner) if options.asks_network else None
        look, earlier, stops = None, None, None
        with clock("decode"):
            if isinstance(submission.source, LiveFrames):
                scan, look, earlier = self._live.measurement(submission.source, share)
                stops = partial(self._records.cancelled, record.job_id)  # the last look takes the place of this one
            elif scan is None:
                scan = self._data(record.job_id, submission, share)
        prepared, report = begin(scan, options, network, clock, look=look, earlier=earlier, cancelled=stops)
        if record.series:
            report = replace(report, series=Series(record.series, self._number(record)))
        return prepared, replace(report, timings_ms=clock.rounded())

    def _data(self, job_id: str, submission: Submission, share: Share) -> RawScan:
        source = submission.source
        assert isinstance(source, FileSource | Upload)  # of the others, self._live and self._ptychogram have the data
        if isinstance(source, Upload):
            scan = uploaded(self._store.read(job_id, UPLOAD))
            share.grow_to(working_bytes(scan.array.size, scan.array.nbytes))
            return scan
        limits = Limits(self._settings.bounds.array_bytes, submission.readable(self._settings.data_roots))
        return load(source, submission.options.domain, limits, self._sandbox, share)

    def _ptychogram(
        self, record: JobRecord, submission: Submission, share: Share, sent: Sent | None
    ) -> tuple[Arrays, Ptychography]:
        """What the worker of a ptychographic job reads, and what is told of it."""
        source, asked = submission.source, submission.ptychography
        assert asked is not None
        if isinstance(source, LiveFrames):
            networks = partial(self._networks.get, owner=record.owner)
            return self._live.ptychogram(source, asked.ptycho(), share, networks)
        measured = sent
        if isinstance(source, PtychogramFile):
            limits = Limits(self._settings.bounds.array_bytes, submission.readable(self._settings.data_roots))
            measured = load_ptychogram(source.path, source.given(), limits, self._sandbox, share)
        elif measured is None:
            measured = parts.from_arrays(self._store.read(record.job_id, UPLOAD))
            share.grow_to(carried_bytes(measured.patterns.size, measured.patterns.nbytes))
        assert isinstance(measured, Measurement)
        arrays, told = parts.arrays_of(measured), Ptychography(asked.ptycho(), source=measured.source)
        if (model := submission.options.model) is None:
            return arrays, told
        return begun(arrays, told, measured, self._networks.get(model, record.owner), share)

    def _number(self, record: JobRecord) -> int:
        jobs = self._series.get(record.series).jobs
        return next(scan for scan, job_id in jobs.items() if job_id == record.job_id)

    def _complete_series(self) -> None:
        """Make jobs of what a service that died has left undone."""
        for series_id in self._series.open():
            try:
                record = self._series.get(series_id)
            except UnknownSeriesError:
                self._series.close_series(series_id)
                continue
            if record.cancelled:
                self._series.close_series(series_id)
            else:
                order = SeriesOrder.model_validate_json(record.order)
                self._intake.accept_scans(series_id, order.submissions(), record.origin)


def _passes(error: InphaseError) -> bool:
    found = kind(error)
    return found.status in _PASSING and not found.lasting


def new_token() -> str:
    """Stands for one attempt to read one job."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"


def reason(error: BaseException, roots: Sequence[Path]) -> str:
    """Why a job failed, for people; paths begin below the data roots."""
    if isinstance(error, InphaseError):
        return below_roots(str(error), roots)
    if isinstance(error, MemoryError):
        return "out of memory: the scan is too large for this service"
    if isinstance(error, OSError):
        return below_roots(f"{error.filename or 'system'}: {error.strerror or error}", roots)
    return f"internal error: {type(error).__name__}: {error}"
