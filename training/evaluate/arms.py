"""The ways to an image that are compared: all with the same preprocessing, mask, free voxels and shrink-wrap settings."""

from collections.abc import Callable
from dataclasses import dataclass

from inphase.formats import RawScan
from inphase.preprocess.corrections import Corrections
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import Progress, retrieve
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.starts import Starts
from inphase.trust import RULES
from service import pipeline
from service.clock import Clock
from service.inference.runtime import Network
from service.options import FAST, Options
from service.pipeline import Draft

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


def drafted(
    scan: RawScan,
    options: Options,
    network: Network | None = None,
    corrections: Corrections | None = None,
    clock: Clock | None = None,
) -> Draft:
    """A pattern prepared as the service does it, with the network's guess where there is a network."""
    return pipeline.begin(scan, options, network, clock or Clock(), corrections)[0]


def refined(
    draft: Draft, recipe: str, starts: Starts, progress: Callable[[Progress], None] | None = None
) -> list[tuple[Candidate, tuple[tuple[int, float], ...]]]:
    """Run a recipe (or preset) from the given starts: each candidate with its chi2 by iteration, the last one included."""
    parsed = recipes.resolve(recipe)
    found = []
    for s in retrieve(draft.problem, parsed, starts, progress=progress):
        candidate = Candidate(s.object, s.support, draft.measure(s.object, s.support, s.kernel), starts.kind, s.kernel)  # type: ignore[arg-type]
        history = tuple((sample.iteration, sample.chi2) for sample in s.history)
        found.append((candidate, (*history, (parsed.iterations, candidate.metrics.chi2))))
    return found
