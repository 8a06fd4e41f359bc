"""Rocking curves that are imaged while they are measured: how soon, how well, and whether the advice was right.

python -m benchmarks.live looks           # about five minutes on two cores
python -m benchmarks.live replays         # about five minutes on two cores

Others disturb the time on a shared machine: replays are repeated in turns.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer

import inphase
from benchmarks import ROOT
from benchmarks.trust.specimens import Kind, specimen
from inphase.client import Client
from inphase.errors import DataError
from inphase.formats import RawScan
from inphase.formats.npz import read_arrays
from inphase.imaging.earlier import Earlier, similarity
from inphase.imaging.options import FAST, Options
from inphase.imaging.reconstruct import carry_out, sessions_of
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Report
from inphase.live.advice import Advice, FrameSummary, Seen, advise
from inphase.live.curve import Curve
from inphase.live.looks import look, passing, seen
from inphase.live.replay import Plan, Replayed, replay, template_of
from training.evaluate.machine import header
from training.evaluate.measurements import REAL_DATA
from training.evaluate.tables import table

GOOD: Final = 0.95  # amplitude correlation with the image of the whole curve
RATE: Final = 200.0  # frames per second
AIM_S: Final = 2.0  # from the last frame to the image on the network's grid
AIM_SHARE: Final = 0.55  # of the curve at the first good image
STEP: Final = 0.05  # of the curve, between looks that are asked for
LOOKS: Final = 5
TURNS: Final = 3
SIMULATED: Final = (
    *((Kind.POLYHEDRON, seed) for seed in range(3)),
    *((kind, 0) for kind in (Kind.SUPERELLIPSOID, Kind.DOMAINS, Kind.DISLOCATION)),
    *((kind, 1) for kind in (Kind.SUPERELLIPSOID, Kind.DOMAINS, Kind.DISLOCATION)),
    (Kind.POLYHEDRON, 3),
)
RESULTS: Final = ROOT / "benchmarks/results"
KEY: Final = "0123456789abcdefghij"
_START_S: Final = 120.0

commands = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Measured:
    """A finished curve with a name. real: of a crystal that was measured."""

    name: str
    scan: RawScan
    real: bool = False

    @property
    def frames(self) -> int:
        """How many it has."""
        return len(self.scan.array)


@dataclass(frozen=True)
class Glance:
    """One look: of how many frames, how like the image of the whole, how like that image is after `fast`, and what was
    said then.
    """

    frames: int
    likeness: float
    refined: float
    advice: Advice


def curves() -> Iterator[Measured]:
    """Scan 54, where it lies below INPHASE_REAL_DATA, and simulated ones."""
    folder = REAL_DATA / "aps34idc_scan54"
    if folder.is_dir():
        scan = inphase.read(
            folder / "raw_tif", dark=folder / "dark.tif", flat=folder / "whitefield.tif", roi="0:256,0:256",
            spec=folder / "scan54.spec",
        )  # fmt: skip
        yield Measured("scan 54 (34-ID-C)", scan, real=True)
    for kind, seed in SIMULATED:
        yield Measured(f"{kind.value} {seed}", specimen(kind, seed).scan)


def _some(simulated: int) -> list[Measured]:
    """Scan 54 and so many simulated curves."""
    these = list(curves())
    return [curve for curve in these if curve.real] + [curve for curve in these if not curve.real][:simulated]


def glances(curve: Measured) -> list[Glance]:
    """Looks at the first frames of a curve, from the moment at which there is something to be seen."""
    known = Curve.of(template_of(curve.scan), curve.frames)
    frames = dict(enumerate(curve.scan.array))
    sessions, options = sessions_of(None), Options(grid="model")
    whole = look(known, frames, options, sessions, final=True)
    summaries = [FrameSummary.of(place, frame, known.valid, None) for place, frame in frames.items()]
    before: Reconstruction | None = None
    images: list[Seen] = []
    found: list[Glance] = []
    for n in range(1, curve.frames):
        due = not found or n >= found[-1].frames + max(1, round(STEP * curve.frames))
        if len(found) == LOOKS or not due or not advise(summaries[:n], curve.frames, known.shape).worth_a_look:
            continue
        part = {place: frames[place] for place in range(n)}
        try:
            now = look(known, part, options, sessions, before=before)
            shown = passing(options, len(found) + 1, sessions.repository.names())
            refined = carry_out(known.scan(part), replace(shown, refine=FAST), sessions)
        except DataError:
            continue  # the service tells why, and looks again when more frames have come
        images.append(seen(now))
        advice = advise(summaries[:n], curve.frames, known.shape, images)
        found.append(Glance(n, _like(now, whole), _like(refined, whole), advice))
        before = now
    return found


def _like(part: Reconstruction, whole: Reconstruction) -> float:
    """Amplitude correlation, on the grid of the whole curve's image."""
    return similarity(Earlier(part.object, part.report.preprocess).on(whole.report.preprocess), whole.object)


def _when(curve: Measured, looks: Sequence[Glance]) -> int | None:
    """Frames from which on every look is good; None where none is."""
    good = None
    for each in reversed(looks):
        if each.likeness < GOOD:
            break
        good = each.frames
    return good


def looked(curve: Measured, looks: Sequence[Glance]) -> list[str]:
    """A line of the table of looks."""
    if not looks:
        return [curve.name, str(curve.frames), *["none was possible"] * 6]
    first, good = looks[0], _when(curve, looks)
    told = next((each for each in looks if each.advice.more is not None), None)
    came = "-" if good is None else str(good)
    steady = next((each for each in looks if each.advice.steady), None)
    return [
        curve.name,
        str(curve.frames),
        str(first.advice.peak_place),
        f"{first.frames} ({first.frames / curve.frames:.0%}): {first.likeness:.3f}",
        "-" if good is None else f"{good} ({good / curve.frames:.0%})",
        "-" if told is None else f"{told.frames + (told.advice.more or 0)}, came {came}",
        "-" if steady is None else f"{steady.frames}: {steady.likeness:.3f}",
        f"{statistics.mean(each.likeness for each in looks):.3f}, "
        f"{statistics.mean(each.refined for each in looks):.3f}; "
        f"{sum(each.likeness >= each.refined for each in looks)} of {len(looks)}",
    ]


@dataclass(frozen=True)
class Run:
    """One replay. good: frames of the first look that is like the image on the network's grid; None where none was."""

    done: Replayed
    looks: int
    good: int | None


def replayed(client: Client, curve: Measured) -> Run:
    """Send a curve at RATE, and compare its looks with its last image on the network's grid."""
    done = replay(client, curve.scan, Plan(RATE), grid="auto")
    looks = [each for each in done.scan["looks"][::-1] if each["state"] == "succeeded"]
    assert done.final is not None
    refined = [each["number"] for each in client.job(done.final)["revisions"] if each["kind"] == "refined"]
    whole = _image(client, done.final, refined[0])
    good = None
    for each in reversed([each for each in looks if not each["final"]]):
        if similarity(_image(client, each["job"]).on(whole.grid), whole.object) < GOOD:
            break
        good = each["frames"]
    return Run(done, len(looks) - 1, good)


def _image(client: Client, job: str, revision: int | None = None) -> Earlier:
    """The image of a job with its grid."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.npz"
        client.save(job, path, revision=revision)
        arrays = read_arrays(path)
    return Earlier(arrays["object"], Report.from_json(str(arrays["document"])).preprocess)


def sent(curve: Measured, runs: Sequence[Run]) -> list[str]:
    """A line of the table of replays: medians."""

    def middle(moments: list[float | None]) -> str:
        known = [moment for moment in moments if moment is not None]
        return f"{statistics.median(known):.2f}" if known else "-"

    good = [run.good for run in runs if run.good is not None]
    return [
        curve.name,
        str(curve.frames),
        str(sum(run.done.lost for run in runs)),
        f"{curve.frames / statistics.median(run.done.sending_s for run in runs):.0f}",
        f"{statistics.median(run.looks for run in runs):g}",
        "-" if not good else f"{statistics.median(good) / curve.frames:.0%} ({len(good)} of {len(runs)})",
        middle([run.done.network_s for run in runs]),
        middle([run.done.model_s for run in runs]),
        middle([run.done.whole_s for run in runs]),
    ]


@contextmanager
def service(**settings: str) -> Iterator[Client]:
    """A service of its own with one worker. settings: further variables of its environment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        own = {"INPHASE_API_KEY": KEY, "INPHASE_STATE_DIR": folder, "INPHASE_MODELS_DIR": str(ROOT / "models")}
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", str(port)], env=os.environ | own | settings,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with Client(f"http://127.0.0.1:{port}", KEY) as client:
                _until_there(f"http://127.0.0.1:{port}", process)
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _until_there(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when the service has a worker."""
    end = time.monotonic() + _START_S
    while True:
        try:
            answer = httpx.get(f"{url}/v1/status", headers={"Authorization": f"Apikey {KEY}"}, timeout=5)
            if answer.status_code == 200 and answer.json()["queue"]["workers"]:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the service does not come up")
        time.sleep(0.2)


@commands.command(epilog="Example: python -m benchmarks.live looks --simulated 2 --out /tmp/live_looks.md")
def looks(
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = RESULTS / "live_looks.md",
    simulated: Annotated[int, typer.Option(help="So many simulated curves are looked at beside scan 54.")] = 10,
) -> None:
    """Measure how good the images of unfinished curves are, and whether what was said of them was right."""
    rows = []
    for curve in _some(simulated):
        rows.append(looked(curve, glances(curve)))
        typer.echo(" | ".join(rows[-1]))
    heads = [
        "curve",
        "frames",
        "peak in",
        "first look",
        "good from",
        "two fringes",
        "said to be steady",
        "unrefined, refined",
    ]
    lines = [
        "# Looks at rocking curves that are still being measured\n",
        f"{header()}\n",
        f"One command makes this page: `python -m benchmarks.live looks --simulated {simulated}`. Likeness is the "
        "correlation of amplitudes on the network's grid with the image of the whole curve, after alignment; a look is "
        f"good from {GOOD:g} on. Scan 54 is measured; the others are simulated, their kinds those of "
        "[trust](trust.md).\n",
        "The first look is made as soon as the advice finds it worth while and the preprocessing takes it; "
        f"then one every {STEP:.0%} of the curve, {LOOKS} in all. 'Good from' is the first look from which on all are "
        "good. 'Two fringes' is the frame up to which the advice asked for more when it first could say so, and the "
        "first good look that came. 'Said to be steady' is the first look of which that was said, with its likeness. "
        "The last column has the mean likeness of all looks as they are shown, the same after `fast` from the same "
        "image, and how many are nearer to the image of the whole as they are. The first look is the glance's, the "
        "others are the default network's.\n",
        *table(heads, rows),
    ]
    out.write_text("\n".join(lines))


@commands.command(epilog="Example: python -m benchmarks.live replays --simulated 1 --out /tmp/live_replays.md")
def replays(
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = RESULTS / "live_replays.md",
    simulated: Annotated[int, typer.Option(help="So many simulated curves are replayed beside scan 54.")] = 2,
) -> None:
    """Measure how soon a service has the images of a curve that is replayed to it."""
    chosen = _some(simulated)
    runs: dict[str, list[Run]] = {curve.name: [] for curve in chosen}
    with service() as client:
        replayed(client, chosen[-1])  # everything is loaded then
        for _ in range(TURNS):
            for curve in chosen:
                runs[curve.name].append(replayed(client, curve))
                typer.echo(" | ".join(sent(curve, runs[curve.name])))
    heads = [
        "curve", "frames", "lost", "frames/s", "looks before the end", "first good look", "network s", "model grid s",
        "finest grid s",
    ]  # fmt: skip
    lines = [
        f"# Replays at {RATE:g} frames per second\n",
        f"{header()}\n",
        f"One command makes this page: `python -m benchmarks.live replays`. `inphase scan replay --rate {RATE:g}` "
        f"sends each curve {TURNS} times in turns to a service with one worker on this machine; medians. Seconds are "
        "from the acknowledgement of the last frame to the network's image, to the refined one on the network's grid, "
        f"and to the last one on the finest grid. A look is good from a correlation of {GOOD:g} with the image on the "
        "network's grid on, and its share is that of the frames it was made of.\n",
        *table(heads, [sent(curve, runs[curve.name]) for curve in chosen]),
        *aims(chosen, runs),
    ]
    out.write_text("\n".join(lines))


def aims(chosen: Sequence[Measured], runs: dict[str, list[Run]]) -> list[str]:
    """Whether they were reached."""
    lost = sum(run.done.lost for each in runs.values() for run in each)
    lines = ["## Aims\n", f"* No frame lost: {'reached' if not lost else f'missed, {lost} frames'}."]
    for curve in chosen:
        found = [run.done.model_s for run in runs[curve.name] if run.done.model_s is not None]
        good = [run.good for run in runs[curve.name] if run.good is not None]
        seconds = statistics.median(found) if found else float("inf")
        share = statistics.median(good) / curve.frames if good else float("inf")
        lines.append(
            f"* {curve.name}: the image on the network's grid {AIM_S:g} s after the last frame: "
            f"{'reached' if seconds <= AIM_S else 'missed'} ({seconds:.1f} s); a good look by {AIM_SHARE:.0%} of the "
            f"curve at {RATE:g} frames/s: {'reached' if share <= AIM_SHARE else 'missed'}."
        )
    return [*lines, ""]


if __name__ == "__main__":
    commands()
