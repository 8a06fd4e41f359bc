"""How long each way takes on this machine, measured side by side, and the time to an equal free log-likelihood."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from inphase.imaging.clock import Clock
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.starts import Starts, random
from training.evaluate.outcomes import Case, Model, Reference, Way, loaded
from training.evaluate.plan import ER, Plan

REPEATS = 7


@dataclass(frozen=True)
class Times:
    """Milliseconds on one pattern, medians of alternating runs.

    prediction: the prepared pattern -> amplitude and phase, features included. iteration: of ER.
    fifty, sixty, refine: of 50*ER, 60*ER and the refinement as a whole.
    conventional: of one iteration of one start of the schedule, support updates included.
    """

    threads: int
    prediction: float
    iteration: float
    fifty: float
    sixty: float
    refine: float
    conventional: float

    @property
    def cost(self) -> float:
        """Of the refinement, in iterations of ER."""
        return 60 * self.refine / self.sixty

    @property
    def path(self) -> float:
        """Of the prediction and its refinement."""
        return self.prediction + self.refine


def measured(model: Model, case: Case, plan: Plan, threads: int) -> Times:
    """Time every way on one simulated pattern, in turn, so that what else the machine does falls on all of them
    alike.
    """
    torch.set_num_threads(threads)
    session = model.session(threads)
    prepared, _ = loaded(case, session)
    network_start, one = prepared.network_start(), random(prepared.problem, 1, 0)

    def run(recipe: str, starts: Starts = network_start) -> float:
        begin = time.perf_counter()
        retrieve(prepared.problem, recipes.resolve(recipe), starts)
        return 1e3 * (time.perf_counter() - begin)

    def infer() -> float:
        clock = Clock()
        loaded(case, session, clock)
        time.sleep(0.3)  # the runtime's threads spin on for a while, and the next run would share the cores with them
        return clock.ms["infer"]

    infer()
    rounds = [
        (infer(), run("10*ER"), run("60*ER"), run(ER), run(plan.refine)) for _ in range(REPEATS)
    ]  # fmt: skip
    prediction, short, long, fifty, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    schedule = min(run(plan.conventional, one) for _ in range(2)) / recipes.resolve(plan.conventional).iterations
    return Times(threads, prediction, (long - short) / 50, fifty, long, whole, schedule)


@dataclass(frozen=True)
class Race:
    """To the free log-likelihood that both ways reach on one pattern: the worse of what they end with.

    level: whether the network's way ends no worse than the conventional best. starts, luckiest: iterations of the
    schedule until one of all its starts, run side by side, is there; and of that start alone, as if one had known it.
    """

    level: bool
    starts: int
    luckiest: int


def race(way: Way, reference: Reference, plan: Plan) -> Race | None:
    """None where there is no free log-likelihood, or no prediction."""
    if way.refined is None or way.refined.free_llk is None or not reference.free_llks:
        return None
    last = [run[-1] for run in reference.free_llks]
    goal = max(way.refined.free_llk, min(last))
    needed = min(
        next(k for k, llk in enumerate(run, 1) if llk <= goal) for run in reference.free_llks if min(run) <= goal
    )
    iterations = min(plan.sampled * needed, recipes.resolve(plan.conventional).iterations)
    return Race(way.refined.free_llk <= min(last), iterations * len(last), iterations)


def speedups(races: Sequence[Race], times: Times, *, lucky: bool) -> list[float]:
    """How many times longer the conventional way takes to the same free log-likelihood, pattern by pattern."""
    return [(r.luckiest if lucky else r.starts) * times.conventional / times.path for r in races]
