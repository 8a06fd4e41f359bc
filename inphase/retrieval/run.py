"""One batch of starts on its way through a recipe. Everything here is uncentred: no iteration pays for an fftshift."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inphase.errors import DataError
from inphase.retrieval import gradient, terms
from inphase.retrieval.checkpoint import Checkpoint
from inphase.retrieval.coherence import Coherence
from inphase.retrieval.conjugate import ConjugateGradients
from inphase.retrieval.descent import Descent
from inphase.retrieval.fft import Transform
from inphase.retrieval.passes import (
    coherent,
    confine,
    counted,
    difference_map,
    feed_back,
    flip_amplitude,
    intensity,
    overlap,
    project_modulus,
    relax,
)
from inphase.retrieval.problem import Problem
from inphase.retrieval.resampling import covered, resampled
from inphase.retrieval.shrinkwrap import shrink_wrap
from inphase.retrieval.terms import ADAM, AF, DM, ER, HIO, LBFGS, RAAR, SF, Loss, Operation, Recipe

SAMPLE_EVERY = 10  # iterations between two entries of the history and two progress calls


def fits(box: tuple[int, ...], whole: tuple[int, ...], recipe: Recipe) -> bool:
    """Whether objects of a box can be those of a far field: with LOWRES, which changes the grid, of its size only."""
    if box == whole:
        return True
    within = len(box) == len(whole) and all(n <= m and n % 2 == 0 for n, m in zip(box, whole, strict=True))
    return within and not recipe.low_resolution


class FarField:
    """What is known of the far field, or of its central part, `side` of each axis;
    shared by all runs of a retrieval.
    """

    def __init__(self, constraint: Tensor, side: float = 1.0, whole: torch.Size | None = None) -> None:
        self.constraint = constraint
        self.side = side
        self._whole = whole or constraint.shape
        self.device = constraint.device
        self.dims = tuple(range(1, constraint.ndim + 1))
        self.power = float(constraint.clamp(min=0).square_().sum(dtype=torch.float64))

    @classmethod
    def of(cls, problem: Problem, device: torch.device) -> Self:
        """The whole of it, on the device."""
        return cls(torch.from_numpy(np.fft.ifftshift(problem.constraint())).to(device))

    def part(self, side: float) -> Self:
        """The central part, on the nearest even sides. Raises DataError where it holds nothing."""
        whole = self.constraint.shape
        shape = [max(2, 2 * round(side * n / 2)) for n in whole]
        part = type(self)(resampled(self.constraint, shape), side, whole)
        if not part.power > 0:
            raise DataError(
                f"the centre of the pattern, {side:g} of each side, holds no intensity for LOWRES to begin with"
            )
        return part

    def uncentred(self, array: NDArray[Any]) -> Tensor:
        """Centred array, with or without a batch axis -> tensor with index 0 at the centre."""
        axes = tuple(range(array.ndim - len(self.dims), array.ndim))
        return torch.from_numpy(np.ascontiguousarray(np.fft.ifftshift(array, axes=axes))).to(self.device)

    def centred(self, tensor: Tensor) -> NDArray[Any]:
        """The inverse, of (B, N, ...)."""
        shifted: NDArray[Any] = np.fft.fftshift(tensor.cpu().numpy(), axes=self.dims)
        return shifted

    def lowered(self, sigma: float) -> Tensor:
        """The constraint with its moduli multiplied by a Gaussian, sigma in units of the distance from centre to
        edge.
        """
        window = torch.ones((), device=self.device)
        for m, n in zip(self.constraint.shape, self._whole, strict=True):
            frequency = torch.fft.fftfreq(m, device=self.device) * 2 * m / n
            window = window[..., None] * torch.exp(-0.5 * (frequency / sigma) ** 2)
        return torch.where(self.constraint >= 0, self.constraint * window, self.constraint)


class Run:
    """The state of one batch: (B, N, ...) tensors. fars: by their side, 1 for the whole."""

    def __init__(self, fars: Mapping[float, FarField], recipe: Recipe, begin: Checkpoint) -> None:
        self._fars = fars
        self._far = far = fars[recipe.side(begin.iteration - 1) if begin.iteration else 1.0]
        box, whole = begin.objects.shape[1:], tuple(far.constraint.shape)
        if not fits(box, whole, recipe):
            raise DataError(f"a checkpoint of {box} voxels does not fit a grid of {whole}")
        self._transform = Transform.of(whole, box)
        self._recipe = recipe
        self._operations = recipe.operations
        self._measured = self._constraint = far.constraint  # the latter: what coherent light would give
        self._sigma: float | None = None  # of the Gaussian that lowers it
        self._iteration = begin.iteration
        self._object: Tensor | None = far.uncentred(begin.objects)  # None while a descent holds it
        self._support = far.uncentred(begin.supports)
        self._voxels = self._volumes(counted(self._support))
        self._sums = None if begin.sums is None else far.uncentred(begin.sums)
        self._descent: Descent | None = None
        self._descending: Operation | None = None
        self._coherence = self._resumed_coherence(begin.kernels)
        self._history = [
            (int(i), list(chi2), list(voxels))
            for i, chi2, voxels in zip(begin.sampled, begin.chi2, begin.voxels, strict=True)
        ]
        if begin.moduli is not None:
            self._lower(begin.iteration - 1)
            self._constraint = far.uncentred(begin.moduli)
        if begin.iteration == 0:
            self._resample(recipe.side(0))
            self._lower(0)
            self._scale_to_data()

    def __len__(self) -> int:
        return len(self._support)

    def _resumed_coherence(self, kernels: NDArray[np.float32] | None) -> Coherence | None:
        if self._recipe.coherence is None or kernels is None:
            return None
        return Coherence(self._recipe.coherence, self._transform, torch.from_numpy(kernels).to(self._far.device))

    def _scale_to_data(self) -> None:
        """Least-squares scale of every start's modulus to the visible data."""
        obj = self._current()
        overlapping, power = overlap(self._transform.forward(obj), self._measured).unbind(1)
        if not bool((power > 0).all()):
            raise DataError("a start has no intensity where the pattern is measured")
        obj *= (overlapping / power).float().view(-1, *(1 for _ in self._transform.dims))

    def advance(self) -> None:
        """One iteration: modulus projection, support update where it is due, real-space step."""
        iteration, operation = self._iteration, self._operations[self._iteration]
        self._resample(self._recipe.side(iteration))
        self._choose(operation, anew=self._lower(iteration))
        field = self._descent.field if self._descent else self._transform.forward(self._current())
        self._sample(iteration, field, self._cohere(field, iteration))
        if self._descent:
            del field
            wrapped = self._shrink_wrap(self._descent.projected, self._descent.room, iteration)
            if wrapped or self._blur_changes(iteration):
                self._leave()
                self._descent = self._descent_of(operation)
            self._descent.advance()
        else:
            projected = self._transform.backward(project_modulus(field, self._constraint))
            scratch = field if field.shape == projected.shape else torch.empty_like(projected)
            self._shrink_wrap(lambda: projected, scratch, iteration)
            del field, scratch
            self._constrain(operation, projected, self._inside(projected, iteration))
            del projected
        self._accumulate(iteration)
        self._iteration += 1

    def _resample(self, side: float) -> None:
        """Go on with another part of the far field; what has not been seen before begins with zeros."""
        if side == self._far.side:
            return
        self._leave()
        self._far = self._fars[side]
        self._measured = self._constraint = self._far.constraint
        self._sigma = None
        shape = self._measured.shape
        self._object = self._transform.backward(resampled(self._transform.forward(self._current()), shape))
        self._support = covered(self._support, shape).contiguous()
        self._voxels = self._volumes(counted(self._support))

    def _volumes(self, counts: Sequence[int]) -> list[int]:
        """Numbers of voxels in units of those of the whole grid."""
        size = self._fars[1.0].constraint.numel() / self._far.constraint.numel()
        return [round(size * count) for count in counts]

    def _lower(self, iteration: int) -> bool:
        """Set the constraint that holds at this iteration, under LOWRES; whether it is another one."""
        low = self._recipe.lowered(iteration)
        sigma = None if low is None else low[0].width(iteration, low[1])
        if sigma == self._sigma:
            return False
        self._sigma = sigma
        self._measured = self._constraint = self._far.constraint if sigma is None else self._far.lowered(sigma)
        return True

    def _choose(self, operation: Operation, *, anew: bool) -> None:
        """Begin or leave a descent where the operation changes; begin it `anew` where what it descends on does."""
        if self._descent and (anew or operation != self._descending):
            self._leave()
        if isinstance(operation, terms.Descent) and self._descent is None:
            self._descent = self._descent_of(operation)
        self._descending = operation

    def _leave(self) -> None:
        """Take the object back from a descent."""
        self._object, self._descent = self._current(), None

    def _descent_of(self, operation: Operation) -> Descent:
        """It takes the object over."""
        obj, support = self._current(), self._support
        self._object = None
        blur = self._coherence.forward if self._coherence else None
        match operation:
            case ADAM(loss, rate):
                return gradient.Adam(self._transform, self._measured, obj, support, Loss(loss), blur, rate)
            case LBFGS(loss, memory):
                return gradient.LBFGS(self._transform, self._measured, obj, support, Loss(loss), blur, memory)
            case _:
                return ConjugateGradients(self._transform, self._constraint, obj, support)

    def _blur_changes(self, iteration: int) -> bool:
        clause = self._recipe.coherence
        return clause is not None and clause.due(iteration)

    def _cohere(self, field: Tensor, iteration: int) -> Tensor | None:
        """Renew kernel and coherent modulus where they are due;
        |F|^2 under partial coherence where that or a sample asks for it.
        """
        clause = self._recipe.coherence
        if clause is None or iteration < clause.start:
            return None
        if self._coherence is None:
            self._coherence = Coherence.gaussian(
                clause, self._transform, len(field), tuple(field.shape[1:]), field.device
            )
        if self._blur_changes(iteration):
            self._coherence.update(intensity(field), self._measured)
        renewed = clause.renews(iteration) or self._constraint is self._measured
        if not renewed and iteration % SAMPLE_EVERY:
            return None
        blurred = self._coherence.forward(intensity(field))
        if renewed:
            self._constraint = coherent(field, blurred, self._measured)
            if isinstance(self._descent, ConjugateGradients):
                self._descent.constraint = self._constraint
        return blurred

    def _sample(self, iteration: int, field: Tensor, blurred: Tensor | None) -> None:
        if iteration % SAMPLE_EVERY:
            return
        overlapping, power = overlap(field, self._far.constraint, blurred).unbind(1)
        chi2 = (1 - overlapping.square() / (power * self._far.power)).tolist()
        if not np.isfinite(chi2).all():
            raise DataError(f"phase retrieval diverged at iteration {iteration}")
        self._history.append((iteration, chi2, list(self._voxels)))

    def _shrink_wrap(self, projected: Callable[[], Tensor], scratch: Tensor, iteration: int) -> bool:
        """Update the supports from P_M o where the recipe asks for it at this iteration;
        whether it did, and used `scratch`.
        """
        due = self._recipe.support_update(iteration)
        if due is None:
            return False
        support, counts = shrink_wrap(self._measured.shape, projected(), self._support, *due, scratch)
        self._voxels = self._volumes(counts)
        self._support.copy_(support)  # a new one would take the place of a volume that comes and goes
        return True

    def _inside(self, projected: Tensor, iteration: int) -> Tensor:
        """The voxels that count as inside: the support, halved while DETWIN holds,
        less those out of the phase range.
        """
        inside = self._support
        detwin, phase = self._recipe.detwin, self._recipe.phase_range
        if detwin is not None and detwin.holds(iteration):
            first = inside.shape[1]
            inside = inside & (torch.arange(first, device=inside.device) < first // 2).view(
                -1, *(1 for _ in inside.shape[2:])
            )
        if phase is not None and iteration < phase.until:
            angle = projected.angle()
            inside = inside & (angle >= phase.range[0]) & (angle <= phase.range[1])
        return inside

    def _constrain(self, operation: Operation, projected: Tensor, inside: Tensor) -> None:
        """The real-space half of an iteration, in place; what is projected may be overwritten."""
        obj = self._current()
        match operation:
            case ER():
                confine(obj, projected, inside)
            case HIO(beta) | DM(beta=1.0 as beta):
                feed_back(obj, projected, inside, 1.0, -beta)
            case RAAR(beta):
                feed_back(obj, projected, inside, beta, 1 - 2 * beta)
            case SF():
                feed_back(obj, projected, inside, 0.0, -1.0)
            case AF():
                flip_amplitude(obj, projected, inside)
            case DM(beta):
                # the P_M of f_S o takes the second pair of FFTs
                relax(obj, inside, beta)
                field = self._transform.forward(obj)
                second = self._transform.backward(project_modulus(field, self._reblurred(field)))
                difference_map(obj, projected, second, inside, beta)
            case _:
                raise AssertionError(f"{operation} is no projection")

    def _reblurred(self, field: Tensor) -> Tensor:
        """What the second projection of DM sets a far field to."""
        if self._coherence is None:
            return self._constraint
        return coherent(field, self._coherence.forward(intensity(field)), self._measured)

    def _accumulate(self, iteration: int) -> None:
        clause = self._recipe.average
        if clause is None or iteration < len(self._operations) - clause.last:
            return
        current = self._current() * self._support
        self._sums = current if self._sums is None else self._sums.add_(current)

    def _current(self) -> Tensor:
        if self._descent:
            return self._descent.object
        assert self._object is not None
        return self._object

    @property
    def latest(self) -> tuple[int, list[float], list[int]]:
        """The last sample: iteration, chi2 and support volume of each start."""
        return self._history[-1]

    def slices(self, b: int) -> tuple[NDArray[np.complex64], ...]:
        """The central planes of a start's object, confined to its support, centred: one for each axis of a volume."""
        obj, support = self._current()[b], self._support[b]
        if obj.ndim < 3:
            return (np.fft.fftshift((obj * support).cpu().numpy()),)
        planes = (obj.select(axis, 0) * support.select(axis, 0) for axis in range(obj.ndim))
        return tuple(np.fft.fftshift(plane.cpu().numpy()) for plane in planes)

    def checkpoint(self) -> Checkpoint:
        """The state between two iterations."""
        clause = self._recipe.coherence
        held = clause is not None and clause.hold > 1 and self._constraint is not self._measured
        return Checkpoint(
            iteration=self._iteration,
            recipe=self._recipe.text,
            objects=self._far.centred(self._current()),
            supports=self._far.centred(self._support),
            sums=None if self._sums is None else self._far.centred(self._sums),
            kernels=None if self._coherence is None else self._coherence.kernels.cpu().numpy(),
            moduli=self._far.centred(self._constraint) if held else None,
            sampled=np.array([i for i, _, _ in self._history], np.int64),
            chi2=np.array([chi2 for _, chi2, _ in self._history]).reshape(-1, len(self)),
            voxels=np.array([voxels for _, _, voxels in self._history], np.int64).reshape(-1, len(self)),
        )

    def result(self) -> Checkpoint:
        """The last state with its objects averaged where the recipe says so, and confined to their supports."""
        self._leave()
        self._resample(1.0)
        final = self.checkpoint()
        clause = self._recipe.average
        objects = final.objects
        if clause is not None and final.sums is not None:
            objects = final.sums / np.float32(min(clause.last, len(self._operations)))
        objects *= final.supports
        if not np.isfinite(objects).all():
            raise DataError(f"phase retrieval diverged within {len(self._operations)} iterations")
        return Checkpoint(**{**vars(final), "objects": objects})
