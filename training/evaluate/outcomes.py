"""What became of one pattern on every way to an image: computed once per pattern, model, recipe and code."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inphase.errors import DataError
from inphase.imaging.candidates import retrieved
from inphase.imaging.clock import Clock
from inphase.imaging.options import Options
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.retrievals import Retrievals
from inphase.imaging.way import begin
from inphase.models.card import Card
from inphase.models.repository import Repository
from inphase.models.session import Session, Sessions
from inphase.retrieval import recipe as recipes
from inphase.retrieval.checkpoint import Checkpoint
from inphase.retrieval.engine import Progress
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.starts import random
from training.evaluate.cache import Arrays, cached, code, digest
from training.evaluate.measurements import REAL_CASES, measured
from training.evaluate.plan import ER, Plan
from training.evaluate.scores import EDGE, Image, Score, scored
from training.evaluate.sets import SETS, CrystalSet, Truth, specimen

REAL = "real"
SCORING = (
    "inphase/retrieval/*.py",
    "inphase/imaging/candidates.py",
    "inphase/imaging/retrievals.py",
    "inphase/metrics.py",
    "inphase/ambiguity.py",
    "training/evaluate/outcomes.py",
    "training/evaluate/plan.py",
    "training/evaluate/scores.py",
)
SERVED = (
    "inphase/imaging/*.py",
    "inphase/models/*.py",
    "inphase/models/families/*.py",
    "inphase/features.py",
    "inphase/trust.py",
)


@dataclass(frozen=True)
class Case:
    """One pattern: crystal `number` of the set of that name, or a real measurement.
    curves: also for the convergence figure.
    """

    of: str
    number: int
    curves: bool = False

    @property
    def set(self) -> CrystalSet | None:
        """None for a real measurement."""
        return next((s for s in SETS if s.name == self.of), None)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.of} {self.number}" if self.set else REAL_CASES[self.number].title

    @property
    def short(self) -> str:
        """For a column."""
        name, _, rest = self.title.partition(" (")
        return f"{name}, modulus" if "modulus" in rest else name


@dataclass(frozen=True)
class Reference:
    """What needs no network. conventional: the score of every start; truth: of the true object;
    er: ER alone, chi2 by iteration.

    free_llks: of every start, sampled along the way (`Plan.sampled`) and at the end; empty for a modulus.
    """

    noise_chi2: float | None
    truth: Score | None
    conventional: tuple[Score, ...]
    free_llks: tuple[tuple[float, ...], ...]
    er: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Way:
    """What a network's start leads to. why: the prediction could not be used, and the scores are None.

    sane: nothing speaks against the support that it predicted (inphase.trust). escalates: the service would compare
    with random starts (start=auto). er, schedule: chi2 by iteration of ER alone
    and of the conventional schedule from the network's start.
    """

    network: Score | None = None
    fifty: Score | None = None
    refined: Score | None = None
    sane: bool = False
    escalates: bool = True
    why: str = ""
    er: tuple[tuple[int, float], ...] = ()
    schedule: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Model:
    """A version in a repository."""

    repository: Path
    label: str  # name@version

    def session(self, threads: int) -> Session:
        """Loaded once a process."""
        return _sessions(self.repository, threads).get(self.label)

    @property
    def card(self) -> Card:
        """What the repository says of it. Raises UnknownModelError."""
        return _sessions(self.repository, 1).repository.resolve(self.label).card

    @property
    def megabytes(self) -> float:
        """Size of the graph's file."""
        return _sessions(self.repository, 1).repository.resolve(self.label).path.stat().st_size / 1e6


@cache
def _sessions(repository: Path, threads: int) -> Sessions:
    return Sessions(Repository(repository, ""), threads)


def loaded(
    case: Case, session: Session | None = None, clock: Clock | None = None
) -> tuple[PreparedPattern, Truth | None]:
    """The pattern as the service prepares it, with the guess of the network where there is one,
    and the truth where it is known.
    """
    of = case.set
    if of is None:
        return measured(REAL_CASES[case.number], session), None
    found = specimen(of, case.number)
    options = Options(preprocess="none", seed=case.number)
    prepared, _ = begin(found.scan, options, session, clock or Clock())
    if found.scan.mask is None or not np.array_equal(prepared.problem.mask, found.scan.mask):
        raise DataError(f"{case.title}: the service has moved the pattern, so that it no longer fits the truth")
    return prepared, found.truth


def reference(case: Case, plan: Plan, folder: Path) -> tuple[Reference, Arrays]:
    """Without a network; on one thread."""
    torch.set_num_threads(1)
    prepared, truth = loaded(case)
    recipe = recipes.resolve(plan.conventional).text
    what = (case, recipe, plan.starts, plan.sampled, plan.alone)
    name = digest(*what, pattern(prepared), code(*SCORING))
    return cached(folder, f"reference-{name}", Reference, lambda: _reference(case, plan, prepared, truth))


def path(case: Case, model: Model, plan: Plan, folder: Path) -> tuple[Way, Arrays]:
    """From a network's start; on one thread."""
    torch.set_num_threads(1)
    session = model.session(threads=1)
    prepared, truth = loaded(case, session)
    used = [recipes.resolve(r).text for r in (plan.refine, plan.conventional, plan.alone)]
    source = code(*SCORING, *SERVED)
    name = digest(case, used, session.version.card.sha256, pattern(prepared), source)
    return cached(folder, f"path-{name}", Way, lambda: _path(case, plan, prepared, truth))


def pattern(prepared: PreparedPattern) -> str:
    """Digest of what is known of a pattern, the hidden voxels included."""
    problem = prepared.problem
    return digest(problem.modulus, problem.mask, problem.free, problem.padding_bound)


def _reference(case: Case, plan: Plan, prepared: PreparedPattern, truth: Truth | None) -> tuple[Reference, Arrays]:
    starts = random(prepared.problem, plan.starts, case.number)
    sampled: list[list[float]] = []

    def sample(progress: Progress) -> None:
        if progress.iteration % plan.sampled == 0 and progress.iteration:
            sampled.append(_free_llks(prepared, progress.checkpoint()))

    runs = retrieved(prepared, plan.conventional, starts, retrievals=Retrievals(progress=sample))
    images = [scored(run.candidate, prepared, truth, run.history) for run in runs]
    chosen = min(images, key=lambda image: image.score.chi2)
    arrays: Arrays = {"conventional": _picture(chosen)}
    true = None
    if truth is not None:
        support = np.abs(truth.object) > EDGE * np.abs(truth.object).max()
        known = Candidate(truth.object, support, prepared.measure(truth.object, support), "random")
        image = scored(known, prepared, truth)
        true, arrays["truth"] = image.score, _picture(image)
    one = random(prepared.problem, 1, case.number)
    alone = retrieved(prepared, plan.alone, one)[0].history if case.curves else ()
    llks = [[s.free_llk for s in (i.score for i in images)]]
    samples = [*sampled, *(row for row in llks if None not in row)] if prepared.problem.free is not None else []
    free = tuple(tuple(row) for row in zip(*samples, strict=True))
    return Reference(prepared.noise_chi2, true, tuple(i.score for i in images), free, alone), arrays


def _picture(image: Image) -> NDArray[np.complex64]:
    """What the gallery needs: the central slice across the first axis; the whole object where it is not aligned yet."""
    return image.object if image.score.against is None else image.object[image.object.shape[0] // 2]


def _free_llks(prepared: PreparedPattern, state: Checkpoint) -> list[float]:
    confined = zip(state.objects * state.supports, state.supports, strict=True)
    return [llk for o, s in confined if (llk := prepared.measure(o, s).free_llk) is not None]


def _path(case: Case, plan: Plan, prepared: PreparedPattern, truth: Truth | None) -> tuple[Way, Arrays]:
    try:
        start, guess = prepared.network_start(), prepared.guess
    except DataError as error:
        return Way(why=str(error)), {}
    images = {"network": scored(guess, prepared, truth)}
    for name, recipe in (("fifty", ER), ("refined", plan.refine)):
        (found,) = retrieved(prepared, recipe, start)
        images[name] = scored(found.candidate, prepared, truth, found.history)
    escalates = bool(prepared.shortfalls(found.candidate))
    er, schedule = (
        retrieved(prepared, recipe, start)[0].history if case.curves else ()
        for recipe in (plan.alone, plan.conventional)
    )
    network, fifty, final = (images[name].score for name in ("network", "fifty", "refined"))
    sane = not prepared.support_of(guess).faults()
    way = Way(network, fifty, final, sane, escalates, er=er, schedule=schedule)
    return way, {name: _picture(image) for name, image in images.items()}
