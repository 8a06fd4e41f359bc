"""What it costs to read and to reconstruct the rocking curves of large detectors, of which most is dark.

python -m benchmarks.eiger                 # ten minutes on two cores; 1 GB of disk for a while
python -m benchmarks.eiger --turns 5       # on a machine that others use too

Each measurement is simulated: 300 frames of an Eiger 4M (uint16) or 9M (uint32), one chunk a frame, bitshuffle-LZ4, in
three files linked from a master, with the gaps between the modules, dead and hot pixels, faint background, and the
light of a crystal that is known. The floor is the time in which the same threads decompress all chunks and do nothing
else.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import h5py
import hdf5plugin
import numpy as np
import psutil
import typer
from numpy.typing import NDArray

import inphase
from benchmarks import ROOT
from benchmarks.door import free_port, started
from inphase import fourier
from inphase.client import Client
from inphase.formats.frames import Hdf5Frames, shared
from inphase.formats.tree import opened
from training.evaluate.machine import header
from training.evaluate.tables import table

FRAMES: Final = 300
PIECE: Final = 100  # frames of a data file
WINDOW: Final = (300, 320, 320)  # in which the crystal's light is known
CRYSTAL: Final = (60, 90, 76)  # voxels of it: a fringe is 5, 3.6 and 4.2 voxels wide
PHOTONS: Final = 3e7
BACKGROUND: Final = 0.004  # counts per pixel and frame
MODULE: Final = ((514, 37), (1030, 10))  # pixels of a module, and of the gap behind it
KEY: Final = "0123456789abcdef0123456789abcdef"
EVERY_S: Final = 0.05


@dataclass(frozen=True)
class Detector:
    """name, sides in pixels, type, and the pixel where the Bragg peak lies."""

    name: str
    sides: tuple[int, int]
    dtype: str
    peak: tuple[int, int]

    @property
    def gigabytes(self) -> float:
        """All frames as they are in memory."""
        return FRAMES * self.sides[0] * self.sides[1] * np.dtype(self.dtype).itemsize / 1e9


DETECTORS: Final = (
    Detector("Eiger 4M", (2167, 2070), "uint16", (820, 1310)),
    Detector("Eiger 9M", (3269, 3110), "uint32", (2380, 700)),
)


def light() -> NDArray[np.float32]:
    """Expected counts of a faceted, slightly strained crystal in WINDOW."""
    grids = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in WINDOW)]
    z, y, x = (axis / side for axis, side in zip(grids, CRYSTAL, strict=True))
    inside = (abs(z) < 0.5) & (abs(y) < 0.5) & (abs(x) < 0.5) & (abs(x + y) < 0.8) & (abs(y - z) < 0.8)
    phase = 0.8 * np.exp(-((z - 0.3) ** 2 + (y + 0.2) ** 2 + x**2) / 0.05)
    far = np.abs(fourier.forward((inside * np.exp(1j * phase)).astype(np.complex64))) ** 2
    scaled: NDArray[np.float32] = far * np.float32(PHOTONS / far.sum(dtype=np.float64))
    return scaled


def write(folder: Path, detector: Detector) -> Path:
    """The master file of a simulated measurement."""
    rng, expected = np.random.default_rng(0), light()
    rows, columns = detector.sides
    end = np.iinfo(detector.dtype).max
    faulty = np.zeros(detector.sides, np.uint32)
    for axis, (side, gap) in enumerate(MODULE):
        for first in range(side, detector.sides[axis], side + gap):
            faulty[(slice(None),) * axis + (slice(first, first + gap),)] = 1  # no pixels
    lit = faulty == 0
    hot, dead = (rng.integers(0, sides, (200, 2)) for sides in (detector.sides, detector.sides))
    top, left = (at - side // 2 for at, side in zip(detector.peak, WINDOW[1:], strict=True))
    master = folder / "scan_master.h5"
    with h5py.File(master, "w") as file:
        file["entry/instrument/detector/pixel_mask"] = faulty
        for first in range(0, FRAMES, PIECE):
            name = f"scan_data_{first // PIECE + 1:06d}.h5"
            with h5py.File(folder / name, "w") as piece:
                data = piece.create_dataset(
                    "entry/data/data", (PIECE, rows, columns), detector.dtype, chunks=(1, rows, columns),
                    **hdf5plugin.Bitshuffle(cname="lz4"),
                )  # fmt: skip
                for number in range(PIECE):
                    frame = np.zeros(detector.sides, detector.dtype)
                    many = rng.poisson(BACKGROUND * rows * columns)
                    frame[rng.integers(0, rows, many), rng.integers(0, columns, many)] = 1
                    counts = rng.poisson(expected[first + number])
                    frame[top : top + WINDOW[1], left : left + WINDOW[2]] += counts.astype(detector.dtype)
                    frame[tuple(dead.T)] = 0
                    frame[tuple(hot.T)] = rng.poisson(40_000, len(hot))
                    frame[~lit] = end
                    data[number] = frame
            file[f"entry/data/data_{first // PIECE + 1:06d}"] = h5py.ExternalLink(name, "entry/data/data")
    return master


def _frames(path: Path, work: Callable[[Hdf5Frames], Any]) -> float:
    """Seconds of work on the frames of a file."""
    with opened(path) as tree:
        names = sorted(f"entry/data/{name}" for name in tree.root["entry/data"])
        frames = Hdf5Frames.of(tree, [tree.dataset(name) for name in names])
        assert frames is not None
        begun = time.perf_counter()
        work(frames)
        return time.perf_counter() - begun


def floor(path: Path) -> float:
    """Seconds in which all chunks are read and decompressed, each into the same memory."""

    def unpack(frames: Hdf5Frames) -> None:
        def through(numbers: range) -> None:
            scratch = np.empty(frames.sides[0] * frames.sides[1], frames.dtype)
            for number in numbers:
                frame = frames.open(number)
                assert frame is not None
                frame.rows(0, frames.sides[0], scratch)

        shared(through, FRAMES)

    return _frames(path, unpack)


def reading(path: Path, region: str | None) -> tuple[float, str]:
    """Seconds to read, and what was read."""
    begun = time.perf_counter()
    scan = inphase.read(path, region=region)
    assert scan.region is not None
    (top, bottom), (left, right) = scan.region.rows, scan.region.columns
    return time.perf_counter() - begun, f"{top}:{bottom},{left}:{right}"


def hdf5(path: Path, region: str) -> float:
    """Seconds in which HDF5 alone reads a region, as its own lock allows."""
    (top, bottom), (left, right) = (map(int, span.split(":")) for span in region.split(","))
    begun = time.perf_counter()
    with h5py.File(path) as file:
        for name in sorted(file["entry/data"]):
            file["entry/data"][name][:, top:bottom, left:right]
    return time.perf_counter() - begun


def apart(work: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    """What it returns in a process of its own, and the memory of that at its peak, GiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found, peak = pool.apply(_with_peak, (work, given))
    return found, peak


def _with_peak(work: Callable[..., Any], given: tuple[Any, ...]) -> tuple[Any, float]:
    found = work(*given)
    lines = Path("/proc/self/status").read_text().splitlines()
    return found, next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


@dataclass
class Family:
    """Memory of a process and of all that it starts, GiB at the peak: of each, and of all together."""

    each: dict[int, float] = field(default_factory=dict)
    together: float = 0.0

    @property
    def largest(self) -> float:
        """Of the process that takes most."""
        return max(self.each.values(), default=0.0)

    @contextmanager
    def watched(self, process: psutil.Process) -> Iterator[None]:
        """Looked at again and again while the block lasts."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(EVERY_S):
                now = 0.0
                for one in _descent(process):
                    taken = _own_bytes(one) / 2**30
                    self.each[one.pid] = max(self.each.get(one.pid, 0.0), taken)
                    now += taken
                self.together = max(self.together, now)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _descent(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _own_bytes(process: psutil.Process) -> int:
    """What it holds beside what it shares with files, which others hold as well."""
    try:
        held = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(held.rss - held.shared)


def command_line(path: Path, folder: Path) -> tuple[float, Family, dict[str, Any]]:
    """`inphase reconstruct` of the whole way, with its defaults: seconds, memory, and the job document."""
    out, family = folder / "out.npz", Family()
    begun = time.perf_counter()
    command = [sys.executable, "-m", "service.cli", "reconstruct", str(path), "-o", str(out)]
    environment = os.environ | {"INPHASE_MODELS_DIR": str(ROOT / "models")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with family.watched(psutil.Process(process.pid)):
        if process.wait():
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - begun
    with np.load(out) as arrays:
        return seconds, family, json.loads(str(arrays["document"]))


def over_http(path: Path) -> tuple[float, Family, Any]:
    """The same through the service, which is told the path."""
    port, family = free_port(), Family()
    with tempfile.TemporaryDirectory() as state:
        own = {
            "INPHASE_API_KEY": KEY, "INPHASE_STATE_DIR": state, "INPHASE_MODELS_DIR": str(ROOT / "models"),
            "INPHASE_DATA_ROOTS": str(path.parent),
        }  # fmt: skip
        with (
            started(["-m", "service.cli", "serve", "--port", str(port)], port, **own) as process,
            Client(f"http://127.0.0.1:{port}", KEY) as client,
            family.watched(process),
        ):
            begun = time.perf_counter()
            job = client.reconstruct_file(path, wait=0)
            document = client.wait(job["id"], timeout=600)
            return time.perf_counter() - begun, family, document


def measured(detector: Detector, turns: int) -> tuple[list[str], list[list[str]]]:
    """Of one detector: a row of times and memory of reading, and rows of the whole way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        path = write(folder, detector)
        stored = sum(entry.stat().st_size for entry in folder.iterdir()) / 1e6
        apart(floor, path)  # so that the first turn finds the files in memory, as the others do
        (_, region), _ = apart(reading, path, None)
        times: dict[str, list[float]] = {"floor": [], "found": [], "asked": [], "hdf5": []}
        peaks = {"found": 0.0, "asked": 0.0}
        for _ in range(turns):
            times["floor"].append(apart(floor, path)[0])
            for kind, asked in (("found", None), ("asked", region)):
                (seconds, _), peak = apart(reading, path, asked)
                times[kind].append(seconds)
                peaks[kind] = max(peaks[kind], peak)
            times["hdf5"].append(apart(hdf5, path, region)[0])
        middle = {kind: statistics.median(found) for kind, found in times.items()}
        typer.echo(f"{detector.name}: {middle}, {peaks}, {region}")
        row = [
            detector.name, f"{detector.gigabytes:.1f}", f"{stored:.0f}", region, f"{middle['floor']:.2f}",
            f"{middle['found']:.2f}", f"{peaks['found']:.2f}", f"{middle['asked']:.2f}", f"{peaks['asked']:.2f}",
            f"{middle['hdf5']:.2f}",
        ]  # fmt: skip
        ways = []
        for title, (seconds, family, document) in (
            ("`inphase reconstruct`", command_line(path, folder)),
            ("service, told the path", over_http(path)),
        ):
            grid = " x ".join(str(side) for side in _finest(document))
            trust = document["trust"]["level"]
            ways.append(
                [detector.name, title, f"{seconds:.0f}", f"{family.largest:.2f}", f"{family.together:.2f}", grid, trust]
            )
            typer.echo(" | ".join(ways[-1]))
        return row, ways


def _finest(document: Any) -> list[int]:
    return list(document["preprocess"]["shape"])


def main(
    turns: Annotated[int, typer.Option(help="Each reading is timed so many times, in turns.")] = 3,
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = ROOT
    / "benchmarks/results/eiger.md",
) -> None:
    """Measure and write the page.

    Example: python -m benchmarks.eiger --out /tmp/eiger.md
    """
    found = [measured(detector, turns) for detector in DETECTORS]
    lines = ["# Rocking curves of large detectors\n", f"{header()}\n"]
    lines.append(
        f"{FRAMES} simulated frames in {FRAMES // PIECE} files that are linked from a master, one chunk a frame, "
        "bitshuffle-LZ4, with gaps, dead and hot pixels; the files lie in the system's memory. Times are medians of "
        f"{turns}, each in a process of its own, taken in turns; memory is that of the process at its peak. The floor "
        "is the time in which the same threads read and decompress all chunks and do nothing else. One command makes "
        "this page: `python -m benchmarks.eiger`.\n"
    )
    lines += table(
        [
            "detector", "all frames / GB", "files / MB", "region", "floor / s", "region found / s", "GiB",
            "region asked for / s", "GiB", "HDF5 alone, region / s",
        ],
        [row for row, _ in found],
    )  # fmt: skip
    lines.append(
        "The whole way with its defaults, from the path to the last image. Memory of the process that takes most, and "
        "of all together, without what they map of files.\n"
    )
    lines += table(
        ["detector", "", "s", "one process / GiB", "all / GiB", "last grid", "trust"],
        [row for _, ways in found for row in ways],
    )
    out.write_text("\n".join(lines) + "\n")
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
