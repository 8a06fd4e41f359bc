"""The refinement of a prepared pattern, with its escalation to random starts. Loads torch."""

from collections.abc import Sequence
from dataclasses import replace

from inphase.errors import DataError
from inphase.imaging import report
from inphase.imaging.candidates import retrieved
from inphase.imaging.climb import SECONDS, Image, Revised, climb
from inphase.imaging.clock import Clock
from inphase.imaging.options import CONVENTIONAL
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Report
from inphase.imaging.retrievals import Retrievals
from inphase.imaging.way import CommonFrame, judge
from inphase.retrieval import recipe as recipes
from inphase.retrieval.ensemble import Candidate, assess, best_of
from inphase.retrieval.starts import Starts, of_every_kind, random


def refine(
    prepared: PreparedPattern,
    found: Report,
    clock: Clock,
    *,
    retrievals: Retrievals | None = None,
    frame: CommonFrame | None = None,
    revised: Revised | None = None,
    seconds: float = SECONDS,
) -> Reconstruction:
    """Refine from the start that the report names, escalate where the result is not sane (start=auto), go on to the
    finest grid that the measurement is worth, judge.

    retrievals: how they are run; by default here, unseen. frame: of the series whose scan this is. revised, seconds:
    see `inphase.imaging.climb`. Raises CancelledError, and DataError where the iterations diverge.
    """
    retrievals = retrievals or Retrievals()

    def run(recipe: str, *batches: Starts) -> list[Candidate]:
        return [each.candidate for each in retrieved(prepared, recipe, *batches, retrievals=retrievals)]

    start = found.start
    with clock("refine"):
        if start.requested == "mixed":
            candidates = run(found.recipe.refine, *_of_every_kind(prepared, start))
        elif start.kind == "network":
            candidates = run(found.recipe.refine, prepared.network_start())
            if start.requested == "auto" and (wrong := prepared.shortfalls(candidates[0])):
                found = _escalated(found, wrong)
                candidates += run(CONVENTIONAL, _random(prepared, start))
        else:
            recipe = found.recipe.refine if start.requested == "random" else CONVENTIONAL
            candidates = run(recipe, _random(prepared, start))
    ensemble = None
    if len(candidates) > 1:
        with clock("rank"):
            ensemble = assess(
                prepared.problem, candidates, oversampling=prepared.oversampling, geometry=prepared.geometry
            )
    best = candidates[ensemble.best if ensemble else 0]
    found = _with_random_score(found, [c for c in candidates if c.origin == "random"])
    found = replace(_with_recipe_used(found, best), resumed_from=retrievals.resumed_from)
    if prepared.ladder is None:
        return judge(prepared, found, best, clock, ensemble, frame)
    return climb(
        Image(prepared, found, best), clock, retrievals=retrievals, ensemble=ensemble, frame=frame, revised=revised,
        seconds=seconds,
    )  # fmt: skip


def _random(prepared: PreparedPattern, start: report.Beginning) -> Starts:
    return random(prepared.problem, start.random_starts, start.seed)


def _of_every_kind(prepared: PreparedPattern, start: report.Beginning) -> list[Starts]:
    if prepared.prediction is None:
        raise DataError("no network was asked for a start: start=mixed needs one")
    amplitude, phase = prepared.prediction.amplitude, prepared.prediction.phase
    threshold = prepared.support_threshold
    return of_every_kind(amplitude, phase, prepared.problem, start.random_starts, start.seed, threshold)


def _with_random_score(found: Report, conventional: Sequence[Candidate]) -> Report:
    if not conventional:
        return found
    best = conventional[best_of(conventional, found.oversampling.after)]
    return replace(found, metrics=replace(found.metrics, random_start=report.part(report.Score, best.metrics)))


def _escalated(found: Report, wrong: Sequence[str]) -> Report:
    why = (
        f"refined from the network's start it falls short: {'; '.join(wrong)}; "
        f"compared with {CONVENTIONAL} from random starts"
    )
    return replace(found, start=replace(found.start, why=why))


def _with_recipe_used(found: Report, best: Candidate) -> Report:
    """The recipe that made the result: the conventional one where start=auto has come to random starts."""
    if best.origin == "network" or found.start.requested in ("random", "mixed"):
        return found
    return replace(found, recipe=replace(found.recipe, refine=recipes.resolve(CONVENTIONAL).text))
