"""How soon the service says that it lives while it is busy, and what many requests leave in it.

python -m benchmarks.door            # about two minutes
"""

import asyncio
import io
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import httpx
import numpy as np
import psutil
import typer
import uvicorn
from starlette.types import Receive, Scope, Send

from benchmarks import ROOT
from training.evaluate.machine import header
from training.evaluate.tables import table

KEY: Final = "0123456789abcdefghij"
UPLOAD: Final = (256, 512, 512)  # uint32: 256 MiB
UPLOADS, RECONSTRUCTIONS = 4, 8
PROBED: Final = ("/healthz", "/readyz")
_PAUSE_S: Final = 0.02
_BLOCK: Final = 2**20
_START_S: Final = 120.0


@dataclass(frozen=True)
class Held:
    """What the service's process holds."""

    mebibytes: float
    descriptors: int

    @classmethod
    def of(cls, process: psutil.Process) -> "Held":
        """Now."""
        return cls(process.memory_info().rss / 2**20, process.num_fds())


@contextmanager
def started(command: list[str], port: int, **environment: str) -> Iterator[psutil.Process]:
    """A server that answers at /healthz; ended after the block."""
    process = subprocess.Popen(
        [sys.executable, *command], env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + _START_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command} does not answer at port {port}")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def empty(port: int) -> None:
    """A server that does nothing, on this machine and at this moment: what of a latency is not the service's."""

    async def answer(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    uvicorn.run(answer, port=port, log_level="critical", lifespan="off")


def _npy(shape: tuple[int, ...]) -> tuple[bytes, bytes]:
    """The header of an array, and a block that is repeated until it is full: of zeros, so that what was sent is refused
    once it has come, and no cleaning of it goes on when the load is over.
    """
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": "<u4"})
    return stream.getvalue(), bytes(_BLOCK)


def load(url: str, seconds: float, report: "multiprocessing.Queue[dict[str, int]]") -> None:
    """Four uploads and eight reconstructions at a time, in a process of its own, for so long."""
    end, statuses = time.monotonic() + seconds, Counter[str]()
    head, block = _npy(UPLOAD)
    blocks = int(np.prod(UPLOAD)) * 4 // _BLOCK
    small, _ = _npy((64, 64, 64))
    box = np.zeros((64, 64, 64))
    box[22:42, 24:40, 26:38] = 1
    fringes = np.abs(np.fft.fftshift(np.fft.fftn(box))) ** 2
    counts = np.random.default_rng(1).poisson(fringes / fringes.max() * 1e4).astype("<u4")
    headers = {"Authorization": f"Apikey {KEY}", "Content-Type": "application/x-npy"}

    def upload() -> Iterator[bytes]:
        yield head
        for _ in range(blocks):
            yield block

    def ask(kind: str, content: Callable[[], Iterator[bytes] | bytes], query: dict[str, str], length: int) -> None:
        with httpx.Client(base_url=url, headers=headers | {"Content-Length": str(length)}, timeout=600) as client:
            while time.monotonic() < end:
                try:
                    answer = client.post("/v1/reconstructions", params=query, content=content())
                    statuses[f"{kind} {answer.status_code}"] += 1
                except httpx.HTTPError as error:
                    statuses[f"{kind} {type(error).__name__}"] += 1

    whole = small + counts.tobytes()
    fast = {"refine": "fast", "wait": "5", "reuse": "false"}
    threads = [
        *(
            threading.Thread(target=ask, args=("upload", upload, {"refine": "none"}, len(head) + blocks * _BLOCK))
            for _ in range(UPLOADS)
        ),
        *(
            threading.Thread(target=ask, args=("reconstruction", lambda: whole, fast, len(whole)))
            for _ in range(RECONSTRUCTIONS)
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report.put(dict(statuses))


async def probe(urls: dict[str, str], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each answer, one address after the other, again and again."""
    found: dict[str, list[float]] = {name: [] for name in urls}
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(timeout=60) as client:
        while time.monotonic() < end:
            for name, url in urls.items():
                begun = time.perf_counter()
                (await client.get(url)).raise_for_status()
                found[name].append((time.perf_counter() - begun) * 1e3)
                await asyncio.sleep(_PAUSE_S)
    return found


def rows(measured: dict[str, list[float]], when: str) -> list[list[str]]:
    """Of each address: how many, the median, 99 of 100, and the slowest."""
    return [
        [name, when, str(len(ms)), *(f"{np.percentile(ms, share):.1f}" for share in (50, 99, 100))]
        for name, ms in measured.items()
    ]


def many(url: str, requests: int) -> Counter[int]:
    """Requests of several kinds, good and bad, four at a time."""
    stream = io.BytesIO()
    np.savez(stream, data=np.random.default_rng(2).poisson(9, (16, 16, 16)))
    archive = stream.getvalue()
    calls = [
        *[("GET", path, None) for path in ("/healthz", "/readyz", "/v1/models", "/v1/jobs", "/v1/jobs/" + "0" * 32)],
        ("GET", "/nowhere", None),
        ("POST", "/v1/reconstructions?refine=none&wait=0", None),
        ("POST", "/v1/reconstructions?refine=none", archive),
        ("POST", "/v1/reconstructions?refine=none", archive[:500]),
        ("GET", "/v1/status", None),
    ]
    headers = {"Authorization": f"Apikey {KEY}", "Content-Type": "application/x-npz"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client, ThreadPoolExecutor(4) as threads:

        def one(number: int) -> int:
            method, path, content = calls[number % len(calls)]
            return client.request(method, path, content=content).status_code

        return Counter(threads.map(one, range(requests)))


def main(
    seconds: Annotated[float, typer.Option(help="The load lasts so long.")] = 30.0,
    requests: Annotated[int, typer.Option(help="So many requests are counted.")] = 10_000,
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = ROOT
    / "benchmarks/results/door.md",
) -> None:
    """Measure and write the tables.

    Example: python -m benchmarks.door --seconds 10 --requests 1000 --out /tmp/door.md
    """
    port, other = free_port(), free_port()
    spawn = multiprocessing.get_context("spawn")
    idle = spawn.Process(target=empty, args=(other,), daemon=True)
    idle.start()
    url = f"http://127.0.0.1:{port}"
    probed = {path: f"{url}{path}" for path in PROBED} | {"a server that does nothing": f"http://127.0.0.1:{other}/"}
    with tempfile.TemporaryDirectory() as state:
        command = ["-m", "service.cli", "serve", "--port", str(port), "--state-dir", f"{state}/state"]
        with started(command, port, INPHASE_API_KEY=KEY) as service:
            quiet = asyncio.run(probe(probed, seconds / 3))
            report: multiprocessing.Queue[dict[str, int]] = spawn.Queue()
            busy = spawn.Process(target=load, args=(url, seconds, report))
            busy.start()
            time.sleep(3)  # until it has loaded and all of it is at work
            loaded = asyncio.run(probe(probed, seconds))
            statuses = report.get(timeout=600)
            busy.join()
            many(url, requests // 10)  # what is loaded once counts for none of those that follow
            before = Held.of(service)
            answers = many(url, requests)
            after = Held.of(service)
    idle.terminate()
    latencies = rows(quiet, "quiet") + rows(loaded, "under load")
    lines = [
        "# How soon the service says that it lives\n",
        f"{header()}\n",
        "One connection asks `/healthz`, `/readyz` and a server that does nothing in turn, while "
        f"{UPLOADS} uploads of 256 MiB and {RECONSTRUCTIONS} reconstructions of 64^3 are at work at a time, for "
        f"{seconds:.0f} s. The clients that make the load share the cores with all of it: the server that does nothing "
        "shows what the machine takes.\n",
    ]
    lines += table(["address", "state", "requests", "p50 / ms", "p99 / ms", "slowest / ms"], latencies)
    told = ", ".join(f"{count} x {what}" for what, count in sorted(statuses.items()))
    lines.append(f"\nOf the load: {told}.\n")
    lines.append("\n## What many requests leave\n")
    lines += table(
        ["", "memory of the service / MiB", "open descriptors"],
        [
            ["before", f"{before.mebibytes:.0f}", str(before.descriptors)],
            [f"after {requests} requests", f"{after.mebibytes:.0f}", str(after.descriptors)],
        ],
    )
    lines.append(
        "\nAnswers: " + ", ".join(f"{count} x {status}" for status, count in sorted(answers.items())) + ". One command "
        "makes this page: `python -m benchmarks.door`.\n"
    )
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
