"""Latency and throughput of one network by itself, behind inphase, and behind servers of others.

python -m benchmarks.serving --peers ~/peers/bin/python     # about eight minutes on two cores

The peers' interpreter has `pip install litserve bentoml onnxruntime`; without --peers they are left out.
"""

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.serving import doors
from benchmarks.serving.load import Measured, asking, load, timed
from inphase.features import volume_features
from inphase.models.repository import Repository, default_root
from inphase.models.session import Session
from training.evaluate.machine import header
from training.evaluate.tables import table

CALLERS: Final = (1, 4, 16)
RUNS: Final = 2  # at a time, of every server: its best on two cores
BATCHES: Final = (1, 2, 4)
BARE: Final = "the bare session"
Found = dict[tuple[str, int], Measured]


def main(
    model: Annotated[
        str, typer.Option(help="This network takes a modulus of 64^3 and nothing else.")
    ] = "autophasenn@2",
    turns: Annotated[int, typer.Option(min=1, help="Everything is measured so many times, in turns.")] = 2,
    seconds: Annotated[float, typer.Option(help="Each server is loaded for so long in each turn.")] = 6.0,
    singles: Annotated[int, typer.Option(help="So many lone requests of each server in each turn.")] = 20,
    peers: Annotated[Path | None, typer.Option(help="This Python has litserve, bentoml and onnxruntime.")] = None,
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = ROOT
    / "benchmarks/results/serving.md",
) -> None:
    """Measure and write the tables.

    Example: python -m benchmarks.serving --turns 1 --seconds 3 --out /tmp/serving.md
    """
    threads = len(os.sched_getaffinity(0))
    session = Session(Repository(default_root()).resolve(model), threads)
    session.warm()
    counts = crystal()
    modulus = volume_features(counts.astype(np.float32), np.zeros(counts.shape, np.uint8), None, ["modulus"])
    before = os.getloadavg()[0]
    begun = time.monotonic()
    batches = measure_batches(session, modulus["modulus"], 4 * turns)
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        where = Path(folder)
        path = session.version.path
        port = doors.free_port()
        stack.enter_context(doors.inphase(port, where / "state", threads))
        servers = doors.of_inphase(port, model, counts, modulus["modulus"])
        if peers is not None:
            port = doors.free_port()
            stack.enter_context(doors.litserve(port, peers, path, threads, RUNS))
            servers.append(doors.of_peer("LitServe", port, modulus["modulus"]))
            port = doors.free_port()
            stack.enter_context(doors.bentoml(port, peers, where / "bentoml", path, threads, RUNS))
            servers.append(doors.of_peer("BentoML", port, modulus["modulus"]))
        measure(session, modulus["modulus"], servers, found, turns, singles, seconds)
    minutes = (time.monotonic() - begun) / 60
    lines = [
        "# One network behind several doors\n",
        f"{header()}\n",
        f"`{model}` on a pattern of 64^3, the same ONNX file for all, {threads} threads each, at most {RUNS} runs of "
        "the network at a time, one client for all of them, which shares the cores. The load of the machine was "
        f"{before:.1f} before this began"
        + (": others were at work, so compare within this page only" if before > 0.5 else "")
        + f". Everything was measured in turns, within {minutes:.0f} minutes: lone requests one of each server after "
        "the other, so that all of them meet the same moments.\n",
        "## Do batches help?\n",
        "Milliseconds per pattern of the bare session.\n",
        *table(["patterns in one run", "median", "least"], [[str(n), *ms] for n, ms in batches.items()]),
        "## Latency and throughput\n",
        *tables(found, [BARE, *(door.name for door in servers)]),
        "\nThe bare session has no server: its tensors are in this process, and its callers are at most as many as the "
        f"runs at a time ({RUNS}) that serve it best. /v1 cleans the counts, scores the prediction, and keeps a "
        "job with its result on the disk; the other servers take the network's own tensor and answer its outputs. With "
        "few requests, p99 is the slowest one.\n",
        "\nOne command makes this page: `python -m benchmarks.serving --peers PYTHON`.\n",
    ]
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


def crystal() -> NDArray[np.uint16]:
    """Counts of a box with a ramp, 1e4 at the peak."""
    box = np.zeros((64, 64, 64), np.complex64)
    box[21:43, 22:41, 23:42] = 1
    box[21:30, 22:30, 23:30] = np.exp(0.4j)
    fringes = np.abs(np.fft.fftshift(np.fft.fftn(box))) ** 2
    return np.random.default_rng(1).poisson(fringes / fringes.max() * 1e4).astype(np.uint16)


def measure_batches(session: Session, modulus: NDArray[np.float32], times: int) -> dict[int, list[str]]:
    """Median and least milliseconds per pattern of runs with several, in turns."""
    found: dict[int, list[float]] = {n: [] for n in BATCHES}
    for _ in range(times):
        for n in BATCHES:
            stacked = {"modulus": np.repeat(modulus, n, axis=0)}
            found[n].append(timed(lambda given=stacked: _run(session, given)).ms[0] / n)  # type: ignore[misc]
    return {n: [f"{np.median(ms):.0f}", f"{min(ms):.0f}"] for n, ms in found.items()}


def _run(session: Session, tensors: dict[str, NDArray[np.float32]]) -> str:
    session.infer(tensors)
    return ""


def measure(
    session: Session,
    modulus: NDArray[np.float32],
    servers: list[doors.Door],
    found: Found,
    turns: int,
    singles: int,
    seconds: float,
) -> None:
    """Lone requests in turns, then loads in turns."""
    callers = {BARE: lambda: lambda: _run(session, {"modulus": modulus})}
    callers |= {door.name: asking(door) for door in servers}
    for name, caller in callers.items():
        timed(caller())  # what is made once
        for several in CALLERS:
            found[name, several] = Measured()
    for _ in range(turns):
        for _ in range(singles):
            for name, caller in callers.items():  # on a new connection: no server keeps an idle one for long
                found[name, 1].add(timed(caller()))
        for several in CALLERS[1:]:
            for name, caller in callers.items():
                found[name, several].add(load(caller, min(several, RUNS) if name == BARE else several, seconds))


def tables(found: Found, names: list[str]) -> list[str]:
    """One for each number of callers, and one of the stages."""
    lines = []
    for several in CALLERS:
        floor = found[BARE, several]
        rows = []
        for name in names:
            one = found[name, several]
            middle, late, latest = one.percentiles()
            rows.append(
                [
                    name, str(len(one.ms)), f"{middle:.1f}", f"{late:.1f}", f"{latest:.1f}", f"{one.throughput:.2f}",
                    f"{middle - floor.percentiles()[0]:+.1f}" if several == 1
                    else f"{100 * one.throughput / floor.throughput:.0f} %",
                ]
            )  # fmt: skip
        beside = "p50 beside the bare session / ms" if several == 1 else "of the bare session's throughput"
        lines += [f"### {several} caller{'s' if several > 1 else ''}\n"]
        lines += table(["", "requests", "p50 / ms", "p95 / ms", "p99 / ms", "patterns/s", beside], rows)
    lines += ["### Where the time of a lone request goes, as the service tells it (medians)\n"]
    shown = [name for name in names if found[name, 1].stages]
    stages = list(dict.fromkeys(stage for name in shown for stage in found[name, 1].stages))
    rows = [
        [name, *(f"{np.median(found[name, 1].stages.get(stage, [0.0])):.1f}" for stage in stages)] for name in shown
    ]
    return lines + table(["/ ms", *stages], rows)


if __name__ == "__main__":
    typer.run(main)
