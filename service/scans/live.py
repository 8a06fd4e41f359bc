"""What becomes of live scans: looks while frames come, the last look when they have ended.

A look is a job like any other, whose data are the frames that have come. One is at work at a time, and the next takes
everything that has arrived meanwhile, so looks never pile up, however fast frames come.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from inphase.errors import DataError, InphaseError
from inphase.formats import RawScan
from inphase.imaging.earlier import Earlier
from inphase.imaging.report import Look
from inphase.live.awaited import Awaited
from inphase.live.curve import Curve
from inphase.models.prediction import Network
from inphase.models.repository import ModelError, UnknownModelError
from inphase.models.session import Sessions
from inphase.ptycho.options import Options
from service.document import JobDocument, Ptychography
from service.door.budget import Share, carried_bytes, working_bytes
from service.errors import ApiError
from service.intake.acceptance import Intake
from service.intake.drawing import begun
from service.intake.submission import LiveFrames, Sender
from service.jobs.entry import JobRecord, Origin, Repeatable
from service.jobs.errors import (
    DocumentError,
    QueueUnavailableError,
    StoreError,
    UnknownJobError,
    UnknownScanError,
)
from service.jobs.ptychogram import measured_of
from service.jobs.record import Records
from service.jobs.scans import FINAL, LookJob, ScanRecord, ScanRecords
from service.jobs.state import JobState, ScanState
from service.jobs.store import Arrays, Store
from service.logs import log
from service.scans.document import LookPart, ScanDocument, looks_of
from service.scans.frames import Archive
from service.scans.kind import Came, Kind
from service.scans.order import KindName, PtychoOrder, ScanOrder, order_of
from service.scans.ptycho import Known, Ptycho
from service.scans.rocking import Rocking
from service.settings import Bounds

_TELLING_S: Final = 0.2  # between two events that say which frames have come: a stream holds a thousand of all kinds
_LOOK_S: Final = 1.0  # that a look takes, or somewhat less
_FRAMES_KEPT: Final = (JobState.FAILED, JobState.CANCELLED)  # of the last look: then they are needed once more


class LiveScans:
    """All live scans of a service. Blocks: asyncio code calls it in a thread. Any number of services may attend to the
    same scans: what one of them does, the others find done.
    """

    def __init__(
        self,
        scans: ScanRecords,
        records: Records,
        store: Store,
        intake: Intake,
        sessions: Sessions,
        bounds: Bounds,
    ) -> None:
        self.records = scans
        self.archive = Archive(store, scans, intake, bounds)
        self._jobs, self._store, self._intake, self._bounds = records, store, intake, bounds
        self._ptycho = Ptycho(sessions)
        self._kinds: Mapping[KindName, Kind[Any]] = {"rocking": Rocking(sessions), "ptycho": self._ptycho}
        self._awaited: dict[str, Awaited] = {}
        self._came: dict[str, Came] = {}  # of open scans, as they were read last: what came never changes
        self._ended: dict[str, dict[str, LookPart]] = {}  # looks of open scans that have ended, by job
        self._told: dict[str, float] = {}  # when something was told of the frames of open scans (time.monotonic())

    def kind(self, order: ScanOrder) -> Kind[Any]:
        """What is known of scans of this kind."""
        return self._kinds[order.kind]

    def open(
        self, awaited: Awaited, order: ScanOrder, origin: Origin, repeatable: Repeatable | None = None
    ) -> ScanRecord:
        """Accept a scan: its template is on the disk when this returns. Raises ApiError 429, StoreFullError."""
        owner = origin.owner
        opened = [name for name in self.records.open() if self._owned(name, owner)]
        if len(opened) >= self._bounds.open_scans:
            raise ApiError(
                429,
                f"{len(opened)} live scans of {owner or 'this owner'} are open, and one owner may have "
                f"{self._bounds.open_scans}: finish or abort one of them",
            )
        self.kind(order).prepare(order)
        scan_id = uuid4().hex
        self.archive.open(scan_id, awaited)
        try:
            record = self.records.create(scan_id, order.model_dump_json(by_alias=True).encode(), origin, repeatable)
        except BaseException:
            self.archive.forget(scan_id)
            raise
        if record.scan_id != scan_id:
            self.archive.forget(scan_id)
        return record

    def finish(self, scan_id: str, reason: str = "", by: str = "") -> ScanRecord:
        """No frame follows: the last look is made of what is there. May be repeated. by: who asks.

        Raises ApiError 409 where the scan was aborted, or no frame has come.
        """
        record = self.records.get(scan_id)
        if record.state is ScanState.ABORTED:
            raise ApiError(409, f"scan {scan_id} was aborted: there is nothing to finish")
        if not record.counted.received:
            raise ApiError(409, f"no frame of scan {scan_id} has come: there is nothing to look at; abort it instead")
        self.records.move(scan_id, ScanState.FINISHING, reason, by)
        with suppress(ApiError):  # too many jobs wait: the last look is asked for when there is room
            self.attend(scan_id)
        return self.records.get(scan_id)

    def abort(self, scan_id: str, reason: str, by: str = "") -> ScanRecord:
        """Nothing more is made of the scan; looks that have ended stay. by: who asks.

        Raises ApiError 409 where it has ended.
        """
        before = self.records.get(scan_id)
        if not self.records.move(scan_id, ScanState.ABORTED, reason, by) and before.state is not ScanState.ABORTED:
            raise ApiError(409, f"scan {scan_id} is {before.state} already: there is nothing to abort")
        self._cancel(self._looks(self.records.get(scan_id)), f"the scan was aborted: {reason}")
        self.archive.forget(scan_id)
        return self.records.get(scan_id)

    def attend_all(self) -> None:
        """Look at every scan that something happens to. What goes wrong with one of them is logged and tried again the
        next time. Raises QueueUnavailableError.
        """
        opened = self.records.open()
        self._came = {scan_id: came for scan_id, came in self._came.items() if scan_id in opened}
        self._awaited = {scan_id: awaited for scan_id, awaited in self._awaited.items() if scan_id in opened}
        self._ended = {scan_id: ended for scan_id, ended in self._ended.items() if scan_id in opened}
        self._told = {scan_id: told for scan_id, told in self._told.items() if scan_id in opened}
        for scan_id in opened:
            try:
                self.attend(scan_id)
            except UnknownScanError:
                self.records.remove(scan_id)
            except QueueUnavailableError:
                raise  # nothing can be done for the others either
            except InphaseError as error:
                log.warning("a live scan waits", scan=scan_id, why=str(error))
            except Exception:  # of this scan alone: the others do not wait for it
                log.exception("a live scan waits", scan=scan_id)

    def awaited(self, record: ScanRecord) -> Awaited:
        """What was known of a scan before its frames came. Raises StoreError where it is gone."""
        known = self._awaited.get(record.scan_id)
        if known is None:
            order = order_of(record.order)
            known = self.kind(order).awaited(order, self.archive.template(record.scan_id))
            self._awaited[record.scan_id] = known
        return known

    def came(self, record: ScanRecord) -> Came:
        """What is known of the frames and positions that have come."""
        known = self._came.get(record.scan_id, Came())
        counted = record.counted
        if len(known.frames) < counted.received or len(known.positions) < counted.placed:
            frames = self.records.frames(record.scan_id, len(known.frames))
            positions = self.records.positions(record.scan_id, len(known.positions))
            known = Came({**known.frames, **frames}, {**known.positions, **positions})
            if len(known.frames) < counted.received:  # of a scan that an earlier version opened
                known = Came(self.records.frames(record.scan_id), known.positions)
            self._came[record.scan_id] = known
        return known

    def document(self, record: ScanRecord) -> ScanDocument:
        """A scan as it stands."""
        order = order_of(record.order)
        return self.kind(order).document(record, order, self.came(record), looks_of(record, self._jobs))

    def attend(self, scan_id: str) -> None:
        """Do what is due for a scan: a look, the last look, its end; and tell those who follow it what is new."""
        record = self.records.get(scan_id)
        order = order_of(record.order)
        looks = self._looks(record)
        self._tell(record, order, looks)
        working = [look for look in looks if not look.state.final]
        if record.state is ScanState.FINISHING:
            self._finish(record, order, looks, working)
        elif record.state is ScanState.OPEN and not self._given_up(record) and not working:
            self._look(record, order, looks)

    def sweep(self, oldest: float) -> None:
        """Forget scans that ended before this time."""
        for scan_id in self.records.ended_before(oldest):
            self.archive.forget(scan_id)
            self.records.remove(scan_id)

    def measurement(self, source: LiveFrames, share: Share) -> tuple[RawScan, Look, Earlier | None]:
        """The data of a look at a rocking curve, which look it is, and the image of the one before.

        Raises StoreError, UnknownScanError. share: holds the memory that work on them takes, before they are read.
        """
        record = self.records.get(source.scan)
        order = order_of(record.order)
        curve = self.awaited(record)
        assert isinstance(curve, Curve)
        places = max(self.archive.places(source.scan), default=0) + 1 if order.frames is None else order.frames
        pixels = curve.template.array
        share.grow_to(working_bytes(places * pixels.size, 2 * places * pixels.nbytes))
        frames = self.archive.frames(source.scan)
        look = Look(source.scan, source.look, len(frames), order.frames, source.final)
        scan = replace(curve.scan(frames, reached=not source.final), source=order.name or f"live scan {source.scan}")
        return scan, look, None if source.final else self._earlier(record)

    def ptychogram(
        self, source: LiveFrames, options: Options, share: Share, networks: Callable[[str], Network]
    ) -> tuple[Arrays, Ptychography]:
        """What the worker of a look at a ptychographic scan reads, and what is told of it. Raises DataError,
        UnknownScanError.

        share: holds the memory of mask, maps and probe, which are part of it. networks: by name. One that does not fit
        the frames takes no image away: the look begins without it, and its note says why.
        """
        record = self.records.get(source.scan)
        order = order_of(record.order)
        assert isinstance(order, PtychoOrder)
        extra = self.archive.extra(record, self.awaited(record))
        share.grow_to(2 * sum(array.nbytes for array in extra.values()))  # as they are, and as they are written
        known = Known() if source.final else self._known(record)
        arrays, told = self._ptycho.input(record, order, self.came(record), source, options, known, extra)
        if order.model is None or "earlier" in arrays:
            return arrays, told
        frame, count = self.awaited(record).template.array, len(arrays["places"])
        try:
            share.grow_to(share.held + carried_bytes(count * frame.size, count * frame.nbytes))
            measured = measured_of(self._store, source.scan, arrays, told.source, whole=source.final)
            return begun(arrays, told, measured, networks(order.model), share)
        except (DataError, ModelError, UnknownModelError) as error:
            return arrays, told.unbegun(order.model, error)

    def give_probe(self, record: ScanRecord, probe: NDArray[np.complex64]) -> None:
        """Keep the guess of the probe of a ptychographic scan. Raises as `Archive.give_probe`, and DataError where the
        network that the scan names knows another beam.
        """
        order = order_of(record.order)
        assert isinstance(order, PtychoOrder)
        self._ptycho.check_probe(order, probe)
        self.archive.give_probe(record.scan_id, probe)

    def _looks(self, record: ScanRecord) -> list[LookPart]:
        """The looks of a scan, in order; those that had ended when they were read before are not read again."""
        ended = self._ended.setdefault(record.scan_id, {})
        looks = looks_of(record, self._jobs, ended)
        ended |= {look.job: look for look in looks if look.state.final}
        return looks

    def _owned(self, scan_id: str, owner: str) -> bool:
        try:
            return self.records.get(scan_id).owner == owner
        except UnknownScanError:
            return False

    def _earlier(self, record: ScanRecord) -> Earlier | None:
        """The image of the newest look that has succeeded."""
        for job in self._succeeded(record):
            try:
                done = JobDocument.from_json(job.document).reported.preprocess
                return Earlier(self._store.read(job.job_id, job.result)["object"], done)
            except (StoreError, DocumentError):
                continue  # expired: an older one may still be there
        return None

    def _known(self, record: ScanRecord) -> Known:
        """The same of a ptychographic scan."""
        for job in self._succeeded(record):
            try:
                places = self._store.read(job.job_id, job.result, only=("ids",))["ids"]
            except StoreError:
                continue
            return Known(job.job_id, job.result, places.astype(np.int64))
        return Known()

    def _succeeded(self, record: ScanRecord) -> Iterator[JobRecord]:
        """The looks that have, newest first."""
        for look in reversed(list(record.looks.values())):
            with suppress(UnknownJobError):
                job = self._jobs.get(look.job_id)
                if job.state is JobState.SUCCEEDED:
                    yield job

    def _given_up(self, record: ScanRecord) -> bool:
        """Whether the scan was ended because nothing comes any more."""
        silent = self.records.now() - record.touched
        if silent < self._bounds.scan_idle_s:
            return False
        why = f"no frame has come for {silent:.0f} s"
        if record.counted.received:
            self.finish(record.scan_id, f"{why}: finished with what is there")
        else:
            self.abort(record.scan_id, why)
        return True

    def _look(self, record: ScanRecord, order: ScanOrder, looks: list[LookPart]) -> None:
        """Make a look where there is something new to be seen, and the scan lasts long enough."""
        if self.kind(order).due(order, self.came(record), looks) and not (looks and self._nearly_over(record, order)):
            self._ask(record, order, len(looks) + 1, final=False)

    def _nearly_over(self, record: ScanRecord, order: ScanOrder) -> bool:
        """Whether the last look would take the place of one that began now: it would come later for that."""
        if order.frames is None:
            return False
        silent = self.records.now() - record.touched
        each = (record.touched - record.created) / max(1, record.counted.received)
        return silent < _LOOK_S and each * (order.frames - record.counted.received) < _LOOK_S

    def _finish(self, record: ScanRecord, order: ScanOrder, looks: list[LookPart], working: list[LookPart]) -> None:
        """The last look, which takes the place of those at work that are not nearly done, and the end when it has
        ended.
        """
        if record.last is None:
            late = [look for look in working if not self.kind(order).soon(look)]
            self._cancel(late, "the scan is finished: its last look takes the place of this one")
            self._ask(record, order, len(looks) + 1, final=True)
            return
        last = looks[-1]
        if last.state.final:
            if last.state not in _FRAMES_KEPT:
                self.archive.forget(record.scan_id)
            self.records.move(record.scan_id, ScanState.FINISHED)

    def _ask(self, record: ScanRecord, order: ScanOrder, number: int, *, final: bool) -> None:
        """Make a job of a look. Whoever else does so at the same moment makes the same job of it."""
        kind, name = self.kind(order), FINAL if final else str(number)
        submission = kind.submission(order, LiveFrames(scan=record.scan_id, look=number, final=final))
        key = f"look\n{record.scan_id}\n{name}"  # no header holds a line break: no caller's key is like it
        repeatable = Repeatable(key, hashlib.sha256(key.encode()).hexdigest())
        job = self._intake.accept(submission, Sender(record.origin, repeatable))
        self.records.looked(record.scan_id, name, LookJob(job.job_id, kind.usable(order, self.came(record))))

    def _cancel(self, looks: list[LookPart], why: str) -> None:
        for look in looks:
            if not look.state.final:
                try:
                    self._jobs.request_cancel(look.job, why)
                except UnknownJobError:
                    continue

    def _tell(self, record: ScanRecord, order: ScanOrder, looks: list[LookPart]) -> None:
        """Events of what has changed: of looks that have ended, and every so often of the frames with the advice."""
        for look in looks:
            if look.state.final:
                data = look.model_dump(mode="json")
                self.records.tell(record.scan_id, f"look:{look.job}", look.state.value, "look", data)
        now = time.monotonic()
        if record.state is ScanState.OPEN and now < self._told.get(record.scan_id, 0.0) + _TELLING_S:
            return
        self._told[record.scan_id] = now
        counted = record.counted
        mark = f"{counted.received},{counted.duplicate},{counted.outside},{sum(look.state.final for look in looks)}"
        if counted.placed + counted.placed_again:
            mark += f",{counted.placed},{counted.placed_again}"
        if counted.received + counted.outside + counted.placed:
            told = {
                "received": counted.received, "duplicate": counted.duplicate, "out_of_range": counted.outside,
                "expected": order.frames, **self.kind(order).told(order, self.came(record), looks),
            }  # fmt: skip
            self.records.tell(record.scan_id, "frames", mark, "frames", told)
