"""Likeness to the true crystal, whichever twin, wherever it stands, whatever its phase offset; after every step of a cascade."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from training.data import Sample
from training.losses import modulus_errors
from training.objectives.objective import Objective
from training.transform import AXES

SHIFT = 3  # voxels along each axis that a prediction may stand beside the truth


@dataclass
class Correlation(Objective):
    """Supervised: 1 - |<o, t>|^2 / (|o|^2 |t|^2) and the R factor, the mean of both over the steps of a cascade (its `objects`).

    t is the truth or its twin conj(t(-r)), shifted: whichever of them a step comes nearest to. The corrections join when
    `alone` of the budget is spent: they learn from what the first network has become by then.
    """

    supervised: ClassVar[bool] = True

    alone: float = 0.15
    modulus_weight: float = 0.5  # of R beside the likeness: it is what draws the weak fringes, and with them the edges
    steps: int | None = field(default=None, init=False)  # of the cascade that are trained now; None: all

    def prepare(self, network: nn.Module, progress: float) -> None:
        self.steps = 1 if progress < self.alone else None

    def __call__(
        self, network: nn.Module, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        found = network.objects(**{name: features[name] for name in network.inputs}, steps=self.steps)
        objects = [torch.complex(step[:, 0].float(), step[:, 1].float()) for step in found]
        likeness = torch.stack([squared_correlation(step, nearest(batch.objects, step)) for step in objects])
        errors = [modulus_errors(step.abs(), step.angle(), batch.measurement) for step in objects]
        r_factor = torch.stack([r for r, _ in errors])
        figures = {
            "correlation": likeness[-1].sqrt().mean(),
            "first": likeness[0].sqrt().mean(),
            "R": r_factor[-1].mean(),
            "chi2": errors[-1][1].median(),
        }
        return 1 - likeness.mean() + self.modulus_weight * r_factor.mean(), figures


def squared_correlation(a: Tensor, b: Tensor) -> Tensor:
    """|<a, b>|^2 / (|a|^2 |b|^2), (B,), of complex objects (B, m, m, m)."""
    product = (a.conj() * b).sum(AXES).abs().square()
    return product / (a.abs().square().sum(AXES) * b.abs().square().sum(AXES)).clamp_min(1e-12)


@torch.no_grad()
def nearest(truth: Tensor, prediction: Tensor) -> Tensor:
    """`truth` (B, m, m, m) complex, or its twin, shifted by up to SHIFT voxels: what correlates best with the prediction.

    Shifts are cyclic within the box, which is wider than any crystal by more than SHIFT.
    """
    n = truth.shape[-1]
    near = torch.zeros(n, dtype=torch.bool, device=truth.device)
    near[: SHIFT + 1] = near[-SHIFT:] = True
    allowed = near[:, None, None] & near[:, None] & near
    far = torch.fft.fftn(prediction, dim=AXES)
    own = torch.fft.fftn(truth, dim=AXES)
    result, best = truth, torch.full((len(truth),), -1.0, device=truth.device)
    for candidate in (own, own.conj()):  # conj(t(-r)) has the conjugate far field
        correlation = (torch.fft.ifftn(far * candidate.conj(), dim=AXES).abs() * allowed).flatten(1)
        height, place = correlation.max(1)
        shifted = torch.fft.ifftn(candidate, dim=AXES)
        shifts = torch.stack(torch.unravel_index(place, (n, n, n)), 1).tolist()
        shifted = torch.stack([x.roll(shift, AXES) for x, shift in zip(shifted, shifts, strict=True)])
        result = torch.where((height > best).view(-1, 1, 1, 1), shifted, result)
        best = torch.maximum(best, height)
    return result
