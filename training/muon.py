"""Muon (Jordan et al. 2024): steps along the orthogonalised momentum of a matrix, equally far in all directions."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

MOMENTUM = 0.95  # as in the authors' code, with Nesterov's look ahead
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, steepest at 0; singular values end between 0.7 and 1.2
ITERATIONS = 5
LIKE_ADAM = 0.2  # rms of Adam's steps at a rate of 1 (Liu et al. 2025), so that a rate means the same for both


class Muon(Optimizer):
    """Muon for every weight that is a matrix, AdamW for the others, all at one rate.

    A convolution of (out, in, ...) is the matrix (out, in * ...). Biases, normalisations and layers of one output
    are AdamW's.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        given = list(parameters)
        matrices, others = ({"params": [p for p in given if _is_matrix(p) is is_one]} for is_one in (True, False))
        self._others = AdamW([others], lr, betas=betas, weight_decay=weight_decay)
        super().__init__([matrices], {"lr": lr, "weight_decay": weight_decay})
        self.param_groups += self._others.param_groups

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch has overloads
        """One step of all parameters; a closure computes the loss and its gradients before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        matrices, *others = self.param_groups
        for weight in matrices["params"]:
            if weight.grad is not None:
                self._turn(weight, weight.grad, matrices["lr"], matrices["weight_decay"])
        # one state and one list of groups for both: what a checkpoint brings back has replaced them
        self._others.state, self._others.param_groups = self.state, others
        self._others.step()
        return loss

    def _turn(self, weight: nn.Parameter, gradient: Tensor, rate: float, weight_decay: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(state["momentum"], MOMENTUM).flatten(1)
        weight.mul_(1 - rate * weight_decay)
        step = orthogonal(matrix) * (LIKE_ADAM * max(matrix.shape) ** 0.5)
        weight.sub_(step.reshape(weight.shape), alpha=rate)


def _is_matrix(weight: Tensor) -> bool:
    return weight.ndim > 1 and min(weight.flatten(1).shape) > 1


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest orthogonal matrix to (m, n), roughly: singular values come to about 1, the vectors stay.

    Newton-Schulz iterations in bfloat16, whose error is far below that of the singular values.
    """
    a, b, c = COEFFICIENTS
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if matrix.shape[0] <= matrix.shape[1] else x.T).to(matrix.dtype)
