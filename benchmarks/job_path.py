"""What a job costs beside its computation: the way of a job whose computation takes no time.

python -m benchmarks.job_path                       # half a minute
python -m benchmarks.job_path --before CHECKOUT     # in turns with an earlier version, a minute

The jobs are real, and so is the worker; in its compute process this module stands in for the refinement.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Final, cast
from uuid import uuid4

import numpy as np
import typer

from benchmarks import ROOT
from inphase.imaging.prepared import PreparedPattern
from service.document import JobDocument
from service.intake.acceptance import Intake
from service.intake.options import JobOptions
from service.intake.sources import FileSource
from service.intake.submission import Sender, Submission
from service.jobs.entry import Origin
from service.jobs.record import Records
from service.jobs.state import JobState
from service.jobs.store import Arrays
from service.jobs.supervisor import Supervisor
from service.jobs.task import Outcome, Task
from service.settings import Settings
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table

Times = dict[str, list[float]]  # milliseconds of each job, by stage
ALL: Final = "all of it"
_WORKER: Final = f"from service.jobs.worker import supervised; supervised({Path(__file__).stem!r})"
_PAUSE_S: Final = 0.05
_PAGE: Final = ROOT / "benchmarks/results/job_path.md"


@cache
def result() -> Arrays:
    """What a result file of 64^3 holds, by size."""
    draw = np.random.default_rng(0).random((64, 64, 64), np.float32)
    flags = np.zeros(draw.shape, np.uint8)
    real = dict.fromkeys(("amplitude", "phase", "phase_flat", "modulus"), draw)
    return {"object": draw + 1j * draw, **real, **dict.fromkeys(("support", "mask", "free"), flags)}


def warm(device: str, threads: int | None) -> None:
    """As service.jobs.perform has it: there is nothing to be compiled."""
    result()


def perform(task: Task) -> Outcome:
    """As service.jobs.perform has it: read the input, and have a result."""
    document = JobDocument.from_json(task.document)
    begun = time.perf_counter()
    PreparedPattern.from_arrays(task.store.read(task.job_id, "input"), document.reported)
    read_ms = (time.perf_counter() - begun) * 1e3
    report = replace(document.reported, timings_ms={"decode": read_ms})
    ended = replace(document.succeeded(report), attempt=task.attempt).to_json()
    return Outcome({**result(), "document": np.array(ended.decode())}, ended)


def measured(jobs: int) -> Times:
    """The ways of so many jobs, one after the other, in the version of the service that is imported."""
    from benchmarks.jobs import House, case

    with tempfile.TemporaryDirectory() as folder:
        house, some = House(Path(folder)), case(0, "ER")
        intake = Intake(house.records, None, house.queue, house.store, Settings().bounds)
        supervisor = Supervisor(house.settings, 1, (sys.executable, "-c", _WORKER))
        supervisor.start()
        try:
            while not house.records.workers():
                time.sleep(_PAUSE_S)
            with asyncio.Runner() as runner:
                ways = [_way(intake, house.records, runner, some.prepared, some.document) for _ in range(jobs + 2)]
        finally:
            supervisor.stop()
            house.close()
    return {stage: [way[stage] for way in ways[2:]] for stage in ways[0]}


def _way(
    intake: Intake, records: Records, runner: asyncio.Runner, prepared: PreparedPattern, document: JobDocument
) -> dict[str, float]:
    """One job, whose data have been read when it is accepted. Milliseconds by stage."""
    time.sleep(_PAUSE_S)  # the worker is idle again
    asked, reader = Submission(options=JobOptions(), source=FileSource(path="some.h5")), uuid4().hex
    times = [time.time()]
    record = intake.accept(asked, Sender(Origin()), reader=reader)
    times.append(time.time())
    intake.hand_out(record, reader, prepared, document.reported, reuse=False)
    times.append(time.time())
    record = runner.run(records.wait(record.job_id, 60.0))
    end = time.time()
    if record.state is not JobState.SUCCEEDED or record.started is None or record.finished is None:
        raise RuntimeError(f"job {record.job_id} is {record.state}: {record.reason}")
    read_s = json.loads(record.document)["timings_ms"]["decode"] / 1e3
    seconds = {
        "recording it": times[1] - times[0],
        "writing its input, handing it out": times[2] - times[1],
        "until its attempt has begun": record.started - times[2],
        "reading its input": read_s,
        "writing its result, its end": record.finished - record.started - read_s,
        "until its end is known": end - record.finished,
        ALL: end - times[0],
    }
    return {stage: found * 1e3 for stage, found in seconds.items()}


def elsewhere(checkout: Path, jobs: int) -> Times:
    """The same in the version of a checkout, measured by this file."""
    here = Path(__file__)
    paths = os.pathsep.join((str(checkout), str(here.parent)))
    done = subprocess.run(
        [sys.executable, "-c", f"import json, {here.stem} as path; print(json.dumps(path.measured({jobs})))"],
        cwd=checkout, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        check=True,
    )  # fmt: skip
    return cast(Times, json.loads(done.stdout.splitlines()[-1]))


def main(
    before: Annotated[Path | None, typer.Option(help="An earlier version is in this checkout.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="So many jobs of each version in each turn.")] = 30,
    turns: Annotated[int, typer.Option(min=1, help="Everything is measured so many times, in turns.")] = 3,
    out: Annotated[Path, typer.Option(help="The table is written to this Markdown file.")] = _PAGE,
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.job_path --jobs 10 --turns 1 --out /tmp/job_path.md
    """
    busy = busyness()
    versions = ([before.absolute()] if before else []) + [ROOT]
    found: list[Times] = [{} for _ in versions]
    for _ in range(turns):
        for times, version in zip(found, versions, strict=True):
            for stage, ms in elsewhere(version, jobs).items():
                times.setdefault(stage, []).extend(ms)
    out.write_text("\n".join(page(found, busy)))
    typer.echo(f"wrote {out}")


def page(found: list[Times], busy: str) -> list[str]:
    """The page. found: of the earlier version, where there is one, and of this one."""
    whose = ["before: ", "now: "][-len(found) :] if len(found) > 1 else [""]
    columns = ["", *(f"{version}{quantile} / ms" for version in whose for quantile in ("p10", "p50", "p90"))]
    rows = [
        [stage, *(f"{np.percentile(times[stage], share):.1f}" for times in found for share in (10, 50, 90))]
        for stage in found[-1]
    ]
    return [
        "# The way of a job that computes nothing\n",
        f"{header()}\n",
        f"Volumes of 64^3: 1.5 MiB of input, {sum(array.nbytes for array in result().values()) / 2**20:.1f} MiB of "
        f"result; {len(found[-1][ALL])} jobs of each version, in turns, one after the other. {busy} Who "
        "else is at work delays every stage. The embedded Redis syncs every write; the worker is the real "
        "one, and its compute process reads the input and writes a result without computing any. Accepting it is what "
        "the service does with a job whose data it has read.\n",
        *table(columns, rows),
        "[A decision](../../docs/decisions/0050-one-wait-for-the-disk.md) says what is waited for, and what each wait "
        "keeps. One command makes this page: `python -m benchmarks.job_path`, with `--before CHECKOUT` beside an "
        "earlier version.\n",
    ]


if __name__ == "__main__":
    typer.run(main)
