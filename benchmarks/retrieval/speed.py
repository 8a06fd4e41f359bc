"""Time per iteration and per run against two FFTs of the same library and against cohere-core; batches; memory."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.retrieval import memory, rival
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Starts
from training.evaluate.machine import header
from training.evaluate.tables import number, table

WRAPPED = "HIO | SW(every=10)"
COMMON = ("ER", "HIO", "RAAR", WRAPPED)
OTHERS = ("SF", "DM(beta=1)", "DM(beta=0.9)", "AER", "LBFGS", "ADAM")
LARGE = 256  # from this side on: the common operations alone, and all threads
THEIRS = ("ER", "HIO", "RAAR", "SF")
RUN = 600  # iterations
GIB = 2**30
HOST = 24 * GIB


@dataclass(frozen=True)
class Effort:
    """How much is run at a size. short, long: iterations of the two runs whose difference counts,
    a multiple of 10 apart, so that shrink-wrap has its share.
    """

    repeats: int
    short: int
    long: int
    theirs: int


EFFORTS = {64: Effort(7, 10, 60, 20), 128: Effort(3, 2, 12, 5), 256: Effort(2, 1, 11, 2)}


@dataclass(frozen=True)
class Pattern:
    """A faceted blob's noise-free modulus, with a start in twice its volume."""

    problem: Problem
    starts: Callable[[int], Starts]


def pattern(n: int) -> Pattern:
    """An octahedron with a curved phase at oversampling 2.5:
    what is retrieved does not change what an iteration costs.
    """
    axis = (np.arange(n, dtype=np.float32) - n // 2) / (n / 5)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    inside = abs(x) + abs(y) + abs(z) < 1.3
    obj = np.where(inside, np.exp(2j * (x * y + z**2)), 0).astype(np.complex64)
    modulus = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(obj), norm="ortho"))).astype(np.float32)
    support = abs(x) + abs(y) + abs(z) < 1.6

    def starts(count: int) -> Starts:
        phases = np.random.default_rng(0).uniform(-np.pi, np.pi, (count, n, n, n)).astype(np.float32)
        objects = np.where(support, np.exp(1j * phases), 0).astype(np.complex64)
        return Starts(objects, np.broadcast_to(support, objects.shape), "random")

    return Pattern(Problem(modulus, np.zeros((n, n, n), np.uint8)), starts)


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def floor(n: int, pairs: int, device: str) -> float:
    """Seconds of a forward and a backward complex64 FFT, under the allocator that the engine has."""
    field = torch.zeros(1, n, n, n, dtype=torch.complex64, device=device)

    def transforms() -> None:
        for _ in range(pairs):
            torch.fft.ifftn(torch.fft.fftn(field, dim=(1, 2, 3), norm="ortho"), dim=(1, 2, 3), norm="ortho")
        if device != "cpu":
            torch.cuda.synchronize()

    with kept_pages():
        return seconds(transforms) / pairs


def iteration(data: Pattern, starts: Starts, text: str, effort: Effort, device: str) -> float:
    """Seconds of one iteration of all starts, set-up and result excluded: the difference of two lengths of run."""
    operation, _, clause = text.partition(" | ")

    def run(count: int) -> float:
        recipe = recipes.parse(f"{count}*{operation}" + (f" | {clause}" if clause else ""))
        return seconds(lambda: retrieve(data.problem, recipe, starts, device=device))

    return (run(effort.long) - run(effort.short)) / (effort.long - effort.short)


def report(sizes: Sequence[int], threads: Sequence[int], *, largest: bool) -> Iterator[str]:
    """The page."""
    rival.environment()
    yield "# Phase retrieval: speed and memory\n"
    yield f"{header()} cohere-core {rival.VERSION}, its torch backend.\n"
    yield (
        f"One command makes this page: `python -m benchmarks.retrieval speed --sizes {','.join(map(str, sizes))} "
        f"--threads {','.join(map(str, threads))}{' --largest' * largest}`. Floor: a forward and a "
        "backward complex64 FFT of the volume in the same torch on the same threads. All columns of a row are measured "
        "in turns within one run; medians. cohere runs in its own process on the same modulus with the same number of "
        "threads.\n"
    )
    for count in threads:
        torch.set_num_threads(count)
        yield f"## {count} thread{'s' if count > 1 else ''}, one start\n"
        for n in sizes:
            if n < LARGE or count == max(threads):
                yield from _per_iteration(n, count)
        yield from _per_run(count)
    yield from _batches(max(threads))
    yield from _memory(largest=largest)
    yield from _gpu(sizes)


def _per_iteration(n: int, threads: int) -> Iterator[str]:
    effort, data = EFFORTS[n], pattern(n)
    starts = data.starts(1)
    ours = COMMON if n >= LARGE else COMMON + OTHERS
    floors: list[float] = []
    times: dict[str, list[float]] = {name: [] for name in ours}
    theirs: dict[str, list[float]] = {name: [] for name in THEIRS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        process = stack.enter_context(rival.Rival(threads))
        file = _saved(data.problem.modulus, folder)
        for name in ours:
            retrieve(data.problem, recipes.parse(f"2*{name}"), starts)  # compiles, plans
        for _ in range(effort.repeats):
            floors.append(floor(n, effort.long, "cpu"))
            for name in ours:
                times[name].append(iteration(data, starts, name, effort, "cpu"))
                if name in THEIRS:
                    (taken,) = process.run(rival.Request(file, settings=_bare(f"{effort.theirs}*{name}")))
                    theirs[name].append(taken / effort.theirs)
    two = median(floors)
    rows = []
    for label, values in times.items():
        mine = median(values)
        other = median(theirs[label]) if label in THEIRS else None
        rows.append([
            f"{n}^3", label, f"{mine * 1e3:.2f}", f"{mine / two:.2f}",
            "-" if other is None else f"{other * 1e3:.2f}", "-" if other is None else f"{other / mine:.1f}",
            f"{mine * RUN:.1f}",
        ])  # fmt: skip
    yield f"{n}^3: two FFTs take {two * 1e3:.2f} ms.\n"
    columns = [
        "grid",
        "operation",
        "iteration / ms",
        "over two FFTs",
        "cohere / ms",
        "cohere over ours",
        f"{RUN} iterations / s",
    ]
    yield from table(columns, rows)


def _saved(modulus: NDArray[np.float32], folder: Path) -> str:
    file = folder / "modulus.npy"
    np.save(file, modulus)
    return str(file)


def _bare(sequence: str) -> Mapping[str, Any]:
    """cohere without shrink-wrap and twin removal."""
    kept = ("hio_beta", "initial_support_area")
    return {"algorithm_sequence": sequence} | {key: rival.DEFAULT[key] for key in kept}


def _per_run(threads: int) -> Iterator[str]:
    """Whole runs at 64^3, shrink-wrap and all."""
    data = pattern(64)
    starts = data.starts(1)
    presets = ("autophasenn-600", "standard", "strained")
    sparse = dict(rival.DEFAULT) | {"shrink_wrap_trigger": [10, 10]}
    settings = {"cohere, its default": rival.DEFAULT, "cohere, shrink-wrap every 10": sparse}
    times: dict[str, list[float]] = {name: [] for name in (*presets, *settings, "cohere, its default, numpy")}
    with TemporaryDirectory() as folder, rival.Rival(threads) as process:
        file = _saved(data.problem.modulus, Path(folder))
        for repeat in range(3):
            for name in presets:
                recipe = recipes.resolve(name)
                times[name].append(seconds(partial(retrieve, data.problem, recipe, starts)))
            for name, values in settings.items():
                times[name] += process.run(rival.Request(file, settings=values))
            if repeat == 0:
                times["cohere, its default, numpy"] = process.run(rival.Request(file, backend="np"))
    reference = median(times["standard"])
    yield "Whole runs at 64^3, ours with set-up and result, cohere's 620 iterations without:\n"
    yield from table(
        ["run", "s", "over `standard`"],
        [[name, f"{median(values):.2f}", f"{median(values) / reference:.2f}"] for name, values in times.items()],
    )


def _batches(threads: int) -> Iterator[str]:
    torch.set_num_threads(threads)
    yield f"## Several starts, {threads} threads\n"
    yield (
        "`HIO | SW(every=10)`, time of one start in a batch over the time of a single one; medians of runs in turns:\n"
    )
    counts, rows = (1, 2, 5, 10), []
    for n in (64, 128):
        effort, data = EFFORTS[n], pattern(n)
        batches = {count: data.starts(count) for count in counts}
        times: dict[int, list[float]] = {count: [] for count in counts}
        for _ in range(3):
            for count, starts in batches.items():
                times[count].append(iteration(data, starts, WRAPPED, effort, "cpu") / count)
        single = median(times[1])
        rows.append([f"{n}^3", f"{single * 1e3:.2f}", *(f"{median(times[count]) / single:.2f}" for count in counts)])
    yield from table(["grid", "single start / ms", *(f"{count} start{'s' * (count > 1)}" for count in counts)], rows)


def _memory(*, largest: bool) -> Iterator[str]:
    """Peak per start, from the difference of two batches and from a single start."""
    n = 128
    texts = [f"3*{name}" for name in (*COMMON[:3], *OTHERS)] + [
        "4*HIO | SW(every=2)",
        "4*HIO | SW(every=2) | AVERAGE(last=2)",
    ]
    texts.append("4*HIO | PC(start=1,every=2)")
    yield "## Memory\n"
    yield (
        f"Peak resident memory beyond the warm program's at {n}^3, in complex64 volumes, with the measured data, the "
        "start and the result: of one start, and of each further one in a batch that advances together.\n"
    )
    rows, single = [], {}
    for text in texts:
        single[text] = memory.volumes(n, text, 1)
        rows.append([f"`{text}`", f"{single[text]:.1f}", f"{(memory.volumes(n, text, 3) - single[text]) / 2:.1f}"])
    yield from table(["recipe", "one start", "each further start"], rows)
    wrapped = single["4*HIO | SW(every=2)"]
    side = _side(HOST, wrapped)
    yield f"So {HOST // GIB} GiB hold one start of HIO with shrink-wrap up to {side}^3.\n"
    if largest:
        side = min(side, _side(int(0.85 * _available()), wrapped))
        begin = time.perf_counter()
        found = memory.volumes(side, "2*HIO | SW(every=1)", 1)
        yield (
            f"Tried: {side}^3 peaked at {found:.1f} volumes, {found * 8 * side**3 / GIB:.1f} GiB, and took "
            f"{time.perf_counter() - begin:.0f} s for two iterations with one update of the support, everything "
            "included.\n"
        )


def _side(room: int, volumes: float) -> int:
    """The largest side, a multiple of 32, whose volumes fit."""
    return int((room / (8 * volumes)) ** (1 / 3)) // 32 * 32


def _available() -> int:
    (line,) = (line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def _gpu(sizes: Sequence[int]) -> Iterator[str]:
    yield "## GPU\n"
    if not torch.cuda.is_available():
        yield "Not measured: this machine has none.\n"
        return
    rows = []
    for n in sizes:
        effort, data = EFFORTS[n], pattern(n)
        starts = data.starts(1)
        for text in COMMON:
            retrieve(data.problem, recipes.parse("2*" + text), starts, device="cuda")
            found = [
                (iteration(data, starts, text, effort, "cuda"), floor(n, effort.long, "cuda"))
                for _ in range(effort.repeats)
            ]
            mine, two = (median(values) for values in zip(*found, strict=True))
            rows.append([f"{n}^3", text, number(mine * 1e3), number(mine / two), number(mine * RUN)])
    yield f"{torch.cuda.get_device_name()}:\n"
    yield from table(["grid", "operation", "iteration / ms", "over two FFTs", f"{RUN} iterations / s"], rows)
