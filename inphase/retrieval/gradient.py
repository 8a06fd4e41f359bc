"""Gradient refinement: Adam and L-BFGS on a loss of the far field, differentiated automatically,
confined to the support.

The second stage of 3D-CDI-NN (Chan et al., Appl. Phys. Rev. 8, 021407 (2021)). A loss is a function of the far field
alone; torch's automatic differentiation gives its gradient there, the transform's adjoint brings that to the object.
What an optimiser remembers is kept for the voxels of the support only.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inphase.metrics import RATE_FLOOR
from inphase.retrieval.descent import TINY, Descent, dot, each
from inphase.retrieval.terms import Loss

ROUNDING = 1e-9  # of the loss: a sum of many single-precision terms does not show a smaller change

# second derivative by |F| of one voxel at its minimum
CURVATURE = {Loss.AMPLITUDE: 1.0, Loss.POISSON: 4.0}

BLOCK = (2**16, 2**24)  # voxels differentiated at a time: on a CPU, where they stay in the cache, and elsewhere

Blur = Callable[[Tensor], Tensor]


class Objective:
    """A loss over a batch of far fields (B, N, ...) complex64, and its gradient.

    Masked and free voxels are left out. Padding may be as bright as its bound b; beyond it adds curvature / 2 (|F| -
    b)^2.
    blur: what partial coherence makes of |F|^2, differentiable (`Coherence.forward`).
    """

    def __init__(self, loss: Loss, constraint: Tensor, blur: Blur | None = None) -> None:
        self._loss = loss
        self._constraint = constraint
        self._blur = blur

    def value(self, field: Tensor) -> Tensor:
        """(B,) float64, differentiable."""
        return self._value(field, self._constraint)

    def gradient(self, field: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The value, (B,) float64, and dL/dRe F + i dL/dIm F, (B, N, ...):
        steepest ascent in the inner product Re <a, b>.
        """
        slope = torch.empty_like(field) if out is None else out
        value, _ = self.on_line(field, None, None, slope)
        return value, slope

    def on_line(
        self, field: Tensor, along: Tensor | None, length: Tensor | None, slope: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Value at F + length * along and the derivative by the length, (B,) float64; the gradient goes into `slope`.

        Voxel by voxel but for the blur, so in blocks that stay in the cache: the intermediate results of the
        differentiation need no memory, and the point itself is never stored.
        """
        value = torch.zeros(len(field), dtype=torch.float64, device=field.device)
        product = torch.zeros_like(value)
        rows, out = field.flatten(1), slope.view(len(field), -1)
        for block in self._blocks(rows):
            point = rows[:, block]
            if along is not None and length is not None:
                direction = along.flatten(1)[:, block]
                point = point + direction * each(length)
            with torch.enable_grad():
                leaf = point.detach().requires_grad_()
                whole = leaf.view(field.shape) if self._blur else leaf
                constraint = self._constraint if self._blur else self._constraint.flatten()[block]
                part = self._value(whole, constraint)
                (out[:, block],) = torch.autograd.grad(part.sum(), leaf)
            value += part.detach()
            if along is not None:
                product += dot(out[:, block], direction)
        return value, product

    def _blocks(self, rows: Tensor) -> list[slice]:
        size = rows.shape[1]
        step = size if self._blur else max(1, BLOCK[rows.device.type != "cpu"] // len(rows))
        return [slice(first, min(first + step, size)) for first in range(0, size, step)]

    def _value(self, field: Tensor, constraint: Tensor) -> Tensor:
        power = field.real.square() + field.imag.square()
        if self._blur is not None:
            power = self._blur(power)
        held, modulus = constraint >= 0, constraint.clamp(min=0)
        if self._loss is Loss.AMPLITUDE:
            terms = 0.5 * ((power + TINY).sqrt() - modulus).square()
        else:
            # n (u - log(1 + u)) with u = lambda / n - 1: lambda - n + n ln(n / lambda) would cancel in single precision
            counts = modulus.square()
            divisor = counts.clamp(min=RATE_FLOOR**2)
            excess = (power + RATE_FLOOR - counts) / divisor
            terms = torch.where(counts > 0, divisor * (excess - excess.log1p()), power)
        terms = torch.where(held, terms, 0.0)
        if bool((~held & torch.isfinite(constraint)).any()):
            bound = torch.where(held, torch.inf, -constraint)
            terms = terms + CURVATURE[self._loss] / 2 * ((power + TINY).sqrt() - bound).clamp(min=0).square()
        return terms.flatten(1).sum(1, dtype=torch.float64)


@dataclass(eq=False)
class Refinement(Descent):
    """A descent on the gradient that automatic differentiation gives."""

    loss: Loss = Loss.AMPLITUDE
    blur: Blur | None = None

    def __post_init__(self, start: Tensor, support: Tensor) -> None:
        super().__post_init__(start, support)
        self._objective = Objective(self.loss, self.constraint, self.blur)

    def _to_object(self, slope: Tensor) -> Tensor:
        """The gradient by the object's voxels, (B, V), from that by the far field."""
        return self._voxels.of(self.transform.backward(slope))


@dataclass(eq=False)
class Adam(Refinement):
    """Adam (Kingma & Ba 2015) with step `rate` / sqrt(iteration), as its convergence theorem asks,
    in units of the rms amplitude.

    The second moment is that of |g|: the path does not depend on the object's global phase.
    """

    DECAY = (0.9, 0.999)

    rate: float = 0.1

    def __post_init__(self, start: Tensor, support: Tensor) -> None:
        super().__post_init__(start, support)
        power = dot(self._packed, self._packed) / self._voxels.counts.clamp(min=1)
        self._first = self.rate * power.sqrt()
        self._mean = torch.zeros_like(self._packed)
        self._square = torch.zeros_like(self._packed.real)
        self._steps = 0

    def advance(self) -> None:
        """One step."""
        self._steps += 1
        gradient = self._to_object(self._objective.gradient(self.field, self.scratch)[1])
        first, second = self.DECAY
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).add_((1 - second) * (gradient.real.square() + gradient.imag.square()))
        mean = self._mean / (1 - first**self._steps)
        spread = (self._square / (1 - second**self._steps)).sqrt() + TINY
        self._packed = self._packed - each(self._first / self._steps**0.5) * mean / spread
        del self.field  # its memory serves the new one
        self.field = self._far_field(self._packed)


@dataclass(eq=False)
class LBFGS(Refinement):
    """Limited-memory BFGS (Nocedal, Math. Comp. 35, 773 (1980)), every start with its own history and step length.

    The far field is linear in the object: the line search (weak Wolfe conditions by bisection, Lewis & Overton 2013)
    moves along F + t FFT(d) without a transform. The history takes 2 `memory` times the supports' voxels.
    """

    ARMIJO, WOLFE, TRIALS = 1e-4, 0.9, 12

    memory: int = 10

    def __post_init__(self, start: Tensor, support: Tensor) -> None:
        super().__post_init__(start, support)
        self._value, slope = self._objective.gradient(self.field, self.scratch)
        self._gradient = self._to_object(slope)
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=self.memory)  # s, y, 1 / s.y
        self._first = torch.full_like(self._value, 1 / CURVATURE[self.loss])  # a step of ER
        self._scale = self._first.clone()

    def advance(self) -> None:
        """One step: a direction from the history, a length that satisfies the Wolfe conditions, a new pair."""
        direction, descent = self._direction()
        length, slope = self._search(self._far_field(direction), descent)
        gradient = self._to_object(slope)
        step, change = direction * each(length), gradient - self._gradient
        self._packed = self._packed + step
        self._gradient = gradient
        self._remember(step, change, length)

    def _direction(self) -> tuple[Tensor, Tensor]:
        """-H g by the two-loop recursion, (B, V), and its product with g, (B,) negative."""
        rest = self._gradient
        parts = []
        for s, y, weight in reversed(self._pairs):
            part = weight * dot(s, rest)
            rest = rest - each(part) * y
            parts.append(part)
        rest = rest * each(self._scale)
        for (s, y, weight), part in zip(self._pairs, reversed(parts), strict=True):
            rest = rest + each(part - weight * dot(y, rest)) * s
        slope = dot(rest, self._gradient)
        # rounding may spoil the history's product: begin anew from the gradient
        steepest = self._gradient * each(self._first)
        uphill = ~(slope > 0)
        direction = -torch.where(uphill[:, None], steepest, rest)
        return direction, dot(direction, self._gradient)

    def _search(self, along: Tensor, descent: Tensor) -> tuple[Tensor, Tensor]:
        """Step lengths (B,), and the gradient at the far field that they lead to;
        `field` and its value are moved there.
        """
        low, high = torch.zeros_like(descent), torch.full_like(descent, torch.inf)
        length, start = torch.ones_like(descent), self._value
        done = -descent <= ROUNDING * start  # a solved start stays
        length[done] = 0
        slope = self.scratch
        for trial in range(self.TRIALS + 1):
            if trial == self.TRIALS:  # single precision ends here: the longest step that is known to descend
                length = torch.where(done, length, low)
            value, rise = self._objective.on_line(self.field, along, length, slope)
            falls = value <= start + self.ARMIJO * length * descent
            done = done | (falls & (rise >= self.WOLFE * descent))
            if trial == self.TRIALS or bool(done.all()):
                break
            low, high = torch.where(falls, length, low), torch.where(falls, high, length)
            between = torch.where(torch.isfinite(high), (low + high) / 2, 2 * low)
            length = torch.where(done, length, between)
        self.field.addcmul_(along, each(length, along).to(along.dtype))
        self._value = value
        return length, slope

    def _remember(self, step: Tensor, change: Tensor, length: Tensor) -> None:
        """Keep the pair where it has positive curvature; a start that could not move forgets its history."""
        product, square = dot(step, change), dot(change, change)
        useful = product > 1e-10 * square
        weight = torch.where(useful, 1 / product.clamp(min=TINY), 0.0)
        self._scale = torch.where(useful, product / square.clamp(min=TINY), self._scale)
        self._pairs.append((step, change, weight))
        if bool((stuck := length == 0).any()):
            self._scale = torch.where(stuck, self._first, self._scale)
            self._pairs = deque(
                ((s, y, torch.where(stuck, 0.0, w)) for s, y, w in self._pairs), maxlen=self._pairs.maxlen
            )
