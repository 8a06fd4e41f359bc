"""The ways to an image that are compared: all with the same preprocessing, mask,
free voxels and shrink-wrap settings.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inphase.formats import RawScan
from inphase.imaging.clock import Clock
from inphase.imaging.options import FAST, Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.way import begin
from inphase.models.session import Session
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import Progress, retrieve
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.starts import Starts
from inphase.trust import RULES

ER = "50*ER"  # the refinement of the AutoPhaseNN paper


@dataclass(frozen=True)
class Plan:
    """What is run on every pattern. Recipes are presets or recipe strings.

    refine: from the network's start. conventional: from `starts` random ones, its free log-likelihood sampled every
    `sampled` iterations. alone: error reduction by itself, for the convergence figure.
    """

    refine: str = FAST
    conventional: str = "autophasenn-600"  # the words of the papers, and of every earlier comparison
    starts: int = RULES.random_starts
    sampled: int = 100
    alone: str = "600*ER"


def prepared_by(
    scan: RawScan,
    options: Options,
    session: Session | None = None,
    clock: Clock | None = None,
) -> PreparedPattern:
    """A pattern prepared as `inphase.reconstruct` does it, with the network's guess where there is a network."""
    return begin(scan, options, session, clock or Clock())[0]


def refined(
    prepared: PreparedPattern, recipe: str, starts: Starts, progress: Callable[[Progress], None] | None = None
) -> list[tuple[Candidate, tuple[tuple[int, float], ...]]]:
    """Run a recipe (or preset) from the given starts:
    each candidate with its chi2 by iteration, the last one included.
    """
    parsed = recipes.resolve(recipe)
    found = []
    for s in retrieve(prepared.problem, parsed, starts, progress=progress):
        metrics = prepared.measure(s.object, s.support, s.kernel)
        candidate = Candidate(s.object, s.support, metrics, starts.kind, s.kernel)
        history = tuple((sample.iteration, sample.chi2) for sample in s.history)
        found.append((candidate, (*history, (parsed.iterations, candidate.metrics.chi2))))
    return found
