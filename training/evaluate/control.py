"""The refinement without a network: what of a result is the recipe's, and what the prediction's."""

from dataclasses import dataclass
from pathlib import Path

import torch

from inphase.imaging.candidates import retrieved
from inphase.retrieval import recipe as recipes
from inphase.retrieval.starts import random
from training.evaluate.cache import Arrays, cached, code, digest
from training.evaluate.outcomes import SCORING, Case, loaded, pattern
from training.evaluate.plan import Plan
from training.evaluate.scores import Score, best, scored


@dataclass(frozen=True)
class Control:
    """The refinement from random starts: the first one, and the best of all by chi2."""

    first: Score
    best: Score


def control(case: Case, plan: Plan, folder: Path) -> tuple[Control, Arrays]:
    """`plan.refine` from the random starts of the conventional way; on one thread."""
    torch.set_num_threads(1)
    prepared, truth = loaded(case)
    recipe = recipes.resolve(plan.refine).text
    name = digest(case, recipe, plan.starts, pattern(prepared), code(*SCORING))

    def compute() -> tuple[Control, Arrays]:
        runs = retrieved(prepared, plan.refine, random(prepared.problem, plan.starts, case.number))
        scores = tuple(scored(run.candidate, prepared, truth).score for run in runs)
        return Control(scores[0], best(scores)), {}

    return cached(folder, f"control-{name}", Control, compute)
