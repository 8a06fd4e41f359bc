"""Jobs against real processes: a Redis, a supervisor with its workers, and signals."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from benchmarks import chaos
from service.jobs.broker import HEARTBEAT_TIMEOUT_MS, LOOK_S, Queue
from service.jobs.connection import connect_async
from service.jobs.embedded import EmbeddedRedis, find_server
from service.jobs.entry import JobRecord
from service.jobs.errors import NoRedisError
from service.jobs.events import Event, stream, unknown
from service.jobs.record import Records
from service.jobs.scripts import job_key
from service.jobs.settings import WorkerSettings
from service.jobs.state import JobState, Priority
from service.jobs.store import Store
from service.jobs.supervisor import COMMAND, Supervisor
from tests import disk
from tests.service.refusing import refusing

pytestmark = pytest.mark.system

STAND_IN = (sys.executable, "-m", "tests.system.jobs_worker")
ROOT = Path(__file__).resolve().parents[2]
START_S = 3.0  # a worker without torch starts in well under a second; the rest is for a loaded machine


class House:
    """A Redis, a store and workers, as a service has them."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedRedis(folder / "state")
        self.settings = WorkerSettings(self.server.start(), folder / "store", drain_s=1.0)
        self.records = Records(self.settings.redis_url)
        self.queue = Queue(self.settings.redis_url, self.records)
        self.store = Store(folder / "store")

    @contextmanager
    def workers(
        self, count: int = 1, command: tuple[str, ...] = STAND_IN, seats: int = 1, **changes: object
    ) -> Iterator[Supervisor]:
        """Workers that are ready, each with its seats, and gone afterwards."""
        supervisor = Supervisor(replace(self.settings, **changes), count, command)  # type: ignore[arg-type]
        supervisor.start()
        try:
            until(lambda: len(self.records.workers()) == count * seats, 30)
            yield supervisor
        finally:
            supervisor.stop()
            assert supervisor.pids == []

    def submit(self, priority: Priority = Priority.NORMAL, store: Store | None = None, **order: object) -> str:
        """A job for the stand-in: what its document orders."""
        job_id = uuid4().hex
        (store or self.store).write(job_id, "input", {"data": np.arange(8.0)})
        self.hand_out(job_id, json.dumps(order).encode(), priority)
        return job_id

    def hand_out(self, job_id: str, document: bytes, priority: Priority = Priority.NORMAL) -> None:
        """Record a job whose input is stored, and queue it, as the service does."""
        self.records.create(job_id, b"{}", asked="{}", reader=job_id, priority=priority)
        assert self.records.queue(job_id, job_id, document, self.queue.message(job_id, priority))

    def end_of(self, job_id: str, seconds: float = 15) -> JobRecord:
        """The record of an ended job."""
        record = asyncio.run(self.records.wait(job_id, seconds))
        assert record.state.final, record
        return record

    def check(self, record: JobRecord, attempt: int = 1) -> None:
        """The job has succeeded in this attempt, and its result is that attempt's and right."""
        assert (record.state, record.reason, record.attempt) == (JobState.SUCCEEDED, "", attempt)
        assert record.result == f"result-{attempt}"
        result = self.store.read(record.job_id, record.result)
        np.testing.assert_array_equal(result["object"], 2 * np.arange(8.0))
        assert result["attempt"] == attempt
        assert json.loads(record.document)["done"]


def events(house: House, job_id: str) -> list[Event]:
    """Everything that happened to an ended job."""

    async def follow() -> list[Event]:
        return [event async for event in house.records.follow(job_id) if event is not None]

    return asyncio.run(follow())


def until(condition: Callable[[], object], seconds: float = 10) -> float:
    """Wait for something that must become true; the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One Redis and store for the tests of this file."""
    try:
        find_server()
    except NoRedisError as error:
        pytest.skip(str(error))
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.queue.close()
    house.records.close()
    house.server.stop()


def test_jobs_end_to_end(house: House) -> None:
    """Jobs through two workers all succeed, each with its own result; failures say why; others are not disturbed."""
    with house.workers(2):
        good = [house.submit(steps=2, step_s=0.01) for _ in range(20)]
        bad = house.submit(**{"raise": "the crystal has melted"})
        broken = house.submit(steps="many")
        for job_id in good:
            house.check(house.end_of(job_id))
        record = house.end_of(bad)
        assert (record.state, record.reason) == (JobState.FAILED, "the crystal has melted")
        record = house.end_of(broken)
        assert record.state is JobState.FAILED
        assert record.reason.startswith("internal error: TypeError")


def test_damaged_arrays_fail_the_job(house: House) -> None:
    """A job whose stored arrays are damaged or gone fails and says so; the worker goes on."""
    damaged, gone = uuid4().hex, uuid4().hex
    house.store.write(damaged, "input", {"data": np.arange(8.0)}).write_bytes(b"PK\x03\x04 half a file")
    for job_id in (damaged, gone):
        house.hand_out(job_id, b"{}")
    with house.workers():
        assert "is damaged" in house.end_of(damaged).reason
        assert "has no stored 'input'" in house.end_of(gone).reason
        house.check(house.end_of(house.submit()))


def test_killed_worker_in_mid_job(house: House) -> None:
    """A job whose worker is killed runs again, on another worker, within 5 s, and ends once with the second result."""
    with house.workers(2):
        job_id = house.submit(steps=10, step_s=0.1)
        until(lambda: (progress := house.records.get(job_id).progress) and progress.iteration >= 3)
        os.kill(int(house.records.get(job_id).worker.split(":")[1]), signal.SIGKILL)
        took = until(lambda: house.records.get(job_id).attempt == 2)
        assert took < 5  # the aim; 2 s of silence and a look every half second are the design
        house.check(house.end_of(job_id), attempt=2)


def test_cancel_while_running(house: House) -> None:
    """A running job stops within a fraction of a second of the request, a queued one never starts."""
    with house.workers():
        running, queued = house.submit(steps=100, step_s=0.05), house.submit(steps=100, step_s=0.05)
        until(lambda: house.records.get(running).progress)
        begun = time.monotonic()
        assert house.records.request_cancel(running) is JobState.RUNNING
        assert house.records.request_cancel(queued) is JobState.CANCELLED
        record = house.end_of(running)
        took = time.monotonic() - begun
        assert (record.state, record.reason, record.result) == (JobState.CANCELLED, "cancelled on request", "")
        assert took < 1  # looked for every 0.1 s, then one step of 0.05 s; the rest for a loaded machine
        house.check(house.end_of(house.submit()))
        assert house.records.get(queued).attempt == 0


def test_poisoned_job(house: House) -> None:
    """A job that has its compute process killed three times fails as poisoned; the next job finds a living worker."""
    with house.workers():
        poison = house.submit(end="kill")
        record = house.end_of(poison, 30)
        assert (record.state, record.attempt) == (JobState.FAILED, 3)
        assert record.reason.startswith(
            "poisoned: the job ended its worker process 3 times (the compute process was killed"
        )
        house.check(house.end_of(house.submit()))


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("segfault", "crash: the compute process crashed with SIGSEGV"),
        ("exit", "crash: the compute process ended itself with exit code 7"),
        ("allocate", "out of memory: the volume is too large for this worker (bound: 2.0 GiB)"),
    ],
)
def test_a_job_that_ruins_its_process_fails_with_the_reason(house: House, end: str, reason: str) -> None:
    """Once is enough: it is the job's own doing. The worker lives on and serves the next one."""
    with house.workers(memory_bytes=2**31) as supervisor:
        pids = supervisor.pids
        record = house.end_of(house.submit(end=end))
        assert (record.state, record.attempt) == (JobState.FAILED, 1)
        assert record.reason.startswith(reason)
        house.check(house.end_of(house.submit()))
        assert supervisor.pids == pids


def test_killed_at_the_beginning_and_at_the_end(house: House) -> None:
    """A process killed before it has read anything, or halfway through writing its result:
    the next attempt succeeds.
    """
    with house.workers():
        job_ids = [house.submit(steps=1, step_s=0.01, killed_at=stage) for stage in ("begin", "write")]
        for job_id in job_ids:
            house.check(house.end_of(job_id), attempt=2)
            assert house.store.names(job_id) == ["input", "result-2"]


def test_killed_compute_process_costs_no_time(house: House) -> None:
    """A compute process killed from outside: its job goes on from the checkpoint at once, before all that wait."""
    with house.workers(checkpoint_s=0.1):
        job_id = house.submit(steps=20, step_s=0.05)
        later = house.submit(steps=1, step_s=0.01)
        until(lambda: (progress := house.records.get(job_id).progress) and progress.iteration >= 8)
        pid = chaos.compute_pid(house.records.get(job_id).worker)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        record = house.end_of(job_id)
        house.check(record, attempt=2)
        assert json.loads(record.document)["begin"] >= 4
        until(lambda: house.store.names(job_id) == ["input", "result-2"])  # no checkpoint stays behind
        started = house.end_of(later).started
        assert started is not None
        assert record.finished is not None
        assert started >= record.finished


def test_priorities(house: House) -> None:
    """A live scan goes before a request, a request before a batch, whatever came first."""
    with house.workers():
        running = house.submit(steps=10, step_s=0.05)
        until(lambda: house.records.get(running).state is JobState.RUNNING)
        waiting = [
            house.submit(level, steps=1, step_s=0.01) for level in (Priority.LOW, Priority.NORMAL, Priority.HIGH)
        ]
        starts = [house.end_of(job_id).started or 0.0 for job_id in waiting]
        assert starts == sorted(starts, reverse=True)


def test_a_worker_serves_its_queues_several_at_a_time(house: House) -> None:
    """`--queues high --concurrency 2`: two urgent jobs at once, in two processes; a batch waits for another worker."""
    with house.workers(levels=(Priority.HIGH,), concurrency=2, seats=2):
        low = house.submit(Priority.LOW)
        urgent = [house.submit(Priority.HIGH, steps=10, step_s=0.05) for _ in range(2)]
        until(lambda: all(house.records.get(job_id).state is JobState.RUNNING for job_id in urgent))
        ended = [house.end_of(job_id) for job_id in urgent]
        assert len({json.loads(record.document)["pid"] for record in ended}) == 2
        assert house.records.get(low).state is JobState.QUEUED
    with house.workers():
        house.check(house.end_of(low))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    with disk.small(tmp_path / "small", 4) as folder:
        yield folder


def test_no_room_for_the_result(house: House, small_disk: Path) -> None:
    """A disk that is full for a while is no fault of a job: it goes back into the queue, uncounted, nothing
    half-written is left, and it succeeds when there is room.
    """
    store = Store(small_disk / "store")
    (small_disk / "others").write_bytes(bytes(7 * 2**19))
    with house.workers(store=store.root):
        job_id = house.submit(store=store, result_bytes=2**20)
        until(lambda: [event.data["state"] for event in so_far(house, job_id)][-2:] == ["running", "queued"], 15)
        assert [path.name for path in (store.root / job_id).iterdir()] == ["input.npz"]
        assert house.records.get(job_id).reason == ""
        (small_disk / "others").unlink()
        ended = house.end_of(job_id, 30)
        assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)


def test_a_result_that_is_larger_than_the_disk(house: House, small_disk: Path) -> None:
    """The job fails at its first attempt and says how much it needs; the next one is computed, and where the results of
    ended jobs are in the way of one that would fit, they go.
    """
    store = Store(small_disk / "store")
    with house.workers(store=store.root):
        larger, large, other = (house.submit(store=store, result_bytes=nbytes) for nbytes in (2**23, 3 * 2**20, 2**21))
        failed = house.end_of(larger)
        assert (failed.state, failed.attempt) == (JobState.FAILED, 1)
        assert "8 MiB are needed beside" in failed.reason
        assert "the disk of the store has 4 MiB in all" in failed.reason
        assert house.end_of(large).state is JobState.SUCCEEDED
        assert house.end_of(other, 30).state is JobState.SUCCEEDED
        assert house.records.without_record([larger, large, other]) == [larger, large]
        assert [job.job_id for job in store.jobs()] == [other]


def so_far(house: House, job_id: str) -> list[Event]:
    """The changes of state of a job until now."""

    async def look() -> list[Event]:
        async with connect_async(house.settings.redis_url) as client:
            found = [event async for event in stream(client, job_key(job_id), "0-0", 0.0, lost=unknown(job_id))]
        return [event for event in found if event is not None and event.kind == "state"]

    return asyncio.run(look())


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice(house: House) -> None:
    """40 jobs while five workers are killed in mid-computation and Redis once:
    each succeeds once, with its own result.
    """
    with house.workers(2, checkpoint_s=0.1):
        job_ids = [house.submit(steps=10 + index % 5, step_s=0.03) for index in range(40)]
        account = chaos.unleash(house.records, house.queue, house.server, job_ids, kills=5, spacing_s=0.5, within_s=120)
        assert len(account.kills) == 5
        assert account.redis_kills == 1
        for kill in account.kills:
            assert kill.redelivered_s is None or kill.redelivered_s < 5
        for job_id in job_ids:
            record = house.records.get(job_id)
            house.check(record, attempt=record.attempt)
            states = [event.data["state"] for event in events(house, job_id) if event.kind == "state"]
            assert states.count("succeeded") == 1
            assert states[-1] == "succeeded"
            results = [name for name in house.store.names(job_id) if name.startswith("result-")]
            assert results == [record.result]


def test_time_limit(house: House) -> None:
    """A job beyond its time is stopped and fails with the limit in its reason."""
    with house.workers(time_limit_s=0.5):
        record = house.end_of(house.submit(steps=100, step_s=0.05))
        assert record.state is JobState.FAILED
        assert record.reason.startswith("time limit: the job ran longer than 0.5 s")


def test_paused_worker_cannot_overwrite(house: House) -> None:
    """A worker frozen in mid-job with its computation, woken when another has finished, changes nothing any more.

    Neither the record nor the newer attempt's result and checkpoint, and it leaves none of its own; then it serves on.
    """
    with house.workers(2, checkpoint_s=0.1):
        job_id = house.submit(steps=20, step_s=0.05)
        until(lambda: (progress := house.records.get(job_id).progress) and progress.iteration >= 5)
        worker = house.records.get(job_id).worker
        frozen = [int(worker.split(":")[1]), chaos.compute_pid(worker)]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            record = house.end_of(job_id)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        house.check(record, attempt=2)
        assert json.loads(record.document)["begin"] >= 2  # it went on from the frozen one's checkpoint
        # The woken worker computes its old attempt to the end or is told to stop; it serves on when it is idle again.
        until(lambda: len(house.records.workers()) == 2)
        served = set()
        while len(served) < 2:
            ended = house.end_of(house.submit(steps=1, step_s=0.1))
            house.check(ended)
            served.add(ended.worker)
        assert house.records.get(job_id) == record
        until(lambda: house.store.names(job_id) == ["input", "result-2"])
        house.check(house.records.get(job_id), attempt=2)


def test_redis_dies_and_comes_back(house: House) -> None:
    """Redis is killed with one job running and two queued: it comes back and all three succeed, none is lost."""
    with house.workers():
        ids = [house.submit(steps=15, step_s=0.1)] + [house.submit(steps=1, step_s=0.1) for _ in range(2)]
        until(lambda: house.records.get(ids[0]).progress)
        chaos.kill_redis(house.server)
        for job_id in ids:
            record = house.end_of(job_id, 20)
            house.check(record, attempt=record.attempt)
            assert record.attempt <= 2


def test_restart_of_everything_keeps_accepted_jobs(house: House) -> None:
    """Jobs accepted while no worker lives survive an orderly restart of Redis, in order and with their priorities."""
    low = house.submit(Priority.LOW)
    high = house.submit(Priority.HIGH)
    house.server.stop()
    house.server.start()
    assert (house.records.position(high), house.records.position(low)) == (0, 1)
    with house.workers():
        ended = [json.loads(house.end_of(job_id).document)["ended"] for job_id in (high, low)]
    assert ended == sorted(ended)


def test_drain(house: House) -> None:
    """A worker told to go finishes a short job; a long one goes back to the queue, for the next worker, uncounted."""
    with house.workers():
        short = house.submit(steps=3, step_s=0.1)
        until(lambda: house.records.get(short).state is JobState.RUNNING)
    house.check(house.records.get(short))
    with house.workers(drain_s=0.2) as supervisor:
        long = house.submit(steps=10, step_s=0.1)
        until(lambda: house.records.get(long).state is JobState.RUNNING)
        begun = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - begun < 3
    assert house.records.get(long).state is JobState.QUEUED
    assert house.records.workers() == []
    with house.workers():
        house.check(house.end_of(long), attempt=2)


SERVICE = """
import sys, time
from pathlib import Path
from service.jobs.connection import connect_async
from service.jobs.embedded import EmbeddedRedis
from service.jobs.settings import WorkerSettings
from service.jobs.supervisor import Supervisor
folder = Path(sys.argv[1])
supervisor = Supervisor(WorkerSettings(EmbeddedRedis(folder).start(), folder / "store"), 1, tuple(sys.argv[2:]))
supervisor.start()
print(supervisor.pids[0], flush=True)
time.sleep(60)
"""


def test_worker_goes_with_its_service(tmp_path: Path, house: House) -> None:
    """When the service is killed, its worker and its Redis are gone within seconds: nothing computes unseen."""
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, tmp_path, *STAND_IN], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert service.stdout is not None
    with service.stdout:
        service.stdout.readline()
    family = psutil.Process(service.pid).children(recursive=True)
    assert len(family) >= 3  # the worker, the guard, the server
    service.kill()
    service.wait(10)
    until(lambda: not any(process.is_running() and process.status() != "zombie" for process in family), START_S + 3)


def test_a_worker_that_cannot_start_is_tried_less_and_less(house: House, tmp_path: Path) -> None:
    """A worker command that fails at once is not started hundreds of times."""
    log = tmp_path / "starts"
    supervisor = Supervisor(house.settings, 1, ("/bin/sh", "-c", f"echo x >> '{log}'; exit 1"))
    supervisor.start()
    time.sleep(1.5)
    supervisor.stop()
    assert 2 <= len(log.read_text().split()) <= 4  # at once, at once again, after 1 s


def test_idle_worker_costs_nothing_and_reacts(house: House) -> None:
    """An idle worker takes under 5 % of a core; it picks jobs up when told, not when it looks next."""
    with house.workers() as supervisor:
        process = psutil.Process(supervisor.pids[0])
        time.sleep(0.5)
        before = sum(process.cpu_times()[:2])
        time.sleep(1)
        idle = sum(process.cpu_times()[:2]) - before
        delays = []
        for _ in range(11):
            job_id = house.submit()
            created = house.records.get(job_id).created
            started = house.end_of(job_id).started
            assert started is not None
            delays.append(started - created)
    assert idle < 0.05
    # Bounds the median only: other tests and trainings share the disk and the cores.
    # Polling alone would take LOOK_S / 2.
    assert sorted(delays)[5] < LOOK_S / 5 < HEARTBEAT_TIMEOUT_MS / 1000


def test_real_refinement(house: House) -> None:
    """The real worker: a job whose process is killed in mid-computation goes on and ends bit by bit as a direct call
    does.

    Behind it, a descent that leaves the finite numbers, and a document of another version, fail with the reason.
    """
    torch = pytest.importorskip("torch")
    from inphase.formats import RawScan
    from inphase.imaging.clock import Clock
    from inphase.imaging.options import Options
    from inphase.imaging.refine import refine
    from inphase.imaging.way import begin
    from service.document import JobDocument

    axes = np.meshgrid(*(np.arange(64) - 32,) * 3, indexing="ij", sparse=True)
    crystal = ((np.abs(axes[0]) < 9) & (np.abs(axes[1] + axes[2]) < 11) & (np.abs(axes[1]) < 8)).astype(complex)
    counts = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(crystal)))) ** 2
    counts = np.random.default_rng(1).poisson(1e5 * counts / counts.max()).astype(np.int32)
    options = Options(start="random", refine="300*HIO+10*ER | SW(every=20)", starts=1, seed=7)
    prepared, report = begin(RawScan(counts, None, "test", ""), options, None, Clock())
    document = JobDocument(uuid4().hex, JobState.QUEUED, report.created, report=report)
    arrays = prepared.to_arrays()

    def accept(stored: bytes, **changes: NDArray[np.float32]) -> str:
        job_id = uuid4().hex
        house.store.write(job_id, "input", arrays | changes)
        house.hand_out(job_id, stored)
        return job_id

    whole = accept(document.to_json())
    descent = replace(document, report=replace(report, recipe=replace(report.recipe, conventional="20*AER")))
    diverging = accept(descent.to_json(), modulus=np.float32(1e12) * arrays["modulus"])
    old = accept(json.dumps({"id": "x", "state": "queued", "recipe": "50*ER"}).encode())
    with house.workers(1, COMMAND, threads=1, checkpoint_s=0.1):
        until(lambda: (progress := house.records.get(whole).progress) and progress.iteration >= 100, 60)
        until(lambda: house.store.read(whole, "checkpoint-1")["now.iteration"] > 1, 60)
        pid = chaos.compute_pid(house.records.get(whole).worker)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        record = house.end_of(whole, 60)
        assert house.end_of(diverging, 60).reason.startswith("phase retrieval diverged at iteration")
        assert "written by another version of inphase" in house.end_of(old, 60).reason
        assert (house.records.get(old).state, house.records.get(old).attempt) == (JobState.FAILED, 1)
    assert (record.state, record.reason, record.attempt) == (JobState.SUCCEEDED, "", 2)
    ended = json.loads(record.document)
    assert ended["resumed_from"] > 1
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    direct = refine(prepared, report, Clock())
    torch.set_num_threads(threads)
    stored = house.store.read(whole, record.result)
    assert stored.keys() == {*direct.arrays, "document"}
    # one thread, one library, one machine: the same operations in the same order
    np.testing.assert_array_equal(stored["object"], direct.arrays["object"])
    np.testing.assert_array_equal(stored["support"], direct.arrays["support"])
    assert direct.report.metrics.final is not None
    assert ended["metrics"]["final"]["chi2"] == direct.report.metrics.final.chi2


@pytest.mark.parametrize("way", ["READONLY", "OOM"])
def test_a_redis_that_refuses_for_a_while_costs_no_job(house: House, way: str) -> None:
    """While Redis refuses, the job at hand is computed to its end; afterwards its first attempt counts, the worker is
    announced, and the next job is taken: no thread of the worker was lost."""
    with house.workers():
        running = house.submit(steps=10, step_s=0.1)
        waiting = house.submit()
        until(lambda: house.records.get(running).state is JobState.RUNNING)
        with refusing(house.settings.redis_url, way):
            until(lambda: house.store.has(running, "result-1"))
            if way == "READONLY":  # to say that one lives needs no memory
                until(lambda: not house.records.workers())
            assert house.records.get(running).state is JobState.RUNNING
        until(house.records.workers, 5)
        house.check(house.end_of(running))
        house.check(house.end_of(waiting))
        house.check(house.end_of(house.submit()))
