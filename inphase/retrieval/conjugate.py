"""Accelerated error reduction (AER): conjugate gradients on the amplitude loss, confined to the support."""

import torch
from torch import Tensor

from inphase.retrieval.passes import curvature, gradient, project_modulus, redirect, step
from inphase.retrieval.transform import Transform

TINY = 1e-30  # a converged start stays where it is
SHORTEST_CURVATURE = 0.02  # of the upper bound: no step is longer than 50 of ER's, however flat the loss looks


class ConjugateGradients:
    """Polak-Ribiere+ on L(o) = 1/2 ||F - P_M F||^2, F = FFT o, over objects within the support, a batch at a time.

    The gradient is S (o - P_M o), so that ER is steepest descent with step 1. F is linear in o: a Newton step along the
    direction needs the direction's FFT only, and a whole iteration costs one pair of FFTs, as in ER. P_M F fits the
    data, hence L is what chi2 measures. (Preconditioned line searches: Fienup, Appl. Opt. 21, 2758 (1982), section V.)
    """

    def __init__(self, transform: Transform, constraint: Tensor, obj: Tensor, support: Tensor) -> None:
        self.object = obj * support
        self.field = transform.forward(self.object)
        self._support = support
        self._transform = transform
        self._constraint = constraint
        self._gradient = torch.zeros_like(obj)
        self._direction = torch.zeros_like(obj)
        self._square = torch.zeros(len(obj), dtype=torch.float64, device=obj.device)

    def projected(self) -> Tensor:
        """P_M o, a new tensor."""
        return self._transform.backward(project_modulus(self.field, self._constraint, torch.empty_like(self.field)))

    def advance(self) -> None:
        """One step."""
        projected, support = self.projected(), self._support
        square, change, slope = gradient(self.object, projected, support, self._gradient, self._direction).unbind(1)
        ratio = (change / self._square.clamp(min=TINY)).clamp(min=0)
        slope = ratio * slope - square
        ratio = torch.where(slope < 0, ratio, 0.0)  # uphill: begin anew from the gradient
        slope = torch.where(slope < 0, slope, -square)
        self._gradient, self._square = projected, square
        redirect(self._direction, projected, support, ratio)
        along = self._transform.forward(self._direction)
        bend, bound = curvature(self.field, along, self._constraint).unbind(1)
        length = -slope / torch.maximum(bend, SHORTEST_CURVATURE * bound).clamp(min=TINY)
        step(self.object, self._direction, length)
        step(self.field, along, length)
