"""The refinement of a prepared pattern, with its escalation to random starts. Loads torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from inphase.errors import DataError
from inphase.imaging import report
from inphase.imaging.candidates import Retrieved, retrieved
from inphase.imaging.climb import SECONDS, Image, Revised, climb
from inphase.imaging.clock import Clock
from inphase.imaging.halves import Halves, halves
from inphase.imaging.options import CONVENTIONAL, FAST, NO_REFINEMENT
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.reconstruction import Reconstruction
from inphase.imaging.report import Report
from inphase.imaging.retrievals import Retrievals
from inphase.imaging.way import CommonFrame, judge
from inphase.retrieval import recipe as recipes
from inphase.retrieval.ensemble import Candidate, assess, best_of
from inphase.retrieval.starts import FROM_NETWORK, Kind, Starts, of_every_kind, random

_BEGAN: Final[Mapping[Kind, str]] = {
    "network": "the network's image",
    "jittered": "the network's image, disturbed",
    "autocorrelation": "a flat image in the halved autocorrelation",
    "random": "random phases",
}


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
    """Refine from the start that the report names, escalate where the result is not sane (start=auto), keep the
    network's own image where that fits the hidden voxels better than what `fast` makes of it (start=auto), go on to the
    finest grid that the measurement is worth, judge.

    retrievals: how they are run; by default here, unseen. frame: of the series whose scan this is. revised: takes what
    became of the network's image before the random starts are tried, which take many times as long, and the images of
    `inphase.imaging.climb`; seconds: see there. Raises CancelledError, and DataError where the iterations diverge.
    """
    retrievals = retrievals or Retrievals()

    def run(recipe: str, *batches: Starts) -> list[Retrieved]:
        return retrieved(prepared, recipe, *batches, retrievals=retrievals)

    start = found.start
    earlier = (
        found.recipe.refine if start.requested == "random" else CONVENTIONAL
    )  # as reports of earlier versions mean
    conventional = found.recipe.conventional or earlier
    wrong: Sequence[str] = ()
    with clock("refine"):
        if start.requested == "mixed":
            near, far = _of_every_kind(prepared, start)
            ended = run(found.recipe.refine, *near) + (run(conventional, *far) if far else [])
        elif start.kind == "network":
            ended = run(found.recipe.refine, prepared.network_start())
            if start.requested == "auto":
                wrong = prepared.shortfalls(ended[0].candidate)
        else:
            ended = run(conventional, _random(prepared, start))
    if wrong:
        if revised is not None:
            told = _escalated(found, wrong, f"{CONVENTIONAL} from random starts is tried now")
            told = replace(told, resumed_from=retrievals.resumed_from, history=ended[0].history)
            told, shown = _chosen(told, prepared, ended[0].candidate)
            revised(judge(prepared, told, shown, clock))
        found = _escalated(found, wrong, f"compared with {CONVENTIONAL} from random starts")
        with clock("refine"):
            ended += run(conventional, _random(prepared, start))
    candidates = [each.candidate for each in ended]
    ensemble = None
    if len(candidates) > 1:
        with clock("rank"):
            ensemble = assess(
                prepared.problem, candidates, oversampling=prepared.oversampling, geometry=prepared.geometry
            )
    chosen = ended[ensemble.best if ensemble else 0]
    best = chosen.candidate
    found = _with_random_score(found, [c for c in candidates if c.origin == "random"])
    found = replace(_as_it_came(found, best, len(candidates)), resumed_from=retrievals.resumed_from)
    found, best = _chosen(found, prepared, best)
    with clock("rank"):
        detail = _detail(halves(prepared, best, start.seed, retrievals))
    found = replace(found, detail=detail, history=chosen.history)
    if prepared.ladder is None:
        return judge(prepared, found, best, clock, ensemble, frame)
    return climb(
        Image(prepared, found, best), clock, retrievals=retrievals, ensemble=ensemble, frame=frame, revised=revised,
        seconds=seconds,
    )  # fmt: skip


def _detail(found: Halves | None) -> report.Detail | None:
    """Where the correlations of the halves fall below half a bit."""
    if found is None:
        return None
    overall, *along = (
        report.part(report.Resolution, curve.resolution("half-bit", threshold))
        for curve, threshold in zip((found.overall, *found.along), found.thresholds, strict=True)
    )
    return report.Detail("half-photon FSC", overall, tuple(along))


def _random(prepared: PreparedPattern, start: report.Beginning) -> Starts:
    return random(prepared.problem, start.random_starts, start.seed)


def _of_every_kind(prepared: PreparedPattern, start: report.Beginning) -> tuple[list[Starts], list[Starts]]:
    """The network's image and what is near it, and the starts that know nothing of it."""
    if prepared.prediction is None:
        raise DataError("no network was asked for a start: start=mixed needs one")
    amplitude, phase = prepared.prediction.amplitude, prepared.prediction.phase
    threshold = prepared.support_threshold
    batches = of_every_kind(amplitude, phase, prepared.problem, start.random_starts, start.seed, threshold)
    near = [batch for batch in batches if batch.kind in FROM_NETWORK]
    return near, [batch for batch in batches if batch.kind not in FROM_NETWORK]


def _with_random_score(found: Report, conventional: Sequence[Candidate]) -> Report:
    if not conventional:
        return found
    best = conventional[best_of(conventional, found.oversampling.after)]
    return replace(found, metrics=replace(found.metrics, random_start=report.part(report.Score, best.metrics)))


def _escalated(found: Report, wrong: Sequence[str], then: str) -> Report:
    why = f"refined from the network's start it falls short: {'; '.join(wrong)}; {then}"
    return replace(found, start=replace(found.start, why=why))


def _chosen(found: Report, prepared: PreparedPattern, refined: Candidate) -> tuple[Report, Candidate]:
    """The refined image, or the network's own where that is the better one and the choice was left open."""
    if _left_to_choose(found) and overfitted(prepared.guess, refined):
        return _unrefined(found, refined), prepared.guess
    return found, refined


def _left_to_choose(found: Report) -> bool:
    """Whether the caller left start and recipe open, and they are the network's image and `fast`."""
    start = found.start
    return start.requested == "auto" and start.kind == "network" and found.recipe.refine == recipes.resolve(FAST).text


def overfitted(guess: Candidate, refined: Candidate) -> bool:
    """Whether the network's own image fits the hidden voxels better: then the refinement has fitted noise."""
    before, after = guess.metrics.free_llk, refined.metrics.free_llk
    return before is not None and after is not None and before < after


def _unrefined(found: Report, refined: Candidate) -> Report:
    """With the network's own image as the result, and what the refinement came to beside it."""
    why = (
        f"{found.start.why}; the network's own image was kept: refined by {found.recipe.refine} it fits the voxels "
        f"that were hidden worse (free log-likelihood {refined.metrics.free_llk:.4g})"
    )
    return replace(
        found,
        start=replace(found.start, why=why),
        recipe=replace(found.recipe, refine=NO_REFINEMENT),
        metrics=replace(found.metrics, refined=report.part(report.Score, refined.metrics)),
    )


def _as_it_came(found: Report, best: Candidate, starts: int) -> Report:
    """With the start and the recipe that made the result, where several kinds of starts were compared."""
    if found.start.requested == "mixed":
        why = f"the best of {starts} starts of every kind began from {_BEGAN[best.kind]}"
        found = replace(found, start=replace(found.start, why=why))
    if best.origin != "random" or found.start.requested == "random":
        return found
    recipe = found.recipe.conventional or recipes.resolve(CONVENTIONAL).text
    return replace(found, recipe=replace(found.recipe, refine=recipe))
