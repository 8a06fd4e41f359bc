"""How often random starts succeed: 20 strongly strained simulated crystals and the real ones, every arm."""

import os
import shlex
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from statistics import median

from rich.progress import Progress
from scipy.stats import binomtest

from benchmarks.retrieval import rival
from benchmarks.retrieval.crystals import EVALUATION_SEED, KINDS, TUNING_SEED, Kind, crystals
from benchmarks.retrieval.trials import COHERE, SUCCESS, Result, Score, Task, result
from inphase.retrieval import recipe as recipes
from training.evaluate.machine import header
from training.evaluate.measurements import REAL_CASES
from training.evaluate.tables import number, table

ARMS = (COHERE, "autophasenn-600", "standard", "strained", "thorough")
REAL = (0, 1)  # of REAL_CASES: one crystal each


def run(arms: Sequence[str], seed: int, starts: int, rival_starts: int) -> list[Result]:
    """Every arm on every crystal of the set of `seed`, and on the real ones that are here; one process per core."""
    tries = {arm: rival_starts if arm == COHERE else starts for arm in arms}
    real = [number for number in REAL if REAL_CASES[number].present]
    tasks = [Task(number, seed, arm, tries[arm]) for number in range(len(KINDS)) for arm in arms]
    tasks += [Task(number, None, arm, tries[arm]) for number in real for arm in arms]
    tasks.sort(key=lambda task: task.arm != COHERE)  # the longest first
    if COHERE in arms:
        rival.environment()
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool, Progress() as progress:
        bar = progress.add_task("patterns x arms", total=len(tasks))
        futures = [pool.submit(result, task) for task in tasks]
        for _ in as_completed(futures):
            progress.advance(bar)
        return [future.result() for future in futures]


def report(results: Sequence[Result], arms: Sequence[str], seed: int, starts: int, rival_starts: int) -> list[str]:
    """The page."""
    lines = ["# Phase retrieval: how often a random start succeeds\n", f"{header()} cohere-core {rival.VERSION}.\n"]
    lines += _method(arms, seed, starts, rival_starts)
    lines += _simulated([r for r in results if r.task.seed is not None], arms, seed)
    for index in REAL:
        case, of_case = REAL_CASES[index], [r for r in results if r.task.seed is None and r.task.number == index]
        lines.append(f"## {case.title}\n")
        lines += (
            _measured(of_case, arms) if of_case else [f"Not measured: {case.path} is not below INPHASE_REAL_DATA.\n"]
        )
    return lines


def _method(arms: Sequence[str], seed: int, starts: int, rival_starts: int) -> Iterator[str]:
    named = "" if tuple(arms) == ARMS else "".join(f" --arm {shlex.quote(arm)}" for arm in arms)
    command = f"`python -m benchmarks.retrieval quality --starts {starts} --rival-starts {rival_starts}{named}`"
    tuned = (
        f"the presets were tuned on another 20, seeds from {TUNING_SEED}" if seed == EVALUATION_SEED else "a tuning set"
    )
    yield (
        f"One command makes this page: {command}. {starts} random starts of every arm ({rival_starts} of "
        "cohere) on every pattern, each on one thread. "
        f"The crystals' seeds are {seed} to {seed + len(KINDS) - 1}; {tuned}. They are drawn on a grid twice as fine "
        "as that of the retrieval (64^3), with 1e6 to 1e8 photons and Poisson noise; every arm gets the same modulus "
        f"and no other knowledge. Success: a correlation |sum conj(o) truth| / (|o| |truth|) of at least {SUCCESS} "
        "after alignment of twin, position and phase. Seconds are of whatever else the machine had to do: times are "
        "compared on [a page of their own](retrieval_speed.md). Intervals are Wilson's, 95 %, over starts; the starts "
        "of one crystal are not independent, so differences between crystals weigh more than they say.\n"
    )
    yield from table(
        ["arm", "iterations", "recipe"],
        [[arm, _iterations(arm), f"`{_recipe(arm)}`"] for arm in arms],
    )
    yield (
        "cohere runs with what its own example for beamline 34-ID-C (scan 54) sets, on its torch backend. It has no "
        "mask: unknown voxels are zeros that it enforces. On the real patterns 5 % of the voxels are hidden from our "
        "arms and shown to cohere, whose free log-likelihood is therefore not free. The last threshold of `standard` "
        "was chosen by the free log-likelihood of these two patterns: for it they are no independent evidence.\n"
    )


def _recipe(arm: str) -> str:
    if arm == COHERE:
        return "; ".join(f"{key} = {value}" for key, value in rival.DEFAULT.items())
    return recipes.resolve(arm).text


def _iterations(arm: str) -> str:
    return str(recipes.resolve(arm).iterations) if arm != COHERE else "620"


def _simulated(results: Sequence[Result], arms: Sequence[str], seed: int) -> Iterator[str]:
    yield f"## {len(KINDS)} simulated crystals\n"
    kinds = list(Kind)
    rows = []
    for arm in arms:
        of_arm = [r for r in results if r.task.arm == arm]
        rows.append(
            [arm, *(_rate(_scores(r for r in of_arm if r.task.kind == kind)) for kind in kinds), _rate(_scores(of_arm))]
        )
    yield "Successful starts:\n"
    yield from table(["arm", *kinds, "all"], rows)
    rows = []
    for arm in arms:
        of_arm = [r for r in results if r.task.arm == arm]
        scores = _scores(of_arm)
        chosen = [min(r.scores, key=lambda score: score.chi2) for r in of_arm]
        rows.append([
            arm,
            f"{sum(any(_succeeds(s) for s in r.scores) for r in of_arm)} of {len(of_arm)}",
            f"{sum(map(_succeeds, chosen))} of {len(of_arm)}",
            number(median(s.correlation or 0.0 for s in scores)),
            number(median(s.chi2 for s in scores)),
            number(median(s.support_ratio or 0.0 for s in scores)),
            number(median(s.seconds for s in scores)),
        ])  # fmt: skip
    yield from table(
        [
            "arm", "crystals with a success", "crystals whose lowest chi2 is one", "median correlation", "median chi2",
            "median support / volume", "median s per start",
        ],
        rows,
    )  # fmt: skip
    yield "Successes crystal by crystal:\n"
    cells = {(r.task.number, r.task.arm): sum(map(_succeeds, r.scores)) for r in results}
    rows = [
        [
            f"{index}, {made.kind}", f"{made.phase_range:.1f}", f"{made.counts.sum():.1e}",
            *(str(cells[index, arm]) for arm in arms),
        ]
        for index, made in enumerate(crystals(seed))
    ]  # fmt: skip
    yield from table(["crystal", "range of phase / rad", "photons", *arms], rows)


def _measured(results: Sequence[Result], arms: Sequence[str]) -> Iterator[str]:
    rows = []
    for arm in arms:
        (found,) = (r for r in results if r.task.arm == arm)
        agreeing = sum(correlation >= SUCCESS for _, _, correlation in found.pairs)
        rows.append([
            arm,
            f"{agreeing} of {len(found.pairs)}",
            f"{found.cluster} of {len(found.scores)}",
            number(median(correlation for _, _, correlation in found.pairs)),
            number(median(s.chi2 for s in found.scores)),
            str(round(median(s.support_voxels for s in found.scores))),
            _free(found.scores),
            number(median(s.seconds for s in found.scores)),
        ])  # fmt: skip
    yield f"Agreement of the solutions with each other, correlations of at least {SUCCESS}; medians:\n"
    yield from table(
        [
            "arm",
            "pairs that agree",
            "largest cluster",
            "correlation of pairs",
            "chi2",
            "support voxels",
            "free llk",
            "s per start",
        ],
        rows,
    )


def _scores(results: Iterator[Result] | Sequence[Result]) -> list[Score]:
    return [score for found in results for score in found.scores]


def _succeeds(score: Score) -> bool:
    return score.correlation is not None and score.correlation >= SUCCESS


def _free(scores: Sequence[Score]) -> str:
    values = [s.free_llk for s in scores if s.free_llk is not None]
    return number(median(values)) if values else "-"


def _rate(scores: Sequence[Score]) -> str:
    """Share with its Wilson interval."""
    successes = sum(map(_succeeds, scores))
    interval = binomtest(successes, len(scores)).proportion_ci(method="wilson")
    return f"{successes / len(scores):.0%} ({interval.low:.0%} to {interval.high:.0%})"
