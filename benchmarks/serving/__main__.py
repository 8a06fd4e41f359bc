"""Latency and throughput of one network by itself, behind inphase, and behind servers of others.

python -m benchmarks.serving --peers ~/peers/bin/python     # about eight minutes on two quiet cores

The peers' interpreter has `pip install litserve bentoml "ray[serve]" nvidia-pytriton onnxruntime`, or there is one for
each, and --peers for each; what none of them has is left out.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.serving import doors
from benchmarks.serving.load import Ask, Measured, asking, load, timed
from benchmarks.serving.networks import IDLE, repository
from inphase.features import volume_features
from inphase.models.repository import ModelVersion, Repository, default_root
from inphase.models.session import Session, Sessions
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table

CALLERS: Final = (1, 4, 16)
RUNS: Final = 2  # of the network at a time, in every server
BATCHES: Final = (1, 2, 4)
BARE: Final = "the bare session"
PATIENCE_S: Final = 60.0
RARE: Final = 5  # of so many lone requests one is large
LARGE: Final = 256  # voxels along a side


@dataclass(frozen=True)
class Plan:
    """How much is measured. singles: lone requests of each server in a turn. seconds: of each load in a turn."""

    turns: int
    singles: int
    seconds: float


@dataclass
class Found:
    """Of one network. batches: milliseconds of the clock, and of the processor, per pattern, by the patterns of a run.

    loads: by server and callers.
    """

    batches: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    loads: dict[tuple[str, int], Measured] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The servers, the bare session first."""
        return list(dict.fromkeys(name for name, _ in self.loads))


def main(
    model: Annotated[str, typer.Option(help="This network takes a modulus of 64^3 alone.")] = "autophasenn@3",
    turns: Annotated[int, typer.Option(min=1, help="Everything is measured so many times, in turns.")] = 2,
    seconds: Annotated[float, typer.Option(help="Each server is loaded for so long in each turn.")] = 3.0,
    singles: Annotated[int, typer.Option(help="So many lone requests of each server in each turn.")] = 10,
    peers: Annotated[
        list[Path] | None,
        typer.Option(
            help="This Python has onnxruntime and some of litserve, bentoml, ray and pytriton; repeat it for others."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = ROOT
    / "benchmarks/results/serving.md",
) -> None:
    """Measure and write the tables.

    Example: python -m benchmarks.serving --turns 1 --seconds 1 --out /tmp/serving.md
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # and the servers with it
    busy, begun, others = busyness(), time.monotonic(), doors.peers(peers or ())
    with tempfile.TemporaryDirectory() as folder:
        models = repository(Path(folder) / "models", Repository(default_root()).resolve(model))
        # the idle network answers in milliseconds: many more requests in the same time; cleaning counts is no door
        idle = measured(models.resolve(IDLE), Plan(turns, 10 * singles, seconds), Path(folder), others)
        real = measured(models.resolve(model), Plan(turns, singles, seconds), Path(folder), others)
    out.write_text("\n".join(page(model, idle, real, busy, (time.monotonic() - begun) / 60)))
    typer.echo(f"wrote {out}")


def measured(version: ModelVersion, plan: Plan, folder: Path, peers: list[doors.Peer]) -> Found:
    """A network by itself and behind every server, each with all cores."""
    threads = len(os.sched_getaffinity(0))
    session = Sessions(Repository(version.path.parents[2], version.card.name), threads).load(version)  # as served
    counts = crystal()
    modulus = volume_features(counts.astype(np.float32), np.zeros(counts.shape, np.uint8), None, ["modulus"])["modulus"]
    found = Found(batches=batches(session, modulus, 4 * plan.turns))
    with ExitStack() as stack:
        port = doors.free_port()
        state = folder / f"state-{version.card.name}"
        server = stack.enter_context(doors.inphase(port, state, folder / "models", version.label, threads))
        servers = doors.of_inphase(server, port, version.card.name, counts, modulus)
        if version.card.name == IDLE:
            servers = servers[:1]
        else:
            servers += doors.of_large(server, port, version.card.name, crystal(LARGE))
        for peer in peers:
            port = doors.free_port()
            server = stack.enter_context(peer.started(port, folder / peer.name, version.path, threads, RUNS))
            servers.append(doors.of_peer(peer.name, server, port, modulus))
        loads(found, session, modulus, servers, plan)
    return found


def crystal(side: int = 64) -> NDArray[np.uint16]:
    """Counts of a box with a ramp, 1e4 at the peak. side: voxels; more of them sample the same crystal finer."""
    box = np.zeros((side, side, side), np.complex64)
    box[21:43, 22:41, 23:42] = 1
    box[21:30, 22:30, 23:30] = np.exp(0.4j)
    fringes = np.abs(np.fft.fftshift(np.fft.fftn(box))) ** 2
    counts: NDArray[np.uint16] = np.random.default_rng(1).poisson(fringes / fringes.max() * 1e4).astype(np.uint16)
    return counts


def batches(session: Session, modulus: NDArray[np.float32], times: int) -> dict[int, list[tuple[float, float]]]:
    """Milliseconds per pattern of runs with several, in turns."""
    stacked = {n: np.repeat(modulus, n, axis=0) for n in BATCHES}
    found: dict[int, list[tuple[float, float]]] = {n: [] for n in BATCHES}
    for _ in range(times):
        for n, several in stacked.items():
            before = time.process_time()
            clock = timed(bare(session, several)).ms[0]
            found[n].append((clock / n, (time.process_time() - before) * 1e3 / n))
    return found


def bare(session: Session, modulus: NDArray[np.float32]) -> Ask:
    """A caller who has the session itself."""

    def ask() -> str:
        session.infer({"modulus": modulus})
        return ""

    return ask


def loads(found: Found, session: Session, modulus: NDArray[np.float32], servers: list[doors.Door], plan: Plan) -> None:
    """Lone requests in turns, then loads in turns."""
    callers = {BARE: lambda: bare(session, modulus), **{door.name: asking(door) for door in servers}}
    large = {door.name for door in servers if door.large}
    processors = {BARE: time.process_time, **{door.name: door.processor_s for door in servers}}
    for name, caller in callers.items():
        first(caller)  # what is made once
        for several in CALLERS[:-1] if name in large else CALLERS:
            found.loads[name, several] = Measured()
    for _ in range(plan.turns):
        for number in range(plan.singles):
            for name, caller in callers.items():  # on a new connection: no server keeps an idle one for long
                if name not in large or number % RARE == 0:
                    found.loads[name, 1].add(lone(caller(), processors[name]))
        for several in CALLERS[1:]:
            for name, caller in callers.items():
                if (name, several) not in found.loads:
                    continue
                count = min(several, RUNS) if name == BARE else several
                found.loads[name, several].add(load(caller, count, plan.seconds))
                typer.echo(f"{session.version.label} {several} {name}: {found.loads[name, several].throughput:.2f}/s")


def first(caller: Callable[[], Ask]) -> None:
    """A first answer: Ray Serve listens before it has loaded the network."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            timed(caller())
            return
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def lone(ask: Ask, processor_s: Callable[[], float]) -> Measured:
    """One request, with what it takes of its server's processor."""
    before = processor_s()
    found = timed(ask)
    found.processor_ms.append((processor_s() - before) * 1e3)
    return found


def page(model: str, idle: Found, real: Found, busy: str, minutes: float) -> list[str]:
    """The page."""
    rows = [
        [str(n), *(f"{took:.0f}" for took in (*np.min(ms, axis=0), *np.median(ms, axis=0)))]
        for n, ms in real.batches.items()
    ]
    return [
        "# One network behind several doors\n",
        f"{header()}\n",
        f"A pattern of 64^3, and one of {LARGE}^3 where a row says so; the same ONNX file, "
        f"{len(os.sched_getaffinity(0))} threads and at most {RUNS} runs of the network at a time for every server; "
        f"one client for all of them, which shares the cores. {busy} "
        f"So compare within this page only. Everything was measured in turns, within {minutes:.0f} "
        "minutes: lone requests one of each server after the other, so that all of them meet the same moments. With "
        "few requests, p99 is the slowest one. The processor's time of the server, of all its processes, depends least "
        "on what others do. Where others are at work, whoever has more threads may get more of the machine: "
        "LitServe's and Ray Serve's workers are processes with a session each; inphase and BentoML have one session "
        "for all runs, Triton one run at a time, of up to 4 patterns that wait together.\n",
        "The bare session has no server: its tensors are in the client's process, and its callers are as many as its "
        "runs at a time. `/v1` cleans the counts, scores the prediction, and keeps a job with its result on the "
        "disk; `.counts` under `/v2` does the same without a job; all others take the network's tensor and answer its "
        f"outputs. Counts of {LARGE}^3 are brought onto the network's grid by the service: whoever takes the network's "
        f"tensor has no such row. {CALLERS[-1]} of them at a time would take more memory than one owner may, and "
        "some would be refused (429).\n",
        "## The door alone\n",
        "A network that takes every second voxel: what a request costs beside its inference.\n",
        *tables(idle),
        f"## With a network, `{model}`\n",
        *tables(real),
        "## Do batches help?\n",
        f"Milliseconds per pattern of the bare session, `{model}`; the processor's time is that of all threads.\n",
        *table(["patterns in one run", "least", "least of the processor", "median", "median of the processor"], rows),
        "One command makes this page: `python -m benchmarks.serving --peers PYTHON`.\n",
    ]


def tables(found: Found) -> list[str]:
    """One for each number of callers, and one of the stages."""
    lines = []
    for several in CALLERS:
        beside = "p50 beside the bare session / ms" if several == 1 else "of the bare session's throughput"
        lines += [f"{several} caller{'s' if several > 1 else ''}:\n"]
        columns = ["", "requests", "p50 / ms", "p95 / ms", "p99 / ms", "patterns/s", beside]
        columns += ["processor / ms a request"] if several == 1 else []
        lines += table(columns, [row(found, name, several) for name in found.names if (name, several) in found.loads])
    lines += ["Where the time of a lone request goes, as the service tells it, medians in ms:\n"]
    shown = [name for name in found.names if found.loads[name, 1].stages]
    stages = list(dict.fromkeys(stage for name in shown for stage in found.loads[name, 1].stages))
    rows = [
        [name, *(f"{np.median(found.loads[name, 1].stages.get(stage, [0.0])):.1f}" for stage in stages)]
        for name in shown
    ]
    return lines + table(["", *stages], rows)


def row(found: Found, name: str, several: int) -> list[str]:
    """A server at so many callers."""
    one, floor = found.loads[name, several], found.loads[BARE, several]
    apart = one.percentiles()[0] - floor.percentiles()[0]
    beside = f"{apart:+.1f}" if several == 1 else f"{100 * one.throughput / floor.throughput:.0f} %"
    processor = [f"{np.mean(one.processor_ms):.1f}"] if several == 1 else []
    return [
        name, str(len(one.ms)), *(f"{ms:.1f}" for ms in one.percentiles()), f"{one.throughput:.2f}", beside, *processor,
    ]  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
