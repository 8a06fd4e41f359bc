"""What the service starts and stops: networks, Redis, worker processes, housekeeping. Nothing here is global."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from inphase.errors import InphaseError
from inphase.models.repository import Repository
from inphase.models.session import Sessions
from service.catalogue import Catalogue
from service.door.budget import Budget
from service.holdings import Holdings
from service.identity.file import KeysFile
from service.identity.keys import ADMIN, Key, Keyring, Scope
from service.identity.logins import Logins
from service.identity.rates import Rates
from service.inference.batcher import Batcher
from service.inference.networks import Networks
from service.inference.slots import Slots
from service.inference.waiting import Cap, cap_of
from service.intake.acceptance import Intake
from service.intake.reader import Reader
from service.jobs.broker import Queue
from service.jobs.connection import refuse_eviction
from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import QueueUnavailableError, StoreError, UnknownJobError
from service.jobs.housekeeping import sweep
from service.jobs.pulse import Pulse
from service.jobs.record import Records
from service.jobs.scans import ScanRecords
from service.jobs.series import SeriesRecords
from service.jobs.settings import WorkerSettings
from service.jobs.store import Store
from service.jobs.supervisor import Supervisor
from service.logs import log
from service.sandbox.sandbox import Sandbox
from service.scans.attendance import Attendance
from service.scans.live import LiveScans
from service.settings import Settings, new_key
from service.telemetry import Metrics
from service.tracing import Tracing
from service.webhooks.allowed import Allowed
from service.webhooks.courier import Courier
from service.webhooks.message import message
from service.webhooks.outbox import Outbox
from service.webhooks.signature import key_of

_HOUSEKEEPING_S: Final = 60.0
_MODELS_S: Final = 1.0  # between two looks at the model repository
_KEYS_S: Final = 0.5  # between two looks at the keys file; what has changed is taken at the second
T = TypeVar("T")


class Services:
    """Everything a request needs. `start` and `stop` frame the life of the application."""

    store: Store
    intake: Intake

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.generated_key = None if settings.api_key or settings.keys_file else new_key()
        self._keys_file = KeysFile(settings.keys_file, settings.data_roots) if settings.keys_file else None
        self.keyring = self._keyring(self._keys_file.read() if self._keys_file else ())
        self.rates = Rates()
        self.sessions = Sessions(
            Repository(settings.models_dir, settings.model), settings.threads, settings.provider,
            patterns=lambda provider: self.cap(provider).patterns, kept=settings.warm_models,
        )  # fmt: skip
        self.catalogue = Catalogue(self.sessions, settings.model_idle_s)
        self.webhooks = Allowed.of(settings.webhook_hosts)
        self.batcher = Batcher(settings.compute_slots, self.cap)
        self.networks = Networks(self.sessions, self.batcher)
        self.streams = 0  # clients that follow events
        self.budget = Budget(settings.bounds.bytes_in_flight, settings.bounds.owner_bytes)
        self.metrics = Metrics()
        self.tracing = Tracing.configured("api")
        self.sandbox = Sandbox(settings.bounds.read_s, settings.data_roots, settings.store_dir.absolute())
        self.records: Records | None = None
        self.series: SeriesRecords | None = None
        self.live: LiveScans | None = None
        self.queue: Queue | None = None
        self.logins: Logins | None = None
        self.reader: Reader | None = None
        self.pulse: Pulse | None = None
        self._outbox: Outbox | None = None
        self.warm = False
        self.started = time.time()
        self.draining = asyncio.Event()
        self.news = asyncio.Event()  # set when frames of a live scan have come, or the data of a job were read
        self.looking = anyio.CapacityLimiter(8)  # threads of /v1/status and of what watches files
        self.slots = Slots(settings.compute_slots)
        self._threads = anyio.CapacityLimiter(settings.compute_slots)
        self._redis: EmbeddedRedis | None = None
        self._scans: ScanRecords | None = None
        self._supervisor: Supervisor | None = None
        self._background: list[asyncio.Task[None]] = []
        self._loose: set[asyncio.Future[object]] = set()

    def _keyring(self, keys: Sequence[Key]) -> Keyring:
        """The service's own key and those of the file."""
        own = self.settings.api_key.get_secret_value() if self.settings.api_key else self.generated_key
        return Keyring([*([Key.of(own, ADMIN, Scope.ADMIN)] if own else []), *keys])

    async def start(self) -> None:
        """Bring everything up. Raises NoRedisError, ModelError and UnknownModelError:
        without them the service is none.
        """
        try:
            await anyio.to_thread.run_sync(self._start)
        except BaseException:
            await anyio.to_thread.run_sync(self._stop)
            raise
        self._background += [asyncio.create_task(self._keep_house()), asyncio.create_task(self._keep_models())]
        if self._keys_file is not None:
            self._background.append(asyncio.create_task(self._keep_keys(self._keys_file)))
        if self.records is not None and self.series is not None and self.live is not None:
            self.reader = Reader(
                self.settings, self.networks, self.records, self.series, self.store, self.intake, self.sandbox,
                self.budget, self.live, self.news, self.tracing,
            )  # fmt: skip
            if self._outbox is not None and self.settings.webhook_secret is not None:
                key = key_of(self.settings.webhook_secret.get_secret_value())
                courier = Courier(self._outbox, self.webhooks, key, self._message, self.metrics.webhooks)
                self._background.append(asyncio.create_task(courier.run()))
            assert self.pulse is not None
            self._background.append(asyncio.create_task(self.pulse.run()))
            self._background += [asyncio.create_task(self.reader.announce()), asyncio.create_task(self.reader.run())]
            attendance = Attendance(self.live, self.news, self.reader.wake)
            self._background.append(asyncio.create_task(attendance.run()))

    async def stop(self) -> None:
        """Bring everything down: workers first, then Redis."""
        self.draining.set()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self.reader is not None:
            await self.reader.stop()
        if self.pulse is not None:
            await self.pulse.close()
        await anyio.to_thread.run_sync(self._stop)

    async def compute(self, call: Callable[[], T], owner: str = "") -> T:
        """Run what takes long in a thread; at most `compute_slots` at a time, the others wait, their owners in turn."""
        async with self.slots.place(owner):
            return await anyio.to_thread.run_sync(call, limiter=self._threads)

    def cap(self, provider: str) -> Cap:
        """What one run of a network computes at most on an execution provider."""
        return cap_of(provider, self.settings.batch_patterns, self.settings.bounds.batch_bytes)

    def in_background(self, call: Callable[[], object]) -> None:
        """Run a short blocking call whose end nobody waits for."""
        task = asyncio.ensure_future(anyio.to_thread.run_sync(call))
        self._loose.add(task)
        task.add_done_callback(self._loose.discard)

    def _start(self) -> None:
        self.store = Store(self.settings.store_dir, self.settings.bounds.store_bytes)
        self.sandbox.start()
        for refusal in self.sessions.repository.refused:
            log.warning("model refused", model=refusal.folder, why=refusal.why)
        self.sessions.load_kept()
        self.batcher.start()
        for reference in (None, *self.settings.warm_models):
            session = self.sessions.get(reference)
            log.info("model loaded", model=session.version.label, execution=session.execution.label)
        if self.settings.queue:
            self._start_queue()
        self.intake = Intake(self.records, self.series, self.queue, self.store, self.settings.bounds)
        if self.records is not None and self._scans is not None:
            self.live = LiveScans(
                self._scans, self.records, self.store, self.intake, self.sessions, self.settings.bounds
            )
        self.metrics.watch(self.budget, self.records, self.pulse)
        self.metrics.registry.register(Holdings(self.store, self.sessions, self.batcher, self.records, self.pulse))
        self.warm = True

    def _start_queue(self) -> None:
        settings = self.settings
        url = settings.redis_address
        if url is None:
            self._redis = EmbeddedRedis(settings.state / "redis")
            url = self._redis.start()
        refuse_eviction(url)
        self.pulse = Pulse(url)
        self.records = Records(url)
        self.series = SeriesRecords(url)
        self._scans = ScanRecords(url)
        self.queue = Queue(url, self.records)
        self.logins = Logins(url)
        self._outbox = Outbox(url) if settings.webhook_hosts else None
        if settings.workers:
            worker = WorkerSettings(
                redis_url=url,
                store=settings.store_dir.absolute(),
                device=settings.device,
                concurrency=settings.workers,
                threads=settings.threads,
                memory_bytes=settings.bounds.job_bytes,
                time_limit_s=settings.bounds.job_s,
                drain_s=settings.drain_s,
            )
            self._supervisor = Supervisor(worker)
            self._supervisor.start()

    def _stop(self) -> None:
        self.batcher.stop()
        self.sandbox.stop()
        if self._supervisor is not None:
            self._supervisor.stop()
        for client in (self.queue, self._scans, self.series, self.records, self.logins, self._outbox):
            if client is not None:
                client.close()
        if self._redis is not None:
            self._redis.stop()
        self.tracing.close()

    async def _keep_keys(self, file: KeysFile) -> None:
        """Take the keys of the file whenever it changes; a file that cannot be used changes nothing."""
        while True:
            await asyncio.sleep(_KEYS_S)
            try:
                keys = await anyio.to_thread.run_sync(file.changed, limiter=self.looking)
            except InphaseError as error:
                log.error("the keys file cannot be used: the keys that were read before stay", why=str(error))
                continue
            if keys is not None:
                self.keyring = self._keyring(keys)
                log.info("keys read", keys=len(keys))

    def _message(self, job_id: str) -> bytes | None:
        """What a webhook says of a job; None where it is forgotten."""
        assert self.records is not None
        try:
            return message(self.records.get(job_id))
        except UnknownJobError:
            return None

    async def _keep_models(self) -> None:
        """Follow the model repository."""
        while True:
            await asyncio.sleep(_MODELS_S)
            try:
                await anyio.to_thread.run_sync(self.catalogue.look, limiter=self.looking)
            except Exception:  # nobody else looks
                log.exception("the model repository cannot be looked at")

    async def _keep_house(self) -> None:
        """Hand out jobs that were forgotten, delete what is too old."""
        while True:
            try:
                await anyio.to_thread.run_sync(self._sweep)
            except (QueueUnavailableError, StoreError) as error:
                log.warning("housekeeping failed", error=str(error))
            except Exception:  # this task is the only one that hands out what was forgotten
                log.exception("housekeeping failed")
            await asyncio.sleep(_HOUSEKEEPING_S)

    def _sweep(self) -> None:
        if self.records is None or self.series is None or self.queue is None:
            return
        swept = sweep(self.records, self.series, self.queue, self.store, self.settings.bounds.result_age_s)
        if self.live is not None:
            self.live.sweep(self.records.now() - self.settings.bounds.result_age_s)
        if swept.recovered or swept.expired:
            log.info("housekeeping", handed_out_again=swept.recovered, expired=len(swept.expired))
