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
from inphase.retrieval.memory import kept_pages
from inphase.retrieval.passes import confine, feed_back, project_modulus
from inphase.retrieval.problem import Problem
from inphase.retrieval.recipe import Algorithm, Recipe, ShrinkWrap, Step
from inphase.retrieval.starts import Starts

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
                raise CancelledError(f"phase retrieval was cancelled after {iteration} of {recipe.iterations} iterations")
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
        self._dims = tuple(range(1, starts.objects.ndim))
        self._constraint = self._uncentred(problem.constraint(), device)
        self._support = self._uncentred(starts.supports, device)
        self._object = self._uncentred(starts.objects, device)
        self._visible = self._constraint >= 0
        self._power = (self._constraint.clamp(min=0).double() ** 2).sum()
        self._largest = float(np.prod([n / 2 for n in problem.modulus.shape]))
        self._gradient: _Conjugate | None = None
        self._history: list[tuple[int, list[float], list[int]]] = []
        self._scale_to_data()

    def _uncentred(self, array: NDArray[np.generic], device: torch.device) -> Tensor:
        axes = tuple(range(array.ndim - len(self._dims), array.ndim))
        return torch.from_numpy(np.ascontiguousarray(np.fft.ifftshift(array, axes=axes))).to(device)

    def _centred(self, tensor: Tensor) -> NDArray[np.generic]:
        shifted: NDArray[np.generic] = np.fft.fftshift(tensor.cpu().numpy(), axes=self._dims)
        return shifted

    def _forward(self, obj: Tensor) -> Tensor:
        return torch.fft.fftn(obj, dim=self._dims, norm="ortho")

    def _backward(self, field: Tensor) -> Tensor:
        return torch.fft.ifftn(field, dim=self._dims, norm="ortho")

    def _per_start(self, values: Tensor) -> Tensor:
        """(B,) -> (B, 1, ...)."""
        return values.view(-1, *(1 for _ in self._dims))

    def _scale_to_data(self) -> None:
        """Least-squares scale of every start's modulus to the visible data."""
        modulus = self._forward(self._object).abs() * self._visible
        overlap = (modulus * self._constraint.clamp(min=0)).double().sum(self._dims)
        power = modulus.double().square().sum(self._dims)
        if not bool((power > 0).all()):
            raise DataError("a start has no intensity where the pattern is measured")
        self._object *= self._per_start((overlap / power).float())

    def advance(self, iteration: int, step: Step) -> None:
        """One iteration: modulus projection, support update where it is due, real-space step."""
        if step.algorithm is Algorithm.AER:
            self._gradient = self._gradient or _Conjugate.start(self, self._object * self._support)
            field = self._gradient.field.clone()
        else:
            self._leave_gradient()
            field = self._forward(self._object)
        if iteration % SAMPLE_EVERY == 0:
            self._sample(iteration, field)
        projected = self._backward(project_modulus(field, self._constraint))
        clause = self._recipe.shrink_wrap
        if clause is not None and iteration and iteration % clause.every == 0:
            self._support = self._shrink_wrap(projected, clause, iteration)
            if self._gradient is not None:
                self._gradient = _Conjugate.start(self, self._gradient.object * self._support)
                projected = self._backward(project_modulus(self._gradient.field.clone(), self._constraint))
        if self._gradient is not None:
            self._gradient.advance(self, projected, self._support)
        else:
            self._object = constrain(step, self._object, projected, self._support)

    def _leave_gradient(self) -> None:
        if self._gradient is not None:
            self._object, self._gradient = self._gradient.object, None

    def _sample(self, iteration: int, field: Tensor) -> None:
        modulus = field.abs() * self._visible
        overlap = (modulus * self._constraint.clamp(min=0)).double().sum(self._dims)
        chi2 = (1 - overlap**2 / (modulus.double().square().sum(self._dims) * self._power)).tolist()
        if not np.isfinite(chi2).all():
            raise DataError(f"phase retrieval diverged at iteration {iteration}")
        voxels = self._support.flatten(1).sum(1).tolist()
        self._history.append((iteration, chi2, voxels))

    def progress(self, step: Step) -> Progress:
        """The last sample of the start with the lowest chi2."""
        iteration, chi2, voxels = self._history[-1]
        best = int(np.argmin(chi2))
        return Progress(iteration, self._recipe.iterations, chi2[best], voxels[best], step.algorithm)

    def _shrink_wrap(self, projected: Tensor, clause: ShrinkWrap, iteration: int) -> Tensor:
        last = (self._recipe.iterations - 1) // clause.every * clause.every
        done = (iteration - clause.every) / (last - clause.every) if last > clause.every else 1.0
        sigma = clause.sigma[0] * (clause.sigma[1] / clause.sigma[0]) ** done
        low, high = (max(1, round(self._largest * part)) for part in clause.volume)
        return shrink_wrap(projected, clause.threshold, sigma, low, high)

    def solutions(self) -> list[Solution]:
        """The result of every start, confined to its support."""
        self._leave_gradient()
        objects = self._object * self._support
        if not bool(torch.isfinite(torch.view_as_real(objects)).all()):
            raise DataError(f"phase retrieval diverged within {self._recipe.iterations} iterations")
        centred, supports = self._centred(objects), self._centred(self._support)
        histories = [tuple(Sample(i, chi2[b], voxels[b]) for i, chi2, voxels in self._history) for b in range(len(objects))]
        return [Solution(obj.copy(), support.copy(), history) for obj, support, history in zip(centred, supports, histories, strict=True)]


def constrain(step: Step, obj: Tensor, projected: Tensor, support: Tensor) -> Tensor:
    """The real-space half of ER, HIO and RAAR (`recipe.Algorithm`), in place of `projected`."""
    match step.algorithm, step.beta:
        case Algorithm.HIO, float(beta):
            return feed_back(obj, projected, support, 1.0, -beta)
        case Algorithm.RAAR, float(beta):
            return feed_back(obj, projected, support, beta, 1 - 2 * beta)
        case _:
            return confine(projected, support)


def shrink_wrap(projected: Tensor, threshold: float, sigma: float, low: int, high: int) -> Tensor:
    """New supports (B, N, ...) from the smoothed |projected|; see `recipe.ShrinkWrap`. Volumes are kept within low..high."""
    smooth = gaussian(projected.abs(), sigma)
    flat = smooth.flatten(1)
    power = flat.double().square()
    reference = (power.square().sum(1) / power.sum(1)).sqrt()
    cut = threshold * reference.float()
    for b in range(len(flat)):
        voxels = int((flat[b] >= cut[b]).sum())
        if not low <= voxels <= high:
            cut[b] = flat[b].topk(low if voxels < low else high).values[-1]
    return smooth >= cut.view(-1, *(1 for _ in smooth.shape[1:]))


def gaussian(real: Tensor, sigma: float) -> Tensor:
    """Periodic convolution of (B, N, ...) with a normalised Gaussian of `sigma` voxels."""
    dims = tuple(range(1, real.ndim))
    spectrum = torch.fft.rfftn(real, dim=dims)
    for dim in dims:
        n, frequencies = real.shape[dim], torch.fft.rfftfreq if dim == dims[-1] else torch.fft.fftfreq
        window = torch.exp(-2 * (torch.pi * sigma * frequencies(n, device=real.device)) ** 2)
        spectrum *= window.view(*(-1 if d == dim else 1 for d in range(real.ndim)))
    return torch.fft.irfftn(spectrum, s=real.shape[1:], dim=dims)


@dataclass
class _Conjugate:
    """Conjugate gradients (Polak-Ribiere+) on L(o) = 1/2 ||F - P_M F||^2, F = FFT o, with o confined to its support.

    The gradient is S (o - P_M o): ER is steepest descent with step 1. F is linear in o, so that the line search needs
    the direction's FFT only: one pair of FFTs per step, as in ER.
    """

    object: Tensor
    field: Tensor
    gradient: Tensor | None = None
    direction: Tensor | None = None

    @classmethod
    def start(cls, run: _Run, obj: Tensor) -> "_Conjugate":
        return cls(obj, run._forward(obj))

    def advance(self, run: _Run, projected: Tensor, support: Tensor) -> None:
        gradient = (self.object - projected) * support
        if self.gradient is None or self.direction is None:
            direction = -gradient
        else:
            ratio = _dot(gradient, gradient - self.gradient) / _dot(self.gradient, self.gradient).clamp(min=1e-30)
            direction = run._per_start(ratio.clamp(min=0).float()) * self.direction - gradient
            uphill = run._per_start(_dot(direction, gradient) >= 0)
            direction = torch.where(uphill, -gradient, direction)
        slope = _dot(direction, gradient)
        field = run._forward(direction)
        length = self._length(run, field, slope)
        self.object = self.object + length * direction
        self.field = self.field + length * field
        self.gradient, self.direction = gradient, direction

    def _length(self, run: _Run, field: Tensor, slope: Tensor) -> Tensor:
        """One Newton step of the line search from 0, never shorter than half of ER's."""
        modulus = self.field.abs().clamp(min=torch.finfo(torch.float32).tiny)
        power = field.real**2 + field.imag**2
        along = (self.field.real * field.real + self.field.imag * field.imag) / modulus
        held = run._constraint.abs() / modulus
        active = run._visible | (held < 1)
        curvature = torch.where(active, power - held * (power - along**2), 0.0).double().sum(run._dims)
        bound = power.double().sum(run._dims)
        return run._per_start((-slope / torch.maximum(curvature, 0.02 * bound).clamp(min=1e-30)).float())


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Real inner product of each start, (B,) float64."""
    return (a.real * b.real + a.imag * b.imag).double().flatten(1).sum(1)
