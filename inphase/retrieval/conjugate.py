"""Accelerated error reduction (AER): conjugate gradients on the amplitude loss, confined to the support."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inphase.retrieval.descent import TINY, Descent, dot, each
from inphase.retrieval.passes import curvature, step

SHORTEST_CURVATURE = 0.02  # of the upper bound: no step is longer than 50 of ER's, however flat the loss looks


@dataclass(eq=False)
class ConjugateGradients(Descent):
    """Polak-Ribiere+ on L(o) = 1/2 ||F - P_M F||^2, F = FFT o, over objects within the support, a batch at a time.

    The gradient is S (o - P_M o), so that ER is steepest descent with step 1. F is linear in o: a Newton step along the
    direction needs the direction's FFT only, and a whole iteration costs one pair of FFTs, as in ER. P_M F fits the
    data, hence L is what chi2 measures. (Preconditioned line searches: Fienup, Appl. Opt. 21, 2758 (1982), section V.)
    """

    def __post_init__(self, start: Tensor, support: Tensor) -> None:
        super().__post_init__(start, support)
        self._gradient = torch.zeros_like(self._packed)
        self._direction = torch.zeros_like(self._packed)
        self._square = dot(self._gradient, self._gradient)

    def advance(self) -> None:
        """One step."""
        gradient = self._packed - self._voxels.of(self.projected())
        square = dot(gradient, gradient)
        ratio = (dot(gradient, gradient - self._gradient) / self._square.clamp(min=TINY)).clamp(min=0)
        slope = ratio * dot(gradient, self._direction) - square
        ratio = torch.where(slope < 0, ratio, 0.0)  # uphill: begin anew from the gradient; a solved start stays
        slope = torch.where(slope < 0, slope, -square)
        self._gradient, self._square = gradient, square
        self._direction = each(ratio) * self._direction - gradient
        along = self._far_field(self._direction)
        bend, bound = curvature(self.field, along, self.constraint).unbind(1)
        length = -slope / torch.maximum(bend, SHORTEST_CURVATURE * bound).clamp(min=TINY)
        self._packed += each(length) * self._direction
        step(self.field, along, length)
