"""From grid to grid: what the finer image is worth, and what it costs.

python -m benchmarks.ladder s11 --data ../shared/data      # the known object of a real crystal
python -m benchmarks.ladder starts --data ../shared/data   # random starts on its whole grid
python -m benchmarks.ladder curves --count 20              # simulated curves with gaps and coherence

Others disturb the time on a shared machine: wall and processor time stand beside each other.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import h5py
import numpy as np
import typer
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import inphase
from benchmarks import ROOT
from inphase import fourier
from inphase.ambiguity import align, to_centre
from inphase.formats.scan import scan_of
from inphase.fourier import embedded
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.way import prepare
from inphase.metrics import measure, phase_error
from inphase.pattern import Domain
from inphase.preprocess.placement import Placement
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.starts import random
from training.evaluate.machine import header
from training.evaluate.tables import number, table

WHOLE, BINNED = (252, 420, 392), (252, 210, 200)  # grids of S11: as measured, and the detector binned by 2
BOX = (128, 176, 180)  # around the crystal, in which it is compared
CURVE = (128, 256, 256)
INSIDE = 0.1  # of the largest amplitude: the crystal

commands = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Agreement:
    """With a known object, after alignment: complex correlation, and phase error in radians rms inside both."""

    correlation: float
    phase: float


def middle(full: tuple[int, ...], part: tuple[int, ...]) -> tuple[slice, ...]:
    """The central part of a grid."""
    return tuple(slice(n // 2 - k // 2, n // 2 - k // 2 + k) for n, k in zip(full, part, strict=True))


def agreement(result: Reconstruction, truth: NDArray[np.complex64], shape: tuple[int, ...]) -> Agreement:
    """truth: in the middle of the measured grid of `shape` voxels."""
    done = result.report.preprocess
    way = Placement(shape, done.offset, done.binning, done.shape)
    return likeness(way.to_measured(result.object), way.support_to_measured(result.support), truth)


def likeness(obj: NDArray[np.complex64], support: NDArray[np.bool_], truth: NDArray[np.complex64]) -> Agreement:
    """An object on the measured grid, and the truth in the middle of it."""
    shape, box = obj.shape, truth.shape
    shift = to_centre(support.astype(np.float32))
    axes = tuple(range(obj.ndim))
    part = np.ascontiguousarray(np.roll(np.where(support, obj, 0), shift, axes)[middle(shape, box)])
    aligned, found = align(part, truth)
    both = [np.abs(o) > INSIDE * np.percentile(np.abs(o[np.abs(o) > 0]), 99.9) for o in (aligned, truth)]
    return Agreement(found.score, phase_error(aligned, truth, both[0] & both[1]))


@dataclass(frozen=True)
class Cost:
    """wall, processor: seconds. peak: GiB of the process so far."""

    wall: float
    processor: float
    peak: float


def timed(action: Callable[[], Reconstruction]) -> tuple[Reconstruction, Cost]:
    """What an action gives, and what it costs."""
    wall, processor = time.perf_counter(), time.process_time()
    done = action()
    return done, Cost(time.perf_counter() - wall, time.process_time() - processor, peak())


def peak() -> float:
    """GiB that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def warm(counts: NDArray[np.generic]) -> None:
    """Load and compile what the first reconstruction would wait for."""
    part = middle(counts.shape, tuple(min(n, 96) for n in counts.shape))
    inphase.reconstruct(np.ascontiguousarray(counts[part]), grid="auto")


def rows(title: str, result: Reconstruction, found: Agreement, cost: Cost) -> list[str]:
    """Of the table."""
    final, grid = result.report.metrics.final, result.report.grid
    assert final is not None
    assert grid is not None
    size = " x ".join(str(n) for n in result.object.shape)
    free = "-" if final.free_llk is None else f"{final.free_llk:.4f}"
    return [
        title, size, f"{found.correlation:.4f}", f"{found.phase:.3f}", number(final.chi2), free,
        str(final.support_voxels), f"{cost.wall:.0f}", f"{cost.processor:.0f}", f"{cost.peak:.1f}",
    ]  # fmt: skip


HEADINGS = ["", "grid", "correlation", "phase error", "chi2", "free llk", "support", "wall s", "CPU s", "peak GiB"]


def crystal_of_s11(data: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.uint32], NDArray[np.complex64]]:
    """Poisson counts of the published object of this grid, and the object within BOX."""
    (path,) = (data / "id01_s11").glob(f"S11_modes_{'_'.join(str(n) for n in shape)}_*.h5")
    with h5py.File(path) as file:
        obj = file["entry_1/image_1/data"][0]
    whole = np.zeros(shape, np.complex64)
    whole[middle(shape, obj.shape)] = obj
    truth = whole[middle(shape, BOX)].copy()
    rate = np.abs(fourier.forward(whole)) ** 2
    return np.random.default_rng(0).poisson(rate).astype(np.uint32), truth


Data = Annotated[Path, typer.Option(help="The published object is below this folder.")]
DATA: Final = ROOT.parent / "shared" / "data"


@commands.command(epilog="Example: python -m benchmarks.ladder s11 --binned")
def s11(
    data: Data = DATA,
    grids: Annotated[str, typer.Option(help="These grids are asked for, separated by commas.")] = "model,auto",
    binned: Annotated[bool, typer.Option("--binned", help="The detector is binned 2 x 2.")] = False,
) -> None:
    """Reconstruct the known object of a real crystal on each grid, and compare."""
    shape = BINNED if binned else WHOLE
    counts, truth = crystal_of_s11(data, shape)
    warm(counts)
    found = []
    for grid in grids.split(","):
        result, cost = timed(lambda grid=grid: inphase.reconstruct(counts, grid=grid))  # type: ignore[misc]
        found.append(rows(grid, result, agreement(result, truth, shape), cost))
        print(*table(HEADINGS, found), levels(result), sep="\n", flush=True)
    print(header())


@commands.command(epilog="Example: python -m benchmarks.ladder starts --count 1 --recipe standard")
def starts(
    data: Data = DATA,
    count: Annotated[int, typer.Option(min=1, help="So many random starts are made.")] = 3,
    recipe: Annotated[str, typer.Option(help="Each is refined by this recipe or preset.")] = "standard",
) -> None:
    """Refine random starts on the whole grid of the known object, which the ladder is compared with.

    They fit the same voxels, and the same are hidden, as on the last level of `s11 --grids measured`.
    """
    counts, truth = crystal_of_s11(data, WHOLE)
    ladder = prepare(scan_of(counts), Options(grid="measured"), None, Clock()).prepared.ladder
    assert ladder is not None
    problem = ladder.problem
    assert problem.modulus.shape == WHOLE
    lines = []
    for seed in range(count):
        wall, processor = time.perf_counter(), time.process_time()
        (found,) = retrieve(problem, recipes.resolve(recipe), random(problem, 1, seed))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        obj, support = embedded(found.object, WHOLE), embedded(found.support, WHOLE)
        fit = measure(obj, support, problem.modulus, problem.mask, free=problem.free, domain=Domain.COUNTS)
        like = likeness(obj, support, truth)
        lines.append(
            [
                str(seed), f"{like.correlation:.4f}", f"{like.phase:.3f}", number(fit.chi2), f"{fit.free_llk:.4f}",
                str(fit.support_voxels), f"{wall:.0f}", f"{processor:.0f}", f"{peak():.1f}",
            ]
        )  # fmt: skip
        print(*table(["start", *HEADINGS[2:]], lines), sep="\n", flush=True)
    print(header())


def levels(result: Reconstruction) -> str:
    """What became of each level, one line each."""
    grid = result.report.grid
    assert grid is not None
    lines = [f"{grid.why}. {grid.stopped}"]
    lines += [
        f"* {level.shape}: free llk {level.start_free_llk} -> {level.free_llk}, {level.seconds} s, {level.recipe}"
        for level in grid.levels
    ]
    return "\n".join(lines)


def curve(seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.complex64]]:
    """Counts, mask and object of a simulated rocking curve of 128 x 256 x 256: a faceted crystal with a smooth phase,
    1e6 to 1e8 photons, a light that is not quite coherent, a background, and the gap of a detector.
    """
    random = np.random.default_rng(seed)
    obj = faceted(random)
    rate = np.abs(fourier.forward(obj)).astype(np.float64) ** 2
    rate = np.maximum(gaussian_filter(rate, random.uniform(0.0, 0.6, 3), mode="wrap"), 0)
    rate *= 10 ** random.uniform(6, 8) / rate.sum()
    counts = random.poisson(rate + random.uniform(0, 0.01)).astype(np.uint32)
    mask = np.zeros(CURVE, np.uint8)
    first = 128 + int(random.choice([-1, 1])) * int(random.integers(14, 50))
    mask[:, first : first + 6] = 1
    return counts, mask, obj


def faceted(random: np.random.Generator) -> NDArray[np.complex64]:
    """A block cut by planes, three to five times oversampled, its phase a sum of waves."""
    sigma = random.uniform(3.0, 5.0, 3)
    axes = [((np.arange(n) - n // 2) / (n / s / 2)).astype(np.float32) for n, s in zip(CURVE, sigma, strict=True)]
    points = np.meshgrid(*axes, indexing="ij", sparse=True)
    inside = np.ones(CURVE, bool)
    for axis in points:
        inside &= abs(axis) < 1
    for _ in range(int(random.integers(4, 16))):
        normal = random.normal(size=3)
        normal /= np.linalg.norm(normal)
        inside &= sum(float(k) * p for k, p in zip(normal, points, strict=True)) < random.uniform(0.6, 1.1)
    wave = sum(
        np.sin(sum(float(k) * p for k, p in zip(random.normal(size=3) * 2, points, strict=True)) + random.uniform(0, 6))
        for _ in range(3)
    )
    return np.where(inside, np.exp(1j * random.uniform(0.2, 0.5) * wave), 0).astype(np.complex64)


@commands.command(epilog="Example: python -m benchmarks.ladder curves --count 4 --first 8")
def curves(
    count: Annotated[int, typer.Option(min=1, help="So many simulated curves are reconstructed.")] = 20,
    first: Annotated[int, typer.Option(min=0, help="The first curve has this number.")] = 0,
) -> None:
    """Tell of simulated curves whether the finer image is nearer to the truth wherever it is kept."""
    lines, better, kept = [], 0, 0
    for seed in range(first, first + count):
        counts, mask, obj = curve(seed)
        scan = np.ma.masked_array(counts, mask.astype(bool))
        before, cost = timed(lambda scan=scan: inphase.reconstruct(scan, grid="model"))  # type: ignore[misc]
        after, more = timed(lambda scan=scan: inphase.reconstruct(scan, grid="auto"))  # type: ignore[misc]
        one, other = (agreement(result, obj, CURVE) for result in (before, after))
        finer = after.object.shape != before.object.shape
        kept, better = kept + finer, better + (finer and other.correlation > one.correlation)
        lines += [rows(f"{seed} model", before, one, cost), rows(f"{seed} auto", after, other, more)]
        print(*table(HEADINGS, lines[-2:]), levels(after), sep="\n", flush=True)
    print(f"kept on {kept} of {count}, better on {better} of those\n")
    print(*table(HEADINGS, lines), header(), sep="\n")


if __name__ == "__main__":
    commands()
