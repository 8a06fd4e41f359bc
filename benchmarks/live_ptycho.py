"""Ptychographic scans that are imaged while they are scanned: how fast frames may come, and how soon they are in the
object.

python -m benchmarks.live_ptycho           # about five minutes on two cores
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray

from benchmarks.live.curves import RESULTS
from benchmarks.live.serving import service, store_kind
from inphase.client import Client
from service.scans.ptycho import MORE
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table
from training.simulate.ptychography import scene

SIDE: Final = 128
STEP: Final = 12.0  # pixels between neighbours
ACROSS: Final = 20  # frames of a tile along each axis
TILES: Final = 6  # along an axis: the same tile is scanned side by side
BATCHES: Final = 20.0  # a second
SETTLING_S: Final = 30.0  # how long looks are followed after the last frame

commands = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Frames:
    """A tile that is scanned again and again beside itself, as many frames as anybody wants."""

    counts: NDArray[np.uint16]
    positions: NDArray[np.float64]
    probe: NDArray[np.complex128]

    @classmethod
    def made(cls) -> "Frames":
        """Of a simulated object; counts fit 16 bits."""
        of = scene(side=SIDE, frames=ACROSS, step=STEP, photons=1e6)
        return cls(np.minimum(of.counts, 65_535).astype(np.uint16), of.positions, of.probe)

    def some(self, first: int, count: int) -> tuple[list[int], list[NDArray[np.uint16]], NDArray[np.float64]]:
        """Places, frames and positions."""
        places = list(range(first, first + count))
        inside = [place % len(self.counts) for place in places]
        tiles = np.array([divmod(place // len(self.counts), TILES) for place in places])
        return places, [self.counts[one] for one in inside], self.positions[inside] + tiles * (ACROSS * STEP)


@dataclass
class Run:
    """One scan. acknowledged: when each frame was, by its place (time.monotonic()). looks: when each one's image was
    known, and how many frames it shows. received: by the service. behind: the sender's delay at the end, seconds.
    """

    rate: float
    acknowledged: list[float] = field(default_factory=list)
    looks: list[tuple[float, int]] = field(default_factory=list)
    received: int = 0
    seconds: float = 0.0
    behind: float = 0.0

    def latencies(self) -> NDArray[np.float64]:
        """Seconds from a frame's acknowledgement to the first image that shows it; of those that an image shows."""
        found = []
        looks = iter(self.looks)
        moment, shown = next(looks, (np.inf, 0))
        for place, acknowledged in enumerate(self.acknowledged):
            while shown <= place and shown < np.inf:
                moment, shown = next(looks, (np.inf, np.inf))  # type: ignore[assignment]
            if np.isfinite(moment):
                found.append(moment - acknowledged)
        return np.array(found)


def paced(client: Client, frames: Frames, rate: float, seconds: float) -> Run:
    """Frames in the order of their places, at a rate; inf is as fast as they are taken."""
    run = Run(rate)
    live = client.open_scan(frames.counts[0], None, kind="ptycho", probe=frames.probe, turn=False, name=f"{rate:g}/s")
    follower = threading.Thread(target=_follow, args=(client, live["id"], run), daemon=True)
    follower.start()
    size = 64 if np.isinf(rate) else max(1, round(rate / BATCHES))
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + seconds:
        due = begun + (len(run.acknowledged) + size) / rate
        time.sleep(max(0.0, due - now))
        client.add_frames(live["id"], *frames.some(len(run.acknowledged), size))
        run.acknowledged += [time.monotonic()] * size
    run.seconds = time.monotonic() - begun
    run.behind = 0.0 if np.isinf(rate) else max(0.0, run.seconds - len(run.acknowledged) / rate)
    end = time.monotonic() + SETTLING_S
    while time.monotonic() < end and (not run.looks or run.looks[-1][1] < len(run.acknowledged)):
        time.sleep(0.1)
    run.received = client.scan(live["id"])["frames"]["received"]
    client.abort_scan(live["id"], "measured")
    follower.join()
    return run


def _follow(client: Client, scan: str, run: Run) -> None:
    for event in client.follow_scan(scan):
        if event.kind == "look" and event.data["state"] == "succeeded":
            run.looks.append((time.monotonic(), event.data["frames"]))


def row(run: Run) -> list[str]:
    """A line of the table."""
    sent = len(run.acknowledged)
    latencies = run.latencies()
    p50, p99 = (f"{p:.2f}" for p in np.percentile(latencies, (50, 99))) if len(latencies) else ("-", "-")
    return [
        "as fast as taken" if np.isinf(run.rate) else f"{run.rate:g}",
        f"{sent / run.seconds:.0f}",
        f"{run.seconds:.0f}",
        str(sent),
        str(sent - run.received),
        str(len(run.looks)),
        f"{len(latencies) / sent:.0%}",
        p50,
        p99,
    ]


@commands.command()
def main(
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = RESULTS / "live_ptycho.md",
    seconds: Annotated[float, typer.Option(help="Each scan lasts so long.")] = 60.0,
    rates: Annotated[str, typer.Option(help="Frames per second, separated by commas.")] = "10,50,200,inf",
) -> None:
    """Measure how fast frames of 128 x 128 may come, and how soon they are in the object.

    Example: python -m benchmarks.live_ptycho --seconds 20 --rates 25,inf --out /tmp/live_ptycho.md
    """
    busy, frames = busyness(), Frames.made()
    runs: list[Run] = []
    with service(INPHASE_BOUNDS__SCAN_FRAMES="1000000") as client:
        paced(client, frames, 50.0, 5.0)  # everything is loaded then
        for rate in (float(part) for part in rates.split(",")):
            runs.append(paced(client, frames, rate, seconds))
            typer.echo(" | ".join(row(runs[-1])))
    asked = f"python -m benchmarks.live_ptycho --seconds {seconds:g} --rates {rates}"
    out.write_text("\n".join(_page(runs, asked, busy)))


def _page(runs: Sequence[Run], asked: str, busy: str) -> list[str]:
    heads = [
        "asked, frames/s", "taken, frames/s", "s", "frames", "lost", "looks", "frames in an image", "p50 s", "p99 s",
    ]  # fmt: skip
    kept = [run for run in runs if len(run.latencies()) >= len(run.acknowledged) / (1 + MORE) - 1]
    most = max(
        (len(run.acknowledged) / run.seconds for run in runs if run.received == len(run.acknowledged)), default=0
    )
    return [
        "# Live ptychographic scans\n",
        f"{header()} {busy} {store_kind()}\n",
        f"One command makes this page: `{asked}`. Frames of 128 x 128 numbers of 16 bits and "
        "their positions are sent in batches by one client to a service with one worker, all on this machine. A "
        f"simulated tile of {ACROSS} x {ACROSS} frames in steps of {STEP:g} pixels is scanned side by side, so the "
        "object grows. Lost are frames that were acknowledged and are not there. Latency is from the acknowledgement "
        "of a frame to the moment at which a follower hears of the first image that shows it, of those frames that an "
        f"image showed {SETTLING_S:g} s after the last one at the latest. A look comes after {MORE:.0%} more frames, "
        "so as many may lack one while a scan is open.\n",
        *table(heads, [row(run) for run in runs]),
        f"Zero loss up to {most:.0f} frames/s. "
        + (
            "The fastest of these rates with which looks kept up is "
            f"{max(len(run.acknowledged) / run.seconds for run in kept):.0f} frames/s. Where they fall behind, the "
            "last image has all frames all the same."
            if kept
            else "Looks kept up with none of these rates; the last image has all frames."
        ),
        "",
    ]


if __name__ == "__main__":
    commands()
