"""Every pattern on every way: one process per core, results kept as they come."""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from rich.progress import Progress

from training.evaluate.cache import Arrays
from training.evaluate.control import Control, control
from training.evaluate.measurements import REAL_CASES
from training.evaluate.outcomes import REAL, Case, Model, Reference, Way, path, reference
from training.evaluate.plan import ER, Plan
from training.evaluate.scores import Score, best
from training.evaluate.sets import SETS

CURVES = 8  # crystals of the convergence figure, with at least 10^7 photons
CURVES_FROM = 7
T = TypeVar("T")


@dataclass(frozen=True)
class Evaluated:
    """What was measured. absent: sentences about what could not be."""

    cases: tuple[Case, ...]
    models: tuple[Model, ...]
    plan: Plan
    references: dict[Case, tuple[Reference, Arrays]]
    paths: dict[tuple[str, Case], tuple[Way, Arrays]]
    controls: dict[Case, tuple[Control, Arrays]]
    absent: tuple[str, ...]

    def of(self, name: str, decades: Sequence[int] | None = None) -> list[Case]:
        """The cases of a set, of some decades of photons only."""
        found = [case for case in self.cases if case.of == name]
        return found if decades is None else [c for c in found if c.set and c.set.decade(c.number) in decades]

    def reference(self, case: Case) -> Reference:
        """What needs no network."""
        return self.references[case][0]

    def conventional(self, case: Case) -> Score:
        """The best of its starts."""
        return best(self.reference(case).conventional)

    def way(self, model: Model, case: Case) -> Way:
        """What the network's start led to."""
        return self.paths[model.label, case][0]

    def automatic(self, model: Model, case: Case) -> Score | None:
        """What the service answers with start=auto:
        the refined start, or the better of it and the conventional runs.
        """
        way = self.way(model, case)
        if not way.escalates:
            return way.refined
        found = [s for s in (way.refined, *self.reference(case).conventional) if s is not None]
        return min(found, key=lambda s: s.chi2 if s.free_llk is None else s.free_llk)

    def ways(self, model: Model) -> dict[str, Callable[[Case], Score | None]]:
        """The ways of one model by their names in the tables."""
        return {
            "network": lambda case: self.way(model, case).network,
            f"network + {ER}": lambda case: self.way(model, case).fifty,
            f"network + {self.plan.refine}": lambda case: self.way(model, case).refined,
            "start=auto": lambda case: self.automatic(model, case),
        }

    def without(self) -> dict[str, Callable[[Case], Score | None]]:
        """The refinement without a network, by its names in the tables."""
        one, several = (
            f"one random start + {self.plan.refine}",
            f"best of {self.plan.starts} random starts + {self.plan.refine}",
        )
        return {one: lambda case: self.controls[case][0].first, several: lambda case: self.controls[case][0].best}

    @property
    def conventional_name(self) -> str:
        """The conventional way in the tables."""
        return f"{self.plan.conventional}, best of {self.plan.starts} random starts"


def chosen(crystals: int) -> tuple[list[Case], list[str]]:
    """The cases of an evaluation with `crystals` of the first set, and what is not there to evaluate on."""
    cases, absent = [], []
    for of in SETS:
        if of.absent:
            absent.append(f"The set `{of.name}` was not evaluated: {of.absent}.")
            continue
        numbers = range(of.size(crystals))
        shown = [n for n in numbers if of is SETS[0] and of.decade(n) >= CURVES_FROM][:CURVES]
        cases += [Case(of.name, n, n in shown) for n in numbers]
    for n, real in enumerate(REAL_CASES):
        if real.present:
            cases.append(Case(REAL, n, curves=True))
        else:
            absent.append(f"{real.title} was not evaluated: {real.path} is not below INPHASE_REAL_DATA.")
    return cases, absent


def evaluate(models: Sequence[Model], plan: Plan, crystals: int, folder: Path) -> Evaluated:
    """Everything, on all cores. KeyboardInterrupt ends it once the patterns under way are kept;
    the next run goes on.
    """
    cases, absent = chosen(crystals)
    with _pool() as pool, Progress() as progress:
        first = _submitted(pool, [partial(reference, case, plan, folder) for case in cases])
        second = _submitted(pool, [partial(path, case, m, plan, folder) for m in models for case in cases])
        third = _submitted(pool, [partial(control, case, plan, folder) for case in cases])
        try:
            references = _collected(first, progress, "without a network")
            paths = _collected(second, progress, "from the networks' starts")
            controls = _collected(third, progress, "the same from random starts")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    keys = [(model.label, case) for model in models for case in cases]
    return Evaluated(
        tuple(cases),
        tuple(models),
        plan,
        dict(zip(cases, references, strict=True)),
        dict(zip(keys, paths, strict=True)),
        dict(zip(cases, controls, strict=True)),
        tuple(absent),
    )


def ways(models: Sequence[Model], cases: Sequence[Case], plan: Plan, folder: Path) -> dict[tuple[str, Case], Way]:
    """What the starts of the models lead to, by label and case, on all cores; kept in `folder` like an evaluation."""
    keys = [(model, case) for model in models for case in cases]
    with _pool() as pool, Progress() as progress:
        futures = _submitted(pool, [partial(path, case, model, plan, folder) for model, case in keys])
        found = _collected(futures, progress, "from the networks' starts")
    return {(model.label, case): way for (model, case), (way, _) in zip(keys, found, strict=True)}


def _pool() -> ProcessPoolExecutor:
    # a terminal's Ctrl-C reaches every process: the workers finish their pattern, this one decides
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    return ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn"), ignore)


def _submitted(pool: ProcessPoolExecutor, tasks: Sequence[Callable[[], T]]) -> list[Future[T]]:
    return [pool.submit(task) for task in tasks]


def _collected(futures: Sequence[Future[T]], progress: Progress, what: str) -> list[T]:
    bar = progress.add_task(what, total=len(futures))
    for done in as_completed(futures):
        done.result()  # an error ends the run at once
        progress.advance(bar)
    return [future.result() for future in futures]
