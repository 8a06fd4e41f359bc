"""What a job costs beside its computation, and what becomes of jobs when their workers and Redis are killed.

python -m benchmarks.jobs                       # about twelve minutes on two quiet cores
python -m benchmarks.jobs --jobs 40 --kills 4   # two minutes
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import numpy as np
import psutil
import torch
import typer
from rich.progress import Progress, track

from benchmarks import ROOT, chaos
from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.refine import refine
from inphase.imaging.way import begin
from service.document import JobDocument
from service.jobs.broker import Queue
from service.jobs.embedded import EmbeddedRedis
from service.jobs.entry import JobRecord
from service.jobs.perform import warm
from service.jobs.record import Records
from service.jobs.settings import WorkerSettings
from service.jobs.state import JobState, Priority, RecordedProgress
from service.jobs.store import Store
from service.jobs.supervisor import Supervisor
from training.evaluate.machine import header
from training.evaluate.tables import table

N = 64
CRYSTALS = 4
# 0.1 to 3 s on one core. None descends (AER, LBFGS): a descent that is interrupted begins anew from the gradient.
RECIPES = (
    "40*ER",
    "80*HIO+20*ER | SW(every=10)",
    "200*HIO+50*ER | SW(every=10)",
    "350*RAAR+50*ER | SW(every=10)",
    "700*HIO+100*ER | SW(every=10)",
)
TOLERANCE = 1e-5  # of the largest amplitude, which is about 1
LONG = "20000*HIO"


@dataclass(frozen=True)
class Case:
    """A measurement with a recipe."""

    prepared: PreparedPattern
    document: JobDocument

    def direct(self) -> Reconstruction:
        """Computed here."""
        return refine(self.prepared, self.document.reported, Clock())


class House:
    """A Redis, a store, a queue."""

    def __init__(self, folder: Path) -> None:
        self.server = EmbeddedRedis(folder / "redis")
        self.settings = WorkerSettings(self.server.start(), folder / "store", threads=1, checkpoint_s=0.3)
        self.records = Records(self.settings.redis_url, retries=40)
        self.queue = Queue(self.settings.redis_url, self.records)
        self.store = Store(folder / "store")

    def close(self) -> None:
        """Stop Redis."""
        self.queue.close()
        self.records.close()
        self.server.stop()

    @contextmanager
    def workers(self, count: int) -> Iterator[Supervisor]:
        """Worker processes that are ready, each with one compute process."""
        supervisor = Supervisor(self.settings, count)
        supervisor.start()
        try:
            while len(self.records.workers()) < count:
                time.sleep(0.05)
            yield supervisor
        finally:
            supervisor.stop()

    def submit(self, case: Case) -> str:
        """Accept a job as the service does: arrays, record, message."""
        job_id = uuid4().hex
        self.store.write(job_id, "input", case.prepared.to_arrays())
        self.hand_out(job_id, replace(case.document, id=job_id).to_json())
        return job_id

    def hand_out(self, job_id: str, document: bytes) -> None:
        """Record a job whose arrays are stored, and queue it."""
        self.records.create(job_id, document, asked="{}", reader=job_id)
        self.records.queue(job_id, job_id, document, self.queue.message(job_id, Priority.NORMAL))

    def end_of(self, job_id: str) -> JobRecord:
        """The record of the job when it has ended well."""
        record = asyncio.run(self.records.wait(job_id, 600.0))
        if record.state is not JobState.SUCCEEDED:
            raise RuntimeError(f"job {job_id} is {record.state}: {record.reason}")
        return record


def main(
    jobs: Annotated[int, typer.Option(min=20, help="So many jobs run under chaos, and as many for the memory.")] = 500,
    kills: Annotated[int, typer.Option(min=0, help="So many workers are killed in mid-computation.")] = 24,
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = ROOT
    / "benchmarks/results/jobs.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.jobs --jobs 40 --kills 4 --out /tmp/jobs.md
    """
    torch.set_num_threads(1)
    warm("cpu")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        house = House(Path(folder))
        stack.callback(house.close)
        typer.echo("preparing the measurements")
        cases = [case(number, recipe) for recipe in RECIPES for number in range(CRYSTALS)]
        lines = ["# Jobs\n", f"{header()}\n"]
        lines.append(
            "One command makes this page: `python -m benchmarks.jobs`. Volumes of 64^3, torch on one thread in every "
            "process, an embedded Redis that syncs every write to the disk, jobs of the real worker; this process "
            "plays the service.\n"
        )
        with house.workers(1) as supervisor:
            lines += idle(house, supervisor, cases[0])
            lines += overhead(house, cases[CRYSTALS])
            lines += cancelling(house, case(0, LONG))
            lines += events(house)
            lines += memory(house, supervisor, cases[0], jobs)
        lines += under_chaos(house, cases, jobs, kills)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


def case(number: int, recipe: str) -> Case:
    """A faceted crystal with a phase, 1e5 counts at the peak, prepared as the service prepares it."""
    draw = np.random.default_rng(number)
    z, y, x = np.meshgrid(*(np.arange(N) - N // 2,) * 3, indexing="ij", sparse=True)
    a, b, c = draw.integers(7, 11, 3)
    inside = (np.abs(z) < a) & (np.abs(y + x) < a + b) & (np.abs(y - z) < b + c) & (np.abs(x) < c)
    crystal = inside * np.exp(1j * 0.05 * draw.normal() * (z * y + x))
    counts = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(crystal)))) ** 2
    counts = draw.poisson(1e5 * counts / counts.max()).astype(np.int32)
    options = Options(start="random", refine=recipe, starts=1, seed=number)
    prepared, report = begin(RawScan(counts, None, "simulated", ""), options, None, Clock())
    return Case(prepared, JobDocument(uuid4().hex, JobState.QUEUED, report.created, report=report))


def idle(house: House, supervisor: Supervisor, short: Case) -> list[str]:
    """What an idle worker costs, and how soon it reacts."""
    time.sleep(2.0)
    processes = family(supervisor)
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    begun = time.monotonic()
    time.sleep(10.0)
    cpu = (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / (time.monotonic() - begun)
    accepted, picked = [], []
    for _ in track(range(200), "an idle worker"):
        job_id, ms = uuid4().hex, time.perf_counter()
        house.store.write(job_id, "input", short.prepared.to_arrays())
        written = time.perf_counter()
        house.hand_out(job_id, b"{}")  # no job document: the job fails at once, which is quick
        accepted.append((time.perf_counter() - written) * 1e3)
        record = asyncio.run(house.records.wait(job_id, 60.0))
        assert record.started is not None
        picked.append((record.started - record.created) * 1e3)
        time.sleep(0.02 + 0.03 * (ms % 1))  # the worker is idle again, and at no special moment of its rhythm
    return [
        "## An idle worker\n",
        *table(
            ["", "p50", "p99", "aim"],
            [
                ["record and queue a job / ms", *quantiles(accepted), ""],
                ["from there until its computation is ordered / ms", *quantiles(picked), "p99 20"],
                ["processor time, worker and compute process / % of a core", f"{100 * cpu:.1f}", "", "5"],
            ],
        ),
    ]


def overhead(house: House, some: Case) -> list[str]:
    """The job path beside direct execution, in turns."""
    direct, job, inner = [], [], []
    for _ in track(range(40), "the job path"):
        begun = time.perf_counter()
        some.direct()
        direct.append((time.perf_counter() - begun) * 1e3)
        begun = time.perf_counter()
        record = house.end_of(house.submit(some))
        job.append((time.perf_counter() - begun) * 1e3)
        timings = json.loads(record.document)["timings_ms"]
        inner.append(timings["decode"] + timings["refine"] + timings["encode"])
    steps = parts(house, some)
    return [
        "## The job path beside direct execution\n",
        f"`{some.document.reported.recipe.refine}`, 40 times in turns with a direct call of the same function in this "
        "process.\n",
        *table(
            ["", "p50 / ms", "p99 / ms"],
            [
                ["direct", *quantiles(direct)],
                ["as a job, from its submission until its end is known", *quantiles(job)],
                ["difference of the pairs", *quantiles([a - b for a, b in zip(job, direct, strict=True)])],
                ["computing in the worker", *quantiles(inner)],
                *([name, *quantiles(times)] for name, times in steps.items()),
            ],
        ),
        "The aim is 20 ms. A job's arrays and record lie on the disk before it is accepted, its result before it has "
        "succeeded: 5 files or folders are synced by the service and the worker, and Redis syncs its file for 6 writes "
        "(record, queue with message, fetch, claim, end, acknowledgement), the last of them after the end. "
        "[The way of a job that computes nothing](job_path.md) has the same by stage, before and after what was done "
        "about it.\n",
    ]


def parts(house: House, some: Case) -> dict[str, list[float]]:
    """The parts of the path, one by one."""
    arrays, result = some.prepared.to_arrays(), some.direct().arrays
    steps: dict[str, Callable[[str], object]] = {
        "writing the input": lambda job_id: house.store.write(job_id, "input", arrays),
        "reading the input": lambda job_id: house.store.read(job_id, "input"),
        "writing the result": lambda job_id: house.store.write(job_id, "result-1", result),
        "one write of Redis": lambda _: house.records.announce("nobody"),
    }
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(40):
        job_id = uuid4().hex  # to replace a group is not what a job does
        for name, step in steps.items():
            begun = time.perf_counter()
            step(job_id)
            found[name].append((time.perf_counter() - begun) * 1e3)
        house.store.delete(job_id)
    return found


def cancelling(house: House, long: Case) -> list[str]:
    """From the request to the end of the computation."""
    took = []
    for _ in track(range(30), "cancelling"):
        job_id = house.submit(long)
        while house.records.get(job_id).progress is None:
            time.sleep(0.005)
        begun = time.perf_counter()
        house.records.request_cancel(job_id)
        record = asyncio.run(house.records.wait(job_id, 60.0))
        took.append((time.perf_counter() - begun) * 1e3)
        assert record.state is JobState.CANCELLED
    return [
        "## Cancelling a running job\n",
        *table(["", "p50 / ms", "p99 / ms"], [["from the request until it is cancelled", *quantiles(took)]]),
    ]


def events(house: House, seconds: float = 5.0) -> list[str]:
    """Progress events of one job, written and followed at the same time."""
    job_id = uuid4().hex
    house.records.create(job_id, b"{}")
    attempt = house.records.claim(job_id, job_id, "benchmark")
    assert attempt is not None

    async def follow() -> int:
        return sum([event is not None and event.kind == "progress" async for event in house.records.follow(job_id)])

    def write() -> int:
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            count += 1
            house.records.progress(job_id, attempt, RecordedProgress(count, 10**9, 0.1, 1000, "ER"))
        house.records.finish(job_id, attempt, JobState.FAILED, reason="benchmark")
        return count

    async def both() -> tuple[int, int]:
        following = asyncio.create_task(follow())
        return await asyncio.to_thread(write), await following

    written, followed = asyncio.run(both())
    return [
        "## Events\n",
        f"{written / seconds:.0f} progress events per second written one after the other, each on the disk when its "
        f"write returns; a follower received {100 * followed / written:.1f} % of them as they came (a worker sends at "
        "most 5 per second).\n",
    ]


def memory(house: House, supervisor: Supervisor, short: Case, jobs: int) -> list[str]:
    """Resident memory of the worker over many jobs."""
    after: list[list[str]] = []
    marks = sorted({10, jobs // 5, jobs})
    for done in track(range(1, jobs + 1), "memory"):
        house.store.delete(house.end_of(house.submit(short)).job_id)
        if done in marks:
            sizes = [process.memory_info().rss / 2**20 for process in family(supervisor)]
            after.append([str(done), *(f"{size:.0f}" for size in sizes)])
    return ["## Memory of a worker\n", *table(["after jobs", "worker / MiB", "compute process / MiB"], after)]


def under_chaos(house: House, cases: list[Case], jobs: int, kills: int) -> list[str]:
    """Jobs of all cases through two workers that are killed again and again."""
    expected = [some.direct().arrays["object"] for some in track(cases, "direct runs")]
    with house.workers(2), Progress() as bar:
        task = bar.add_task("under chaos", total=jobs)
        ids = [house.submit(cases[index % len(cases)]) for index in range(jobs)]
        account = chaos.unleash(
            house.records, house.queue, house.server, ids, kills=kills, spacing_s=6.0,
            progress=lambda ended: bar.update(task, completed=ended),
        )  # fmt: skip
    records = [house.records.get(job_id) for job_id in ids]
    off, resumed, twice = [], 0, 0
    for index, record in enumerate(records):
        if record.state is not JobState.SUCCEEDED:
            continue
        stored = house.store.read(record.job_id, record.result)["object"]
        off.append(float(np.abs(stored - expected[index % len(cases)]).max()))
        resumed += json.loads(record.document)["resumed_from"] is not None
        results = [name for name in house.store.names(record.job_id) if name.startswith("result-")]
        twice += ends(house, record.job_id) != 1 or results != [record.result]
    states = Counter(record.state.value for record in records)
    redelivered = [kill.redelivered_s for kill in account.kills if kill.redelivered_s is not None]
    by_kind = Counter(kill.what for kill in account.kills)
    rows = [
        ["jobs", str(jobs)],
        ["succeeded", str(states["succeeded"])],
        ["failed, cancelled, lost", str(jobs - states["succeeded"])],
        ["ended twice, or with two results", str(twice)],
        [
            f"equal to the direct run within {TOLERANCE:g} of the largest amplitude",
            str(sum(d <= TOLERANCE for d in off)),
        ],
        ["largest difference of any voxel from the direct run", f"{max(off):.1e}"],
        ["worker processes killed", str(by_kind[chaos.WORKER])],
        ["compute processes killed", str(by_kind[chaos.COMPUTE])],
        ["times Redis was killed", str(account.redis_kills)],
        ["jobs that went on from a checkpoint", str(resumed)],
        ["most attempts at one job", str(max(record.attempt for record in records))],
        ["jobs that no message stood for any more, handed out again", str(account.recovered)],
        ["from a kill until the next attempt began, largest / s", f"{max(redelivered, default=0.0):.2f}"],
        ["the same, p50 / s", f"{statistics.median(redelivered or [0.0]):.2f}"],
        ["all in all / s", f"{account.seconds:.0f}"],
    ]
    return [
        "## Under chaos\n",
        f"Two workers; {len(RECIPES)} recipes of 40 to 800 iterations on {CRYSTALS} crystals; every 6 s a worker "
        "process or a compute process in mid-computation is killed with SIGKILL, and once Redis. The direct run has "
        "the same seed and recipe on as many threads, so every bit should agree: a checkpoint holds all that a run "
        "needs. The tolerance leaves room for the rounding of another processor's FFT between hosts.\n",
        *table(["", ""], rows),
    ]


def ends(house: House, job_id: str) -> int:
    """How many times the job has ended."""

    async def count() -> int:
        return sum([event.ends async for event in house.records.follow(job_id) if event is not None])

    return asyncio.run(count())


def family(supervisor: Supervisor) -> list[psutil.Process]:
    """The worker and its compute process."""
    worker = psutil.Process(supervisor.pids[0])
    return [worker, *worker.children()]


def quantiles(values: list[float]) -> tuple[str, str]:
    """p50 and p99."""
    return f"{np.percentile(values, 50):.1f}", f"{np.percentile(values, 99):.1f}"


if __name__ == "__main__":
    typer.run(main)
