"""What two versions of a network find on the same crystals, and what a prediction of theirs spends its time on.

python -m benchmarks.search models/inphase-bcdi/9 runs/candidate/inphase-bcdi/10       # half an hour of a core
"""

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import onnxruntime
import torch
import typer
from scipy.stats import binomtest

from benchmarks import ROOT
from benchmarks.retrieval.trials import SUCCESS
from benchmarks.wu2d.page import paragraph
from inphase.imaging.candidates import retrieved
from inphase.imaging.clock import Clock
from inphase.imaging.options import FAST, Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.way import begin
from inphase.models.prediction import Tensors
from inphase.models.repository import ModelVersion, read_version
from inphase.models.session import Session
from inphase.retrieval.starts import random
from training.data import HELD_OUT_SEED
from training.evaluate.cache import Arrays, cached, code, digest
from training.evaluate.machine import header
from training.evaluate.measurements import REAL_CASES, measured
from training.evaluate.outcomes import SCORING
from training.evaluate.plan import Plan
from training.evaluate.scores import Against, Score, best, scored
from training.evaluate.sets import CrystalSet, Truth, specimen
from training.evaluate.tables import number, table
from training.simulate.crystals import CrystalSettings

# of no other page, and not those on which the shipped searches were chosen
ORDINARY: Final = CrystalSet(
    "ordinary", "the training distribution, 1e5 to 1e9 photons", HELD_OUT_SEED + 14_000, (5, 6, 7, 8)
)
STRAINED: Final = CrystalSet(
    "strongly strained", "phases of 1.5 to 3 rad rms, 1e6 to 1e9 photons", HELD_OUT_SEED + 14_100, (6, 7, 8),
    crystals=CrystalSettings(phase_rms=(1.5, 3.0), strain_free=0.0),
)  # fmt: skip
ROUNDS: Final = 5  # of timing, all versions in turn
TIMED: Final = 8  # crystals
RUNS: Final = 12  # of which each node of a graph has its shortest time


@dataclass(frozen=True)
class Timed:
    """A session that notes the seconds of its thread's processor time, and what it was asked."""

    session: Session
    seconds: list[float] = field(default_factory=list)
    asked: list[Tensors] = field(default_factory=list)

    @property
    def version(self) -> ModelVersion:
        """Of the session."""
        return self.session.version

    @property
    def provider(self) -> str:
        """Of the session."""
        return self.session.provider

    def infer(self, tensors: Tensors) -> Tensors:
        """As the session."""
        begun = time.process_time()
        found = self.session.infer(tensors)
        self.seconds.append(time.process_time() - begun)
        self.asked.append(tensors)
        return found


@dataclass(frozen=True)
class Outcome:
    """The network's image and the refined one, and the seconds of one thread that the prediction took."""

    alone: Score
    refined: Score
    seconds: float

    @property
    def truth(self) -> Against:
        """The refined image against the true crystal."""
        assert self.refined.against is not None
        return self.refined.against


@dataclass(frozen=True)
class Conventional:
    """The conventional runs on a pattern."""

    runs: tuple[Score, ...]


def outcome(prepared: PreparedPattern, truth: Truth | None, network: Timed) -> tuple[Outcome, Arrays]:
    """Of a pattern with the network's image."""
    (found,) = retrieved(prepared, FAST, prepared.network_start())
    alone, refined = (scored(image, prepared, truth).score for image in (prepared.guess, found.candidate))
    return Outcome(alone, refined, network.seconds[-1]), {}


def of_crystal(of: CrystalSet, index: int, network: Timed, kept: Path) -> Outcome:
    """A held-out crystal; what is kept is not done again."""

    def compute() -> tuple[Outcome, Arrays]:
        made = specimen(of, index)
        prepared, _ = begin(made.scan, Options(preprocess="none", seed=index), network, Clock())
        return outcome(prepared, made.truth, network)

    name = digest(of, index, network.version.card.sha256, code(*SCORING))
    return cached(kept, f"outcome-{name}", Outcome, compute)[0]


def conventional(of: CrystalSet, index: int, kept: Path) -> Conventional:
    """The conventional runs on a held-out crystal, as the evaluation has them."""

    def compute() -> tuple[Conventional, Arrays]:
        made, plan = specimen(of, index), Plan()
        prepared, _ = begin(made.scan, Options(preprocess="none", seed=index), None, Clock())
        runs = retrieved(prepared, plan.conventional, random(prepared.problem, plan.starts, index))
        return Conventional(tuple(scored(run.candidate, prepared, made.truth).score for run in runs)), {}

    return cached(kept, f"conventional-{digest(of, index, code(*SCORING))}", Conventional, compute)[0]


def quality(
    of: CrystalSet, found: Sequence[tuple[str, Sequence[Outcome]]], references: Sequence[Conventional]
) -> Iterator[str]:
    """Tables of a set: every version by itself, then the first against the last."""
    crystals = len(found[0][1])
    yield from [f"## {crystals} {of.name} crystals", "", f"Seed {of.seed}: {of.what}.", ""]
    rows = []
    for label, outcomes in found:
        seconds = [each.seconds for each in outcomes]
        kept = [
            each.truth.keeps_up(other)
            for each, reference in zip(outcomes, references, strict=False)
            if (other := best(reference.runs).against) is not None
        ]
        alone = [each.alone.against for each in outcomes if each.alone.against is not None]
        rows.append([
            label,
            f"{1e3 * statistics.median(seconds):.0f}, {1e3 * statistics.fmean(seconds):.0f}, {1e3 * max(seconds):.0f}",
            str(sum(each.correlation >= SUCCESS for each in alone)),
            number(statistics.median(each.ssim for each in alone)),
            str(sum(each.truth.correlation >= SUCCESS for each in outcomes)),
            *(number(statistics.median(getattr(each.truth, name) for each in outcomes))
              for name in ("correlation", "ssim", "phase_error", "clean_chi2")),
            f"{sum(kept)} of {len(kept)}" if kept else "-",
        ])  # fmt: skip
    columns = [
        "version", "prediction, ms of one thread: median, mean, longest", "alone: correlation >= 0.95", "SSIM",
        "with `fast`: correlation >= 0.95", "correlation", "SSIM", "phase error / rad", "clean chi2",
        "keeps up with the conventional best",
    ]  # fmt: skip
    yield from table(columns, rows)
    (before, first), (after, last) = found[0], found[-1]
    judgements = {
        f"right (correlation >= {SUCCESS})": [
            (a.truth.correlation >= SUCCESS, b.truth.correlation >= SUCCESS) for a, b in zip(first, last, strict=True)
        ],
        "keeps up with the other version": [
            (a.truth.keeps_up(b.truth), b.truth.keeps_up(a.truth)) for a, b in zip(first, last, strict=True)
        ],
        "keeps up with the conventional best": [
            (a.truth.keeps_up(other), b.truth.keeps_up(other))
            for a, b, reference in zip(first, last, references, strict=False)
            if (other := best(reference.runs).against) is not None
        ],
    }
    yield from table(
        ["with `fast`", "both", f"{before} only", f"{after} only", "neither", "McNemar's p (exact)"],
        [[name, *paired(pairs)] for name, pairs in judgements.items() if pairs],
    )


def paired(pairs: Sequence[tuple[bool, bool]]) -> list[str]:
    """How many both, the one, the other and neither, and how likely so uneven a difference is by chance."""
    one, other = pairs.count((True, False)), pairs.count((False, True))
    p = binomtest(one, one + other).pvalue if one + other else 1.0
    return [*(str(n) for n in (pairs.count((True, True)), one, other, pairs.count((False, False)))), f"{p:.2f}"]


def measured_crystals(networks: Sequence[Timed]) -> Iterator[str]:
    """What the versions make of the real measurements."""
    rows = []
    for case in REAL_CASES:
        if not case.present:
            yield f"{case.title} was not there to be measured."
            continue
        for network in networks:
            found, _ = outcome(measured(case, network), None, network)
            free = "-" if found.refined.free_llk is None else number(found.refined.free_llk)
            alone, refined = (number(score.chi2) for score in (found.alone, found.refined))
            rows.append([
                case.title, network.version.label, f"{1e3 * found.seconds:.0f}", alone, refined,
                str(found.refined.support_voxels), free,
            ])  # fmt: skip
    columns = ["crystal", "version", "prediction, ms of one thread", "chi2 alone", "chi2", "support", "free LLK"]
    yield from ["## Measured crystals, with `fast`", "", *table(columns, rows)]


def times(versions: Sequence[ModelVersion], patterns: Sequence[Tensors]) -> Iterator[str]:
    """Milliseconds of the versions in turn, on one thread and on two."""
    rows = []
    for threads in (1, 2):
        sessions = [Session(version, threads) for version in versions]
        taken: dict[str, list[list[float]]] = defaultdict(list)
        for pattern in patterns:
            walls: dict[str, list[float]] = defaultdict(list)
            for _ in range(ROUNDS):
                for session in sessions:
                    begun = time.perf_counter()
                    session.infer(pattern)
                    walls[session.version.label].append(1e3 * (time.perf_counter() - begun))
            for label, wall in walls.items():
                taken[label].append(wall)
        for label, each in taken.items():
            least = [min(wall) for wall in each]
            middle = [statistics.median(wall) for wall in each]
            rows.append([
                str(threads), label,
                *(f"{f(ms):.0f}" for ms in (least, middle) for f in (statistics.median, statistics.fmean, max)),
            ])  # fmt: skip
    yield from [f"## Wall time of a prediction in ms, {len(patterns)} of the ordinary crystals", ""]
    yield from paragraph(
        f"{ROUNDS} predictions of each pattern by every version in turn; of these the shortest and the median. Over "
        "the crystals, the median, the mean and the longest. Others on the machine lengthen these as well."
    )
    kinds = [f"{which}: {over}" for which in ("shortest", "median") for over in ("median", "mean", "longest")]
    yield from table(["threads", "version", *kinds], rows)


def shares(version: ModelVersion, pattern: Tensors) -> Iterator[str]:
    """Where the milliseconds of a prediction go, one thread: each node's shortest of several runs."""
    nodes = profiled(version, pattern)
    loops = [node for node in nodes if node["args"]["op_name"] == "Loop"]
    names = list(dict.fromkeys(loop["name"] for loop in loops))
    parts: dict[str, float] = defaultdict(float)
    products: dict[str, float] = defaultdict(float)
    for node in nodes:
        if node["args"]["op_name"] == "Loop":
            continue
        around = [loop for loop in loops if loop["ts"] <= node["ts"] < loop["ts"] + loop["dur"]]
        if around:
            inner = min(around, key=lambda loop: loop["dur"])
            within = any(inner["ts"] <= loop["ts"] < inner["ts"] + inner["dur"] for loop in loops if loop is not inner)
            part = f"loop {names.index(inner['name']) + 1}" + (", around others" if within else "")
        else:
            done = sum(loop["ts"] < node["ts"] for loop in loops)
            part = "before the loops" if not done else "after them" if done == len(loops) else "between them"
        parts[part] += node["least"]
        products[part] += node["least"] * (node["args"]["op_name"] in ("MatMul", "FusedMatMul", "Conv"))
    rows = [
        [version.label, part, number(ms), f"{ms / sum(parts.values()):.0%}", f"{products[part] / ms:.0%}"]
        for part, ms in parts.items()
    ]
    yield from table(["version", "part", "ms", "share", "of it products and convolutions"], rows)


def profiled(version: ModelVersion, pattern: Tensors) -> list[dict[str, Any]]:
    """The nodes of a graph's run in order, as ONNX Runtime notes them; least: the milliseconds of the shortest run."""
    with tempfile.TemporaryDirectory() as scratch:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling, options.profile_file_prefix = True, f"{scratch}/run"
        session = onnxruntime.InferenceSession(version.path, options, providers=["CPUExecutionProvider"])
        for _ in range(RUNS):
            session.run(None, {name: pattern[name] for name in version.card.inputs})
        noted = json.loads(Path(session.end_profiling()).read_text())
    kernels = [e for e in noted if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    kernels.sort(key=lambda event: event["ts"])
    whole = [
        [e for e in kernels if run["ts"] <= e["ts"] < run["ts"] + run["dur"]]
        for run in noted
        if run["name"] == "model_run"
    ]
    least = np.array([[event["dur"] for event in run] for run in whole]).min(0) / 1e3
    return [event | {"least": ms} for event, ms in zip(whole[-1], least.tolist(), strict=True)]


def main(
    folders: Annotated[list[Path], typer.Argument(help="The folders of two versions, the earlier one first.")],
    crystals: Annotated[int, typer.Option(min=TIMED, help="So many ordinary crystals are drawn.")] = 100,
    strained: Annotated[int, typer.Option(min=1, help="So many strongly strained crystals are drawn.")] = 48,
    references: Annotated[int, typer.Option(min=0, help="So many of the ordinary ones have conventional runs.")] = 40,
    kept: Annotated[Path, typer.Option(help="What was found is kept in this folder.")] = Path("runs/search"),
    out: Annotated[Path, typer.Option(help="The tables are written to this Markdown file.")] = ROOT
    / "benchmarks/results/search.md",
) -> None:
    """Measure and write the tables. An interrupted run goes on.

    Example: python -m benchmarks.search models/inphase-bcdi/9 runs/candidate/inphase-bcdi/10 --crystals 20
    """
    torch.set_num_threads(1)
    networks = [Timed(Session(read_version(folder), threads=1)) for folder in folders]
    for network in networks:
        network.session.warm()
    text = ["# Two versions of inphase-bcdi on the same crystals", "", header(), ""]
    text += paragraph(
        "Two versions on the same crystals; what they are and what was decided stands in "
        "[decision 56](../../docs/decisions/0056-sixteen-trials-stay.md). Keeping up and the conventional runs (best "
        "of five) are those of [the evaluation](evaluation.md). Milliseconds of one thread are processor time, which "
        "others on the machine lengthen by what they take of its caches. One command makes this page: "
        f"`python -m benchmarks.search {' '.join(str(folder) for folder in folders)}`."
    )
    for of, count, wanted in ((ORDINARY, crystals, references), (STRAINED, strained, 0)):
        found: list[tuple[str, list[Outcome]]] = [(network.version.label, []) for network in networks]
        for index in range(count):
            for network, (_, outcomes) in zip(networks, found, strict=True):
                outcomes.append(of_crystal(of, index, network, kept))
            typer.echo(f"{of.name} {index}")
        runs = []
        for index in range(min(wanted, count)):
            runs.append(conventional(of, index, kept))
            typer.echo(f"{of.name} {index}: conventional")
        text += quality(of, found, runs)
    text += measured_crystals(networks)
    patterns = [asked(index, networks[0]) for index in range(TIMED)]
    versions = [network.version for network in networks]
    text += times(versions, patterns)
    text += ["## What a prediction spends its time on, one thread, crystal 0", ""]
    for version in versions:
        text += shares(version, patterns[0])
    out.write_text("\n".join(text))
    typer.echo(f"wrote {out}")


def asked(index: int, network: Timed) -> Tensors:
    """What a network is asked of an ordinary crystal."""
    begin(specimen(ORDINARY, index).scan, Options(preprocess="none", seed=index), network, Clock())
    return network.asked[-1]


if __name__ == "__main__":
    typer.run(main)
