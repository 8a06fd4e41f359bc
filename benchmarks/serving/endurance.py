"""Thousands of requests at /v2: whether memory, descriptors and threads of the service stay where they were.

python -m benchmarks.serving.endurance                # some two minutes on two cores
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import psutil
import typer

from benchmarks import ROOT
from benchmarks.serving import doors
from benchmarks.serving.__main__ import crystal
from benchmarks.serving.doors import Door
from benchmarks.serving.networks import IDLE, repository
from inphase.features import volume_features
from inphase.models.repository import Repository, default_root
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table

CALLERS: Final = 16
LOOKS: Final = 10
MIB: Final = 2**20


@dataclass(frozen=True)
class Held:
    """What the service holds after so many requests. nbytes: resident, of it and of all that it started."""

    requests: int
    seconds: float
    nbytes: int
    own_nbytes: int
    descriptors: int
    threads: int

    @classmethod
    def by(cls, server: psutil.Process, requests: int, begun: float) -> "Held":
        """Now."""
        family = [server, *server.children(recursive=True)]
        return cls(
            requests, time.perf_counter() - begun, sum(each.memory_info().rss for each in family),
            server.memory_info().rss, server.num_fds(), server.num_threads(),
        )  # fmt: skip


def asked(door: Door, requests: int, *, kept_open: bool) -> Iterator[Held]:
    """Ask so often with many callers at a time; what is held at the beginning, now and then, and at the end.

    kept_open: a caller has one connection; else each request has its own.
    """
    numbers, lock = count(1), threading.Lock()
    done = 0
    ended = threading.Condition()
    begun = time.perf_counter()

    def call() -> None:
        nonlocal done
        connection = HTTPConnection("127.0.0.1", door.port, timeout=600)
        while True:
            with lock:
                if next(numbers) > requests:
                    break
            door.ask(connection)
            if not kept_open:
                connection.close()
            with ended:
                done += 1
                ended.notify()
        connection.close()

    yield Held.by(door.server, 0, begun)
    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for look in range(1, LOOKS):
        wanted = requests * look // LOOKS
        with ended:
            ended.wait_for(lambda wanted=wanted: done >= wanted or not any(c.is_alive() for c in callers))  # type: ignore[misc]
        yield Held.by(door.server, done, begun)
    for caller in callers:
        caller.join()
    yield Held.by(door.server, done, begun)


def rows(found: list[Held]) -> list[list[str]]:
    """One line for each look."""
    return [
        [
            str(held.requests), f"{held.seconds:.0f}", f"{held.own_nbytes / MIB:.0f}", f"{held.nbytes / MIB:.0f}",
            str(held.descriptors), str(held.threads),
        ]
        for held in found
    ]  # fmt: skip


def drift(found: list[Held]) -> str:
    """What has come to stay. Of memory in the second half: the first one fills what is kept on purpose."""
    first, half, end = found[0], found[len(found) // 2], found[-1]
    grown, number = end.own_nbytes - half.own_nbytes, end.requests - half.requests
    return (
        f"From request {half.requests} to {end.requests} the service grew by {grown / MIB:+.1f} MiB, "
        f"{grown / number:+.0f} bytes a request. When the callers have gone, descriptors have changed by "
        f"{end.descriptors - first.descriptors:+d} and threads by {end.threads - first.threads:+d}."
    )


def main(
    requests: Annotated[int, typer.Option(min=100, help="So many requests are sent to the idle network.")] = 10_000,
    real: Annotated[int, typer.Option(min=0, help="So many are sent to a real one.")] = 500,
    model: Annotated[str, typer.Option(help="This real network takes a modulus of 64^3 alone.")] = "autophasenn@3",
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = ROOT
    / "benchmarks/results/endurance.md",
) -> None:
    """Ask, look, and write the tables.

    Example: python -m benchmarks.serving.endurance --requests 1000 --real 0 --out /tmp/endurance.md
    """
    threads, busy = len(os.sched_getaffinity(0)), busyness()
    counts = crystal()
    modulus = volume_features(counts.astype(np.float32), np.zeros(counts.shape, np.uint8), None, ["modulus"])["modulus"]
    columns = ["requests", "seconds", "resident / MiB", "with its processes / MiB", "descriptors", "threads"]
    lines = [
        "# Thousands of requests", "", header(), f"{busy} One command makes this page: "
        f"`python -m benchmarks.serving.endurance --requests {requests} --real {real}`.", "",
        f"{CALLERS} callers send a modulus of 64^3 in binary (1 MiB) to `/v2/models/{{model}}/infer` as fast as they "
        "are answered. The service has its own Redis and no worker. The idle network takes and answers the same "
        "tensors as a real one and computes next to nothing, so that a leak has many requests to show in. "
        f"Before the first line {CALLERS} times ten requests were sent.", "",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        models = repository(Path(folder) / "models", Repository(default_root()).resolve(model))
        port = doors.free_port()
        with doors.inphase(port, Path(folder) / "state", models.root, IDLE, threads) as server:
            idle = doors.of_inphase(server, port, IDLE, counts, modulus)[0]
            list(asked(idle, 10 * CALLERS, kept_open=True))
            for title, door, number, kept_open in (
                ("The idle network, connections kept open", idle, requests, True),
                ("The idle network, a connection for every request", idle, requests, False),
                (f"{model}", doors.of_inphase(server, port, model.partition("@")[0], counts, modulus)[0], real, True),
            ):
                if not number:
                    continue
                found = list(asked(door, number, kept_open=kept_open))
                lines += [f"## {title}", "", *table(columns, rows(found)), drift(found), ""]
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
