"""Curves that are sent to a service as if they were being measured: when their images are there."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.live.curves import AIM_SHARE, GOOD, TURNS, WHAT, Measured, some
from benchmarks.live.serving import service, store_kind
from inphase.client import Client
from inphase.formats.npz import read_arrays
from inphase.imaging.earlier import Earlier, similarity
from inphase.imaging.report import Report
from inphase.live.replay import BATCHES, Plan, Replayed, replay
from training.evaluate.machine import busyness, header
from training.evaluate.tables import table

RATE: Final = 200.0  # frames per second
AIM_S: Final = 2.0  # from the last frame to the image on the network's grid


@dataclass(frozen=True)
class Shown:
    """An image of an unfinished curve. frames: it was made of. seconds: after the last frame when a follower heard of
    it, below 0 before. likeness: to the last image on the network's grid.
    """

    frames: int
    seconds: float
    likeness: float


@dataclass(frozen=True)
class Run:
    """One replay. shown: its images before the last one, in order. why: the last one began where it did."""

    curve: Measured
    done: Replayed
    shown: Sequence[Shown]
    why: str

    @property
    def most(self) -> int:
        """Frames that the first good image is to be made of, at most."""
        return int(AIM_SHARE * self.curve.frames)

    @property
    def good(self) -> Shown | None:
        """The first image that is good and made of few enough frames."""
        few = (each for each in self.shown if each.frames <= self.most)
        return next((each for each in few if each.likeness >= GOOD), None)


class _Follower:
    """Hears of looks while another thread sends frames."""

    def __init__(self, client: Client) -> None:
        self.begun = 0.0
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self._client = client
        self._thread: threading.Thread | None = None

    def follow(self, document: dict[str, Any]) -> None:
        """Begin; the first frame comes next."""
        self._thread = threading.Thread(target=self._run, args=(document["id"],), daemon=True)
        self._thread.start()
        self.begun = time.monotonic()

    def _run(self, scan: str) -> None:
        for event in self._client.follow_scan(scan):
            if event.kind == "look":
                self.heard.append((time.monotonic(), event.data))

    def ended(self) -> list[tuple[float, dict[str, Any]]]:
        """The looks, when the scan has ended."""
        assert self._thread is not None
        self._thread.join()
        return self.heard


def replayed(client: Client, curve: Measured) -> Run:
    """Send a curve at RATE, and compare its looks with its last image on the network's grid."""
    follower = _Follower(client)
    done = replay(client, curve.scan, Plan(RATE), opened=follower.follow, grid="auto")
    ended = follower.begun + done.sending_s
    assert done.final is not None
    whole = _last(client, done.final)
    shown = [
        Shown(
            look["frames"], moment - ended, similarity(_image(client, look["job"]).on(whole.grid), whole.object)
        )
        for moment, look in follower.ended()
        if look["state"] == "succeeded" and not look["final"]
    ]  # fmt: skip
    return Run(curve, done, shown, client.job(done.final)["start"]["why"])


def _last(client: Client, job: str) -> Earlier:
    """The last image on the network's grid: the second one where random starts were tried after the first."""
    document = client.job(job)
    first, *more = [each["number"] for each in document["revisions"] if each["kind"] == "refined"]
    image = _image(client, job, first)
    if document["ensemble"] is not None and more:
        later = _image(client, job, more[0])
        if later.object.shape == image.object.shape:
            return later
    return image


def _image(client: Client, job: str, revision: int | None = None) -> Earlier:
    """The image of a job with its grid."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.npz"
        client.save(job, path, revision=revision)
        arrays = read_arrays(path)
    return Earlier(arrays["object"], Report.from_json(str(arrays["document"])).preprocess)


def _sent(runs: Sequence[Run]) -> list[str]:
    """A line of the table: medians."""
    curve = runs[0].curve
    first = [run.shown[0] for run in runs if run.shown]
    before = sum(each.seconds < 0 for each in first)

    def middle(moments: Sequence[float | None], sign: str = "") -> str:
        known = [moment for moment in moments if moment is not None]
        return f"{statistics.median(known):{sign}.2f}" if known else "-"

    frames = statistics.median_low(each.frames for each in first) if first else 0
    return [
        curve.name,
        str(curve.frames),
        f"{runs[0].done.scan['advice']['peak_place'] / curve.frames:.0%}",
        str(sum(run.done.lost for run in runs)),
        f"{curve.frames / statistics.median(run.done.sending_s for run in runs):.0f}",
        f"{frames} ({frames / curve.frames:.0%})" if first else "-",
        middle([each.likeness for each in first]),
        f"{middle([each.seconds for each in first], '+')} ({before} of {len(runs)} before it)",
        middle([run.done.network_s for run in runs]),
        middle([run.done.model_s for run in runs]),
        middle([run.done.whole_s for run in runs]),
    ]


def _aims(every: Sequence[Sequence[Run]]) -> list[str]:
    """Whether they were reached."""
    lost = sum(run.done.lost for runs in every for run in runs)
    within = [runs for runs in every if any(run.shown and run.shown[0].frames <= run.most for run in runs)]
    good = [runs for runs in within if all(run.good for run in runs)]
    found = [statistics.median(run.done.model_s or float("inf") for run in runs) for runs in every]
    late = [
        f"{runs[0].curve.name} after {seconds:.1f} s ({runs[0].why})"
        for runs, seconds in zip(every, found, strict=True)
        if seconds > AIM_S
    ]
    return [
        "## Aims\n",
        f"* No frame lost: {'reached' if not lost else f'missed, {lost} frames'}.",
        f"* A good image of at most {AIM_SHARE:.0%} of the curve: reached in all turns by {len(good)} of {len(every)} "
        f"curves: {_names(good)}. The first image of {len(every) - len(within)} others is made of more: their peak "
        f"comes later, or so many frames were a part of a batch. Too little like the last image are those of "
        f"{_names([runs for runs in within if runs not in good])}.",
        f"* The image on the network's grid {AIM_S:g} s after the last frame: reached by {len(every) - len(late)} of "
        f"{len(every)} curves. It is late for {'; '.join(late) or 'none'}.",
        "",
    ]


def _names(every: Sequence[Sequence[Run]]) -> str:
    return "; ".join(runs[0].curve.name for runs in every) or "none"


def page(simulated: int, tell: Callable[[str], None]) -> str:
    """Of so many simulated curves beside those of real crystals. tell: takes every line as soon as it is there."""
    busy, chosen = busyness(), some(simulated)
    every: list[list[Run]] = [[] for _ in chosen]
    with service() as client:
        replayed(client, chosen[-1])  # everything is loaded then
        for turn in range(TURNS):
            for curve, runs in zip(chosen, every, strict=True):
                if turn < curve.turns:
                    runs.append(replayed(client, curve))
                    tell(" | ".join(_sent(runs)))
    heads = [
        "curve", "frames", "peak at", "lost", "frames/s", "first image of", "likeness", "s after the last frame",
        "network s", "model grid s", "finest grid s",
    ]  # fmt: skip
    lines = [
        f"# Replays at {RATE:g} frames per second\n",
        f"{header()} {busy} {store_kind()}\n",
        f"One command makes this page: `python -m benchmarks.live replays --simulated {simulated}`. `inphase scan "
        f"replay --rate {RATE:g}` sends each curve {TURNS} times in turns to a service with one worker on this "
        f"machine, S11 on the whole detector once; medians. Frames come in batches of {RATE / BATCHES:.0f}. {WHAT}\n",
        "The first image has the number of frames that it was made of, its likeness, and when a follower heard of it, "
        "in seconds after the acknowledgement of the last frame, below 0 before it. Likeness is the correlation of "
        "amplitudes with the last image on the network's grid, after alignment; an image is good from "
        f"{GOOD:g} on. The other seconds are from the same moment to the network's image, to the first refined one on "
        "the network's grid, and to the last one on the finest grid.\n",
        *table(heads, [_sent(runs) for runs in every]),
        *_aims(every),
    ]
    return "\n".join(lines)
