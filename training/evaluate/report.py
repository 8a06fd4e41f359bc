"""From models to the page and its figures."""

import os
from collections.abc import Sequence
from pathlib import Path

from inphase.errors import DataError
from inphase.models.repository import Repository
from training.evaluate import figures
from training.evaluate.outcomes import Case, Model
from training.evaluate.page import gallery_name, page
from training.evaluate.plan import Plan
from training.evaluate.run import Evaluated, evaluate
from training.evaluate.sets import SETS
from training.evaluate.times import measured


def models(repository: Path, references: Sequence[str]) -> list[Model]:
    """The versions that are meant. Raises UnknownModelError, and says why a folder is refused."""
    found = Repository(repository, "")
    try:
        return [Model(repository, found.resolve(reference).label) for reference in references]
    except Exception as error:
        for refusal in found.refused:
            error.add_note(f"{refusal.folder} is refused: {refusal.why}")
        raise


def report(
    repository: Path, references: Sequence[str], plan: Plan, crystals: int, folder: Path, out: Path, command: str
) -> Path:
    """Evaluate, draw and write; returns the page. folder: where results are kept, so that a run goes on."""
    found = evaluate(models(repository, references), plan, crystals, folder)
    threads = dict.fromkeys((1, len(os.sched_getaffinity(0))))
    times = [[measured(model, timed(found, model), plan, n) for n in threads] for model in found.models]
    out.mkdir(parents=True, exist_ok=True)
    figures.histograms(found, out / "evaluation-histograms.png")
    figures.convergence(found, out / "evaluation-convergence.png")
    for model in found.models:
        figures.gallery(found, model, out / gallery_name(model))
    target = out / "evaluation.md"
    target.write_text("\n".join(page(found, times, command)))
    return target


def timed(found: Evaluated, model: Model) -> Case:
    """The crystal that a model is timed on: the brightest decade's first with a usable prediction. Raises DataError."""
    cases = [case for case in found.of(SETS[0].name) if not found.way(model, case).why]
    if not cases:
        raise DataError(f"{model.label} predicts nothing usable on any crystal: {found.way(model, found.cases[0]).why}")
    return max(cases, key=lambda case: (SETS[0].decade(case.number), -case.number))
