"""One arm on one pattern: every start's score, computed once and kept in a folder that git ignores."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.retrieval import rival
from benchmarks.retrieval.crystals import KINDS, crystal
from inphase import ambiguity
from inphase.imaging.prepared import PreparedPattern
from inphase.metrics import measure
from inphase.pattern import Domain, MaskState
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import random
from training.evaluate.measurements import REAL_CASES, measured

KEPT = ROOT / "build" / "benchmarks" / "retrieval"
COHERE = "cohere"  # the arm's name; every other one is a preset or a recipe
SUCCESS = 0.95  # twin-aligned complex correlation


@dataclass(frozen=True)
class Task:
    """One arm on one pattern. number: of the crystal within the set of `seed`,
    or of the real case where `seed` is None.
    """

    number: int
    seed: int | None
    arm: str
    starts: int

    @property
    def kind(self) -> str:
        """The class of crystal, or the measurement's title."""
        return REAL_CASES[self.number].title if self.seed is None else KINDS[self.number]


@dataclass(frozen=True)
class Score:
    """One start. correlation with the truth and support over true volume: None for measurements;
    free_llk: None for a modulus.

    cohere has no free voxels: it has seen those that its free_llk is taken over.
    """

    correlation: float | None
    chi2: float
    free_llk: float | None
    support_voxels: int
    support_ratio: float | None
    seconds: float


@dataclass(frozen=True)
class Result:
    """An arm's scores. pairs: twin-aligned correlations of its solutions with each other, of measurements only."""

    task: Task
    scores: tuple[Score, ...]
    pairs: tuple[tuple[int, int, float], ...]

    @property
    def cluster(self) -> int:
        """Solutions that agree with one of them, itself included: the most."""
        agree = [1] * len(self.scores)
        for a, b, correlation in self.pairs:
            agree[a] += correlation >= SUCCESS
            agree[b] += correlation >= SUCCESS
        return max(agree)


@dataclass(frozen=True)
class Target:
    """A pattern and what is known of its crystal."""

    problem: Problem
    domain: Domain
    truth: NDArray[np.complex64] | None = None
    volume: float | None = None


@dataclass(frozen=True)
class Images:
    """Objects and supports (B, N, N, N) and the seconds that each took."""

    objects: NDArray[np.complex64]
    supports: NDArray[np.bool_]
    seconds: list[float]


def result(task: Task) -> Result:
    """Of this task: computed on one thread, or read where it was computed before by the same code."""
    kept = KEPT / f"{_digest(task)}.json"
    if kept.exists():
        found = json.loads(kept.read_text())
        return Result(task, tuple(Score(**s) for s in found["scores"]), tuple(map(tuple, found["pairs"])))
    torch.set_num_threads(1)
    target = _target(task)
    images = _rival(target, task) if task.arm == COHERE else _ours(target, task)
    scored = Result(task, tuple(_scores(target, images)), tuple(_pairs(images)) if target.truth is None else ())
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".part")
    partial.write_text(json.dumps({"scores": [asdict(s) for s in scored.scores], "pairs": scored.pairs}))
    partial.rename(kept)
    return scored


def _digest(task: Task) -> str:
    """Of the task, its recipe and the code that decides its outcome."""
    code = "crystals.py", "trials.py", "rival.py", "rival_worker.py"
    files = [Path(__file__).with_name(name) for name in code] + sorted((ROOT / "training" / "simulate").glob("*.py"))
    text = json.dumps(asdict(task))
    if task.arm != COHERE:
        files += sorted((ROOT / "inphase").rglob("*.py"))  # what feeds a retrieval and what scores it, too
        text += recipes.resolve(task.arm).text
    return hashlib.sha256(text.encode() + b"".join(path.read_bytes() for path in files)).hexdigest()[:24]


def _target(task: Task) -> Target:
    if task.seed is None:
        prepared = _measured(task.number)
        return Target(prepared.problem, prepared.domain)
    made = crystal(KINDS[task.number], task.seed + task.number)
    everywhere = np.full(made.counts.shape, int(MaskState.VALID), np.uint8)
    return Target(Problem(np.sqrt(made.counts), everywhere), Domain.COUNTS, made.truth, made.volume)


@cache
def _measured(number: int) -> PreparedPattern:
    return measured(REAL_CASES[number])


def _ours(target: Target, task: Task) -> Images:
    """All starts as one batch, on one thread; the time is shared."""
    recipe = recipes.resolve(task.arm)
    starts = random(target.problem, task.starts, seed=task.number)
    begin = time.perf_counter()
    found = retrieve(target.problem, recipe, starts)
    each = (time.perf_counter() - begin) / task.starts
    return Images(np.stack([s.object for s in found]), np.stack([s.support for s in found]), [each] * task.starts)


def _rival(target: Target, task: Task) -> Images:
    """The same modulus, with zeros where it is not known: cohere has no mask and enforces them.
    It sees the free voxels.
    """
    modulus = np.where(target.problem.mask == MaskState.VALID, target.problem.modulus, 0).astype(np.float32)
    with TemporaryDirectory() as folder, rival.Rival(threads=1) as process:
        data, out = Path(folder) / "modulus.npy", Path(folder) / "out.npz"
        np.save(data, modulus)
        seconds = process.run(rival.Request(str(data), task.starts, seed=1000 * task.number, out=str(out)))
        return Images(*rival.solutions(out), seconds)


def _scores(target: Target, images: Images) -> list[Score]:
    problem, scores = target.problem, []
    for obj, support, seconds in zip(images.objects, images.supports, images.seconds, strict=True):
        found = measure(obj, support, problem.modulus, problem.mask, free=problem.free, domain=target.domain)
        correlation = None if target.truth is None else ambiguity.align(obj, target.truth)[1].score
        ratio = None if target.volume is None else found.support_voxels / target.volume
        scores.append(Score(correlation, found.chi2, found.free_llk, found.support_voxels, ratio, seconds))
    return scores


def _pairs(images: Images) -> list[tuple[int, int, float]]:
    count = len(images.objects)
    return [
        (a, b, ambiguity.align(images.objects[a], images.objects[b])[1].score)
        for a in range(count)
        for b in range(a + 1, count)
    ]
