"""From a raw rocking curve to an image: the network, its refinements and the conventional retrieval, side by side.

python -m benchmarks.first_path            # about a quarter of an hour on two cores
python -m benchmarks.first_path --crystals 10
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import track

from benchmarks.arms import CONVENTIONAL, STARTS, Against, Truth, against, run
from benchmarks.cases import REAL_CASES, REAL_DATA, ROOT, RealCase
from benchmarks.machine import header
from benchmarks.tables import number, table
from inphase import formats
from inphase.features import volume_features
from inphase.free import free_voxels
from inphase.metrics import noise_chi2
from inphase.pattern import Domain, MaskState
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import random
from service import pipeline
from service.clock import Clock
from service.inference.repository import Repository
from service.inference.runtime import Network, Networks
from service.pipeline import Draft
from service.refine import refine
from service.sources import corrections
from training.data import HELD_OUT_SEED, sample
from training.settings import FitSettings
from training.simulate.detector import DetectorSettings
from training.transform import embed

TEST_SEED = HELD_OUT_SEED + 100  # neither training nor validation draws from here
DECADES = (5, 6, 7, 8)  # total photons 10^d to 10^(d + 1)


def real(case: RealCase, network: Network) -> Iterator[str]:
    """One measurement: how it was prepared, every arm, and the stages of the warm pipeline."""
    maps = corrections(*(REAL_DATA / name if name else None for name in (case.dark, case.flat)), case.roi)

    def once() -> tuple[Draft, pipeline.JobDocument, Clock]:
        clock = Clock()
        with clock("receive"):
            raw = formats.read(REAL_DATA / case.path, domain=case.options.domain)
        draft, document = pipeline.begin(raw, case.options, network, clock, maps)
        refine(draft, document, clock)
        return draft, document, clock

    clocks = [once()[2] for _ in range(4)][1:]
    draft, document, _ = once()
    prepared = document.preprocess
    yield f"## {case.title}\n"
    yield (
        f"Oversampling {', '.join(f'{s:.2f}' for s in document.oversampling.measured)} measured, "
        f"{', '.join(f'{s:.2f}' for s in document.oversampling.after)} after binning by {prepared.binning}; "
        f"{prepared.valid_fraction:.1%} of the measured range valid, {prepared.counts_inside:.1%} of the corrected counts inside; "
        f"Poisson noise alone leaves chi2 {number(draft.noise_chi2)}; start: {document.start.kind} ({document.start.why}).\n"
    )
    arms = list(run(draft))
    rows = []
    for arm in arms:
        several = len(arm.results) > 1
        for label, found in [("best", arm.best), ("median", arm.median)] if several else [("", arm.best)]:
            m = found.metrics
            name = f"{arm.name}, {label}" if label else arm.name
            rows.append([name, number(m.chi2), str(m.support_voxels), number(m.r_factor), number(m.free_llk)])
    yield from table(["arm", "chi2", "support voxels", "R", "free llk"], rows)
    fast, conventional = arms[2].best.metrics, arms[3].best.metrics
    yield (
        f"network + fast over the conventional best: chi2 x {fast.chi2 / conventional.chi2:.2f}, "
        f"support x {fast.support_voxels / conventional.support_voxels:.3f}.\n"
    )
    stages = clocks[0].ms.keys()
    medians = [statistics.median(c.ms[stage] for c in clocks) for stage in stages]
    yield "Warm pipeline in process with `fast`, median of 3, ms:\n"
    yield from table([*stages, "sum"], [[f"{m:.0f}" for m in [*medians, sum(medians)]]])


def simulated(number_: int, decade: int, network: Network) -> tuple[Draft, Truth]:
    """One held-out crystal with 10^decade to 10^(decade + 1) photons, drafted as the service would."""
    settings = replace(FitSettings(), detector=DetectorSettings(photons=(10.0**decade, 10.0 ** (decade + 1))))
    made = sample(settings, TEST_SEED + decade, number_, 1, torch.device("cpu"))
    intensity, mask = made.measurement.intensity[0].numpy(), made.measurement.mask[0].numpy()
    free = free_voxels(mask, number_)
    measured = int((mask != MaskState.PADDING).sum())
    draft = Draft(
        problem=Problem(np.sqrt(intensity), mask, free, padding_bound=float(np.sqrt(intensity.mean()))),
        domain=Domain.COUNTS,
        prediction=network.predict(volume_features(intensity, mask, free)),
        support_threshold=network.version.card.support_threshold,
        oversampling=tuple(made.oversampling[0].tolist()),
        valid_fraction=float((mask == MaskState.VALID).sum() / measured),
        noise_chi2=noise_chi2(intensity, mask),
    )
    truth = embed(made.objects, settings.frame)[0].numpy()
    return draft, Truth(truth, made.measurement.clean[0].numpy())


@dataclass(frozen=True)
class Row:
    """One arm on one held-out crystal."""

    decade: int
    arm: str
    noise_chi2: float
    chi2: float
    against: Against


def crystal(task: tuple[int, int, Path, str]) -> list[Row]:
    """Every arm on held-out crystal (decade, number): one task of a pool, on one thread."""
    decade, index, models, model = task
    torch.set_num_threads(1)
    draft, truth = simulated(index, decade, network_of(models, model, threads=1))
    return [
        Row(decade, arm.name, draft.noise_chi2 or 0.0, arm.best.metrics.chi2, against(arm.best, truth))
        for arm in run(draft, index)
    ]


def held_out(crystals: int, model: str) -> Iterator[str]:
    """Every arm on held-out crystals, per decade of photons: median / 95th percentile."""
    per_decade = crystals // len(DECADES)
    tasks = [(decade, index, ROOT / "models", model) for decade in DECADES for index in range(per_decade)]
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        rows = [row for found in track(pool.map(crystal, tasks), "crystals", len(tasks)) for row in found]
    yield f"## {len(tasks)} held-out simulated crystals\n"
    yield (
        "Median / 95th percentile (SSIM: 5th), the best of its starts for the conventional arm. clean chi2 is on the "
        "noise-free modulus of coherent, unbinned light, all voxels; support / truth is over the volume at half density.\n"
    )
    columns = ["photons", "noise chi2", "arm", "chi2", "clean chi2", "SSIM", "phase error / rad", "support / truth"]
    lines = []
    for decade in DECADES:
        for name in dict.fromkeys(row.arm for row in rows):
            chosen = [row for row in rows if row.decade == decade and row.arm == name]
            lines.append([
                f"1e{decade} to 1e{decade + 1}", spread([r.noise_chi2 for r in chosen]), name,
                spread([r.chi2 for r in chosen]), spread([r.against.clean_chi2 for r in chosen]),
                spread([r.against.ssim for r in chosen], 5), spread([r.against.phase_error for r in chosen]),
                spread([r.against.support_ratio for r in chosen]),
            ])  # fmt: skip
    yield from table(columns, lines)
    fast, conventional = ([r for r in rows if r.arm == name] for name in list(dict.fromkeys(r.arm for r in rows))[2:4])
    ratios = [a.chi2 / b.chi2 for a, b in zip(fast, conventional, strict=True)]
    share = np.mean(np.array(ratios) <= 1.05)
    yield (
        f"network + fast over the best of {STARTS} {CONVENTIONAL}, chi2 crystal by crystal: median x {np.median(ratios):.2f}, "
        f"95th percentile x {np.percentile(ratios, 95):.2f}; within 5 % on {share:.0%} of the crystals.\n"
    )


def spread(values: list[float], tail: float = 95) -> str:
    """Median / percentile."""
    return f"{number(float(np.median(values)))} / {number(float(np.percentile(values, tail)))}"


@cache
def network_of(models: Path, model: str, threads: int | None = None) -> Network:
    """A network of the repository, loaded once a process."""
    return Networks(Repository(models, model.partition("@")[0]), threads).get(model)


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def iteration_cost(n: int, repeats: int = 9) -> list[str]:
    """One ER iteration at n^3 over its two FFTs, measured alternately; medians."""
    generator = np.random.default_rng(0)
    problem = Problem(generator.random((n, n, n), dtype=np.float32), np.zeros((n, n, n), np.uint8))
    starts = random(problem, 1, 0)
    field = torch.randn(1, n, n, n, dtype=torch.complex64)
    dims = (1, 2, 3)
    short, long = recipes.parse("10*ER"), recipes.parse("50*ER")

    def transforms() -> None:
        with kept_pages():  # as the engine has it: without, the allocator alone would double the time of large FFTs
            for _ in range(40):
                torch.fft.ifftn(torch.fft.fftn(field, dim=dims), dim=dims)

    transforms()
    retrieve(problem, short, starts)
    iterations, pairs = [], []
    for _ in range(repeats):
        iterations.append(
            (seconds(lambda: retrieve(problem, long, starts)) - seconds(lambda: retrieve(problem, short, starts))) / 40
        )
        pairs.append(seconds(transforms) / 40)
    er, ffts = statistics.median(iterations), statistics.median(pairs)
    return [f"{n}^3", f"{er * 1e3:.2f}", f"{ffts * 1e3:.2f}", f"{er / ffts:.2f}"]


def main(
    crystals: Annotated[int, typer.Option(help="Held-out simulated crystals, a multiple of 4.")] = 100,
    model: Annotated[str, typer.Option(help="name or name@version")] = "inphase-bcdi",
    out: Annotated[Path, typer.Option(help="Markdown file.")] = ROOT / "benchmarks/results/first_path.md",
) -> None:
    """Measure and write the table.

    Example: python -m benchmarks.first_path --crystals 20 --out /tmp/first_path.md
    """
    network = network_of(ROOT / "models", model)
    lines = ["# The first path: from a rocking curve to an image\n", f"{header()}\n"]
    lines.append(
        f"Model {network.version.label} on {network.provider}. One command makes this page: `python -m benchmarks.first_path`. "
        f"`fast` is `{recipes.resolve('fast').text}`; `{CONVENTIONAL}` is `{recipes.resolve(CONVENTIONAL).text}`. "
        "All arms share preprocessing, mask, free voxels (5 % hidden) and shrink-wrap threshold and widths. "
        "chi2 counts every valid voxel, hidden ones too.\n"
    )
    lines.append("## One ER iteration over its two FFTs\n")
    lines += table(["grid", "iteration / ms", "two FFTs / ms", "ratio"], [iteration_cost(64), iteration_cost(128)])
    for case in REAL_CASES:
        if not case.present:
            lines.append(f"## {case.title}\n\nNot measured: {case.path} is not below INPHASE_REAL_DATA.\n")
            continue
        lines += real(case, network)
    lines += held_out(crystals, model)
    out.write_text("\n".join(lines))
    typer.echo(f"wrote {out}")


if __name__ == "__main__":
    typer.run(main)
