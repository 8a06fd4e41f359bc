"""What it costs to read and to reconstruct the rocking curves of large detectors, of which most is dark.

python -m benchmarks.eiger                 # ten minutes on two cores; 1 GB of disk for a while
python -m benchmarks.eiger --reading-only  # of these three

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
BACKGROUND: Final = 0.004  # counts per pixel and frame
MODULE: Final = ((514, 37), (1030, 10))  # pixels of a module, and of the gap behind it
TURNS: Final = 3
KEY: Final = "0123456789abcdef0123456789abcdef"
EVERY_S: Final = 0.05
MASTER: Final = "scan_master.h5"


@dataclass(frozen=True)
class Detector:
    """name, sides in pixels, type, the pixel where the Bragg peak lies, and the photons of the crystal's light, of
    which the brightest voxel holds one in 85.
    """

    name: str
    sides: tuple[int, int]
    dtype: str
    peak: tuple[int, int]
    photons: float

    @property
    def gigabytes(self) -> float:
        """All frames as they are in memory."""
        return FRAMES * self.sides[0] * self.sides[1] * np.dtype(self.dtype).itemsize / 1e9


DETECTORS: Final = (
    Detector("Eiger 4M", (2167, 2070), "uint16", (820, 1310), 4e6),
    Detector("Eiger 9M", (3269, 3110), "uint32", (2380, 700), 3e7),
)


def light(photons: float) -> NDArray[np.float32]:
    """Expected counts of a faceted, slightly strained crystal in WINDOW."""
    grids = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in WINDOW)]
    z, y, x = (axis / side for axis, side in zip(grids, CRYSTAL, strict=True))
    inside = (abs(z) < 0.5) & (abs(y) < 0.5) & (abs(x) < 0.5) & (abs(x + y) < 0.8) & (abs(y - z) < 0.8)
    phase = 0.8 * np.exp(-((z - 0.3) ** 2 + (y + 0.2) ** 2 + x**2) / 0.05)
    far = np.abs(fourier.forward((inside * np.exp(1j * phase)).astype(np.complex64))) ** 2
    scaled: NDArray[np.float32] = far * np.float32(photons / far.sum(dtype=np.float64))
    return scaled


def write(folder: Path, detector: Detector) -> Path:
    """The master file of a simulated measurement."""
    rng, expected = np.random.default_rng(0), light(detector.photons)
    rows, columns = detector.sides
    end = np.iinfo(detector.dtype).max
    assert expected.max() < 0.9 * end, f"{detector.name}: its counters would be full"
    faulty = np.zeros(detector.sides, np.uint32)
    for axis, (side, gap) in enumerate(MODULE):
        for first in range(side, detector.sides[axis], side + gap):
            faulty[(slice(None),) * axis + (slice(first, first + gap),)] = 1  # no pixels
    lit = faulty == 0
    hot, dead = (rng.integers(0, sides, (200, 2)) for sides in (detector.sides, detector.sides))
    top, left = (at - side // 2 for at, side in zip(detector.peak, WINDOW[1:], strict=True))
    master = folder / MASTER
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


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and of the processor, which others disturb less."""

    wall: float
    processor: float

    @classmethod
    def on(cls, work: Callable[[], object]) -> "Spent":
        """What work takes."""
        wall, processor = time.perf_counter(), time.process_time()
        work()
        return cls(time.perf_counter() - wall, time.process_time() - processor)

    def __str__(self) -> str:
        return f"{self.wall:.2f} ({self.processor:.2f})"


def floor(path: Path) -> Spent:
    """All chunks are read and decompressed, each into the same memory."""

    def unpack(frames: Hdf5Frames) -> None:
        def through(numbers: range) -> None:
            scratch = np.empty(frames.sides[0] * frames.sides[1], frames.dtype)
            for number in numbers:
                frame = frames.open(number)
                assert frame is not None
                frame.rows(0, frames.sides[0], scratch)

        shared(through, FRAMES)

    with opened(path) as tree:
        names = sorted(f"entry/data/{name}" for name in tree.root["entry/data"])
        frames = Hdf5Frames.of(tree, [tree.dataset(name) for name in names])
        assert frames is not None
        return Spent.on(lambda: unpack(frames))


def region_of(path: Path) -> str:
    """The region that is found, in words."""
    region = inphase.read(path).region
    assert region is not None
    (top, bottom), (left, right) = region.rows, region.columns
    return f"{top}:{bottom},{left}:{right}"


def reading(path: Path, region: str | None) -> Spent:
    """A region is read; None: it is found."""
    return Spent.on(lambda: inphase.read(path, region=region))


def hdf5(path: Path, region: str) -> Spent:
    """HDF5 alone reads a region, as its own lock allows."""
    (top, bottom), (left, right) = (map(int, span.split(":")) for span in region.split(","))

    def read() -> None:
        with h5py.File(path) as file:
            for name in sorted(file["entry/data"]):
                file["entry/data"][name][:, top:bottom, left:right]

    return Spent.on(read)


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


def command_line(path: Path) -> tuple[float, Family, Any]:
    """`inphase reconstruct` of the whole way, with its defaults: seconds, memory, and the job document."""
    out, family = path.parent / "out.npz", Family()
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


@dataclass(frozen=True)
class Measured:
    """Rows of the two tables."""

    reading: list[str]
    ways: list[list[str]]


def measured(detector: Detector, turns: int, folder: Path, *, reading_only: bool) -> Measured:
    """Of one detector: times and memory of reading, and of the whole way."""
    master = folder / MASTER
    path = master if master.exists() else write(folder, detector)
    stored = sum(entry.stat().st_size for entry in folder.glob("scan_*.h5")) / 1e6
    region, _ = apart(region_of, path)  # the first turn finds the files in memory, as the others do
    spent: dict[str, list[Spent]] = {"floor": [], "found": [], "asked": [], "hdf5": []}
    peaks = {"found": 0.0, "asked": 0.0}
    for _ in range(turns):
        spent["floor"].append(apart(floor, path)[0])
        for kind, asked in (("found", None), ("asked", region)):
            took, peak = apart(reading, path, asked)
            spent[kind].append(took)
            peaks[kind] = max(peaks[kind], peak)
        spent["hdf5"].append(apart(hdf5, path, region)[0])
    middle = {
        kind: Spent(statistics.median(s.wall for s in each), statistics.median(s.processor for s in each))
        for kind, each in spent.items()
    }
    row = [
        detector.name, f"{detector.gigabytes:.1f}", f"{stored:.0f}", region, str(middle["floor"]), str(middle["found"]),
        f"{peaks['found']:.2f}", str(middle["asked"]), f"{peaks['asked']:.2f}", str(middle["hdf5"]),
    ]  # fmt: skip
    typer.echo(" | ".join(row))
    ways = []
    for title, way in (("`inphase reconstruct`", command_line), ("service, told the path", over_http)):
        if reading_only:
            break
        seconds, family, document = way(path)
        ways.append(
            [
                detector.name, title, f"{seconds:.0f}", f"{family.largest:.2f}", f"{family.together:.2f}",
                _finest(document), document["grid"]["stopped"] or "the finest grid", document["trust"]["level"],
            ]
        )  # fmt: skip
        typer.echo(" | ".join(ways[-1]))
    return Measured(row, ways)


def _finest(document: Any) -> str:
    """Voxels of the image that is returned."""
    kept = [level["shape"] for level in document["grid"]["levels"] if level["kept"]]
    return " x ".join(str(side) for side in (kept[-1] if kept else document["preprocess"]["shape"]))


def page(found: list[Measured], turns: int) -> str:
    """What was measured, in Markdown."""
    lines = ["# Rocking curves of large detectors\n", f"{header()}\n"]
    lines.append(
        f"{FRAMES} simulated frames in {FRAMES // PIECE} files that are linked from a master, one chunk a frame, "
        "bitshuffle-LZ4, with gaps, dead and hot pixels; the files lie in the system's memory. Seconds of the clock, "
        f"and in brackets of the processor; {f'medians of {turns}' if turns > 1 else 'one reading'}, each in a process "
        "of its own, in turns. Memory is that of the process at its peak, GiB. The floor is the time in which the same "
        "threads read and decompress all chunks and do nothing else. One command makes this page: "
        f"`python -m benchmarks.eiger{'' if turns == TURNS else f' --turns {turns}'}`.\n"
    )
    lines += table(
        [
            "detector", "all frames / GB", "files / MB", "region", "floor / s", "region found / s", "GiB",
            "region asked for / s", "GiB", "HDF5 alone, region / s",
        ],
        [each.reading for each in found],
    )  # fmt: skip
    ways = [row for each in found for row in each.ways]
    if not ways:
        lines.append("\nThe whole way was not measured in this run (`--reading-only`).")
        return "\n".join(lines) + "\n"
    lines.append(
        "\nThe whole way with its defaults, from the path to the last image. Memory of the process that takes most, "
        "and of all together, without what they map of files.\n"
    )
    lines += table(
        ["detector", "", "s", "one process / GiB", "all / GiB", "grid of the image", "why no finer", "trust"], ways
    )
    return "\n".join(lines) + "\n"


def main(
    turns: Annotated[int, typer.Option(help="Each reading is timed so many times, in turns.")] = TURNS,
    reading_only: Annotated[bool, typer.Option(help="Nothing is reconstructed.")] = False,
    folder: Annotated[
        Path | None, typer.Option(help="The measurements are written here and kept; those that are there are taken.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page is written to this Markdown file.")] = ROOT
    / "benchmarks/results/eiger.md",
) -> None:
    """Measure and write the page.

    Example: python -m benchmarks.eiger --out /tmp/eiger.md
    """
    found = []
    for detector in DETECTORS:
        with tempfile.TemporaryDirectory() as name:
            own = (folder or Path(name)).resolve() / detector.name.replace(" ", "_")
            own.mkdir(parents=True, exist_ok=True)
            found.append(measured(detector, turns, own, reading_only=reading_only))
        out.write_text(page(found, turns))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
