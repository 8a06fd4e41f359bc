"""Hands out the scans of series, one after the other: reads them, asks the network, and lets a worker refine them.

Only so many are ahead of the workers, so a series neither fills the store nor delays what is asked meanwhile. What is
handed out stands in Redis: a service that dies leaves its series to the next one.
"""

import asyncio
from dataclasses import replace
from typing import Final
from uuid import uuid4

import anyio.to_thread

from inphase.errors import CancelledError, InphaseError
from inphase.formats import Limits
from service import pipeline
from service.clock import Clock
from service.document import SeriesPart
from service.errors import kind
from service.frame import Frame
from service.inference.runtime import Networks
from service.intake import Intake, Order
from service.jobs.errors import QueueUnavailableError, UnknownSeriesError
from service.jobs.record import Place, Records
from service.jobs.series import SeriesRecord, SeriesRecords
from service.jobs.state import JobState
from service.jobs.store import Store
from service.options import NO_REFINEMENT
from service.series import SeriesOrder
from service.settings import Settings
from service.sources import load
from service.telemetry import log

_AHEAD: Final = 8  # queued jobs beyond which a series waits
_LEASE_S: Final = 60
_TRIES: Final = 3  # a scan whose reading ends the service so often is not read again
_LOOK_S: Final = 0.5


class Feeder:
    """One a service. `run` never ends by itself."""

    def __init__(
        self,
        settings: Settings,
        networks: Networks,
        records: Records,
        series: SeriesRecords,
        store: Store,
        intake: Intake,
    ) -> None:
        self.wake = asyncio.Event()  # set when a series comes
        self._settings, self._networks, self._store = settings, networks, store
        self._records, self._series, self._intake = records, series, intake
        self._name = uuid4().hex
        self._one = anyio.CapacityLimiter(1)  # beside the slots of requests: a series never takes one

    async def run(self) -> None:
        """Hand out scans until cancelled."""
        while True:
            self.wake.clear()
            try:
                fed = await anyio.to_thread.run_sync(self.feed, limiter=self._one)
            except QueueUnavailableError as error:
                log.warning("a series waits", why=str(error))
                fed = False
            except Exception:
                log.exception("a series could not be fed")
                fed = False
            if not fed:
                try:
                    async with asyncio.timeout(_LOOK_S):
                        await self.wake.wait()
                except TimeoutError:
                    continue

    def feed(self) -> bool:
        """Hand out one scan of the oldest series that has one left; whether there was one and room for it."""
        for series_id in self._series.open():
            try:
                record = self._series.get(series_id)
            except UnknownSeriesError:
                self._series.close_series(series_id)
                continue
            waiting = record.waiting()
            if not waiting or record.cancelled:
                self._series.close_series(series_id)
                continue
            if self._records.count(JobState.QUEUED) >= _AHEAD:
                return False
            if self._series.lease(series_id, self._name, _LEASE_S):
                return self._hand_out(record, waiting[0])
        return False

    def _hand_out(self, record: SeriesRecord, scan: int) -> bool:
        """Make a job of a scan, or say why it becomes none. False where it should be tried again later."""
        try:
            if self._series.begin(record.series_id, scan) > _TRIES:
                raise InphaseError(f"reading it has ended the service {_TRIES} times: the file may be damaged")
            self._prepare(record, scan)
        except CancelledError:
            return True
        except InphaseError as error:
            if kind(error).status in (503, 507):
                self._series.spare(record.series_id, scan)  # its reading has ended nothing
                return False
            self._series.fail(record.series_id, scan, str(error))
        except MemoryError:
            self._series.fail(record.series_id, scan, "out of memory: the scan is too large for this service")
        except OSError as error:
            self._series.fail(record.series_id, scan, f"{error.filename or 'system'}: {error.strerror or error}")
        except Exception as error:
            log.exception("a scan could not be prepared", series=record.series_id, scan=scan)
            self._series.fail(record.series_id, scan, f"internal error: {type(error).__name__}: {error}")
        return True

    def _prepare(self, record: SeriesRecord, scan: int) -> None:
        asked = SeriesOrder.model_validate_json(record.order)
        options = asked.options()
        clock = Clock()
        network = self._networks.get(options.model) if options.asks_network else None
        with clock("decode"):
            raw, corrections = load(
                asked.sources[scan],
                options.domain,
                Limits(self._settings.bounds.array_bytes),
                self._settings.data_roots,
            )
        draft, document = pipeline.begin(raw, options, network, clock, corrections)
        draft = replace(draft, frame=Frame(self._store, record.series_id))
        document = document.model_copy(
            update={
                "owner": record.owner,
                "priority": options.priority,
                "series": SeriesPart(id=record.series_id, scan=scan),
                "timings_ms": clock.rounded(),
            }
        )
        order = Order(record.owner, options, place=Place(record.series_id, scan))
        if document.recipe.refine == NO_REFINEMENT:
            self._intake.keep(pipeline.finish(draft, document, draft.guess, clock), order)
        else:
            self._intake.accept(draft, document, order)
