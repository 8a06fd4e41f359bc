"""The engine: runs a recipe on a batch of starts, on CPU or GPU, in complex64.

Arrays are uncentred inside (DC and the object's centre at index 0), so that no iteration pays for an fftshift; callers
see centred arrays only. One iteration of any algorithm costs one pair of FFTs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.errors import CancelledError, DataError
from inphase.retrieval.conjugate import ConjugateGradients
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.passes import confine, feed_back, overlap, project_modulus
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import Algorithm, Recipe, Step
from inphase.retrieval.shrinkwrap import shrink_wrap
from inphase.retrieval.starts import Starts
from inphase.retrieval.transform import Transform

SAMPLE_EVERY = 10  # iterations between two entries of the history and two progress calls


@dataclass(frozen=True)
class Progress:
    """Where a run stands. chi2 and support_voxels: of the best start so far, sampled at `iteration`. stage: algorithm."""

    iteration: int
    total: int
    chi2: float
    support_voxels: int
    stage: str


@dataclass(frozen=True)
class Sample:
    """chi2 (eq. in `metrics.measure`, over the visible voxels) of the iterate that entered `iteration`, and its support.

    Between projections an HIO or RAAR iterate is not confined to its support, so its chi2 only tells that it moves.
    """

    iteration: int
    chi2: float
    support_voxels: int


@dataclass(frozen=True)
class Solution:
    """One start's result, centred: object complex64, zero outside `support` (bool)."""

    object: NDArray[np.complex64]
    support: NDArray[np.bool_]
    history: tuple[Sample, ...]


def retrieve(
    problem: Problem,
    recipe: Recipe,
    starts: Starts,
    *,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Solution]:
    """Run `recipe` from every start; one Solution per start, in order.

    `progress` is called every few iterations. `cancelled` is asked before every iteration; CancelledError if true.
    DataError where shapes do not fit or an iterate leaves the finite numbers.
    """
    if starts.objects.shape[1:] != problem.modulus.shape:
        raise DataError(f"starts of {starts.objects.shape[1:]} voxels do not fit a modulus of {problem.modulus.shape}")
    with torch.inference_mode(), kept_pages():
        run = _Run(problem, recipe, starts, torch.device(device))
        for iteration, step in enumerate(_iterations(recipe)):
            if cancelled is not None and cancelled():
                raise CancelledError(
                    f"phase retrieval was cancelled after {iteration} of {recipe.iterations} iterations"
                )
            run.advance(iteration, step)
            if progress is not None and iteration % SAMPLE_EVERY == 0:
                progress(run.progress(step))
        return run.solutions()


def _iterations(recipe: Recipe) -> list[Step]:
    return [step for step in recipe.steps for _ in range(step.count)]


class _Run:
    """The state of one batch: (B, N, ...) tensors, uncentred."""

    def __init__(self, problem: Problem, recipe: Recipe, starts: Starts, device: torch.device) -> None:
        self._recipe = recipe
        self._transform = Transform(problem.modulus.ndim)
        self._constraint = self._uncentred(problem.constraint(), device)
        self._support = self._uncentred(starts.supports, device)
        self._object = self._uncentred(starts.objects, device)
        self._power = self._constraint.clamp(min=0).double().square().sum()
        self._voxels: list[int] = self._support.flatten(1).sum(1).tolist()
        self._largest = float(np.prod([n / 2 for n in problem.modulus.shape]))
        self._gradient: ConjugateGradients | None = None
        self._history: list[tuple[int, list[float], list[int]]] = []
        self._scale_to_data()

    def _uncentred(self, array: NDArray[np.generic], device: torch.device) -> Tensor:
        axes = tuple(range(array.ndim - len(self._transform.dims), array.ndim))
        return torch.from_numpy(np.ascontiguousarray(np.fft.ifftshift(array, axes=axes))).to(device)

    def _centred(self, tensor: Tensor) -> NDArray[np.generic]:
        shifted: NDArray[np.generic] = np.fft.fftshift(tensor.cpu().numpy(), axes=self._transform.dims)
        return shifted

    def _scale_to_data(self) -> None:
        """Least-squares scale of every start's modulus to the visible data."""
        overlapping, power = overlap(self._transform.forward(self._object), self._constraint).unbind(1)
        if not bool((power > 0).all()):
            raise DataError("a start has no intensity where the pattern is measured")
        self._object *= (overlapping / power).float().view(-1, *(1 for _ in self._transform.dims))

    def advance(self, iteration: int, step: Step) -> None:
        """One iteration: modulus projection, support update where it is due, real-space step."""
        if step.algorithm is Algorithm.AER:
            if self._gradient is None:
                self._gradient = self._descent(self._object)
            self._sample(iteration, self._gradient.field)
            projected = self._gradient.projected()
        else:
            self._leave_gradient()
            field = self._transform.forward(self._object)
            self._sample(iteration, field)
            projected = self._transform.backward(project_modulus(field, self._constraint))
        if self._shrink_wrap(projected, iteration) and self._gradient is not None:
            self._gradient = self._descent(self._gradient.object)
            projected = self._gradient.projected()
        if self._gradient is not None:
            self._gradient.advance(projected, self._support)
        else:
            self._object = constrain(step, self._object, projected, self._support)

    def _descent(self, obj: Tensor) -> ConjugateGradients:
        return ConjugateGradients(self._transform, self._constraint, obj * self._support)

    def _leave_gradient(self) -> None:
        if self._gradient is not None:
            self._object, self._gradient = self._gradient.object, None

    def _sample(self, iteration: int, field: Tensor) -> None:
        if iteration % SAMPLE_EVERY:
            return
        overlapping, power = overlap(field, self._constraint).unbind(1)
        chi2 = (1 - overlapping.square() / (power * self._power)).tolist()
        if not np.isfinite(chi2).all():
            raise DataError(f"phase retrieval diverged at iteration {iteration}")
        self._history.append((iteration, chi2, self._voxels))

    def progress(self, step: Step) -> Progress:
        """The last sample of the start with the lowest chi2."""
        iteration, chi2, voxels = self._history[-1]
        best = int(np.argmin(chi2))
        return Progress(iteration, self._recipe.iterations, chi2[best], voxels[best], step.algorithm)

    def _shrink_wrap(self, projected: Tensor, iteration: int) -> bool:
        """Update the supports where the recipe asks for it at this iteration; whether it did."""
        clause = self._recipe.shrink_wrap
        if clause is None or iteration == 0 or iteration % clause.every:
            return False
        last = (self._recipe.iterations - 1) // clause.every * clause.every
        done = (iteration - clause.every) / (last - clause.every) if last > clause.every else 1.0
        sigma = clause.sigma[0] * (clause.sigma[1] / clause.sigma[0]) ** done
        low, high = (max(1, round(self._largest * part)) for part in clause.volume)
        self._support, self._voxels = shrink_wrap(self._transform, projected, clause.threshold, sigma, low, high)
        return True

    def solutions(self) -> list[Solution]:
        """The result of every start, confined to its support."""
        self._leave_gradient()
        objects = self._object * self._support
        if not bool(torch.isfinite(torch.view_as_real(objects)).all()):
            raise DataError(f"phase retrieval diverged within {self._recipe.iterations} iterations")
        centred, supports = self._centred(objects), self._centred(self._support)
        histories = [
            tuple(Sample(i, chi2[b], voxels[b]) for i, chi2, voxels in self._history) for b in range(len(objects))
        ]
        return [
            Solution(obj.copy(), support.copy(), history)
            for obj, support, history in zip(centred, supports, histories, strict=True)
        ]


def constrain(step: Step, obj: Tensor, projected: Tensor, support: Tensor) -> Tensor:
    """The real-space half of ER, HIO and RAAR (`recipe.Algorithm`), in place of `projected`."""
    match step.algorithm, step.beta:
        case Algorithm.HIO, float(beta):
            return feed_back(obj, projected, support, 1.0, -beta)
        case Algorithm.RAAR, float(beta):
            return feed_back(obj, projected, support, beta, 1 - 2 * beta)
        case _:
            return confine(projected, support)
