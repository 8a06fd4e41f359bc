"""A recipe on a batch of starts: what each of them leads to, with its score. Loads torch."""

from dataclasses import dataclass

from inphase.fourier import embedded
from inphase.imaging.prepared import PreparedPattern
from inphase.imaging.retrievals import Retrievals
from inphase.retrieval import recipe as recipes
from inphase.retrieval.ensemble import Candidate
from inphase.retrieval.starts import Starts, together


@dataclass(frozen=True)
class Retrieved:
    """What one start has led to. history: (iteration, chi2) along the way; its last entry is the candidate itself."""

    candidate: Candidate
    history: tuple[tuple[int, float], ...]


def retrieved(
    prepared: PreparedPattern,
    recipe: str,
    *batches: Starts,
    retrievals: Retrievals | None = None,
    deadline: float = float("inf"),
) -> list[Retrieved]:
    """Run a recipe (or preset) from all starts of all batches side by side; in their order.

    retrievals: how it is run; by default here, unseen. deadline: see there. Raises RecipeError, CancelledError,
    OutOfTimeError, and DataError where the iterations diverge.
    """
    parsed = recipes.resolve(recipe)
    kinds = [batch.kind for batch in batches for _ in batch.objects]
    solutions = (retrievals or Retrievals())(prepared.problem, parsed, together(batches), deadline)
    found = []
    whole = prepared.problem.modulus.shape
    for s, kind in zip(solutions, kinds, strict=True):
        obj, support = embedded(s.object, whole), embedded(s.support, whole)
        metrics = prepared.measure(obj, support, s.kernel)
        history = tuple((sample.iteration, sample.chi2) for sample in s.history)
        candidate = Candidate(obj, support, metrics, kind, s.kernel)
        found.append(Retrieved(candidate, (*history, (parsed.iterations, metrics.chi2))))
    return found
