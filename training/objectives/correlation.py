"""Likeness to the true crystal, whichever twin, wherever it stands, whatever its phase offset;
after every step of a cascade.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from training.data import Sample
from training.losses import modulus_errors
from training.networks.network import Network
from training.objectives.objective import Objective
from training.objectives.truth import likeness


@runtime_checkable
class Stepwise(Protocol):
    """A network that has an object (B, 2, m, m, m) after each of its steps; `steps`: after the first ones alone."""

    def objects(self, *features: Any, **named: Any) -> list[Tensor]: ...


@dataclass
class Correlation(Objective[Sample]):
    """Supervised: 1 - |<o, t>|^2 / (|o|^2 |t|^2) and the R factor, the mean of both over the steps of a cascade (its
    `objects`).

    t is the truth or its twin conj(t(-r)), shifted, also by parts of a voxel: whichever of them a step comes nearest
    to. The corrections join when `alone` of the budget is spent: they learn from what the first network has become by
    then. In training R is taken of one step of the cascade in turn: the same in the mean, without a large transform for
    each of them.
    """

    supervised: ClassVar[bool] = True

    alone: float = 0.15
    modulus_weight: float = 0.5  # of R beside the likeness: it is what draws the weak fringes, and with them the edges
    steps: int | None = field(default=None, init=False)  # of the cascade that are trained now; None: all
    turn: int = field(default=0, init=False)  # the training step

    def prepare(self, network: Network, progress: float, step: int) -> None:
        self.steps = 1 if progress < self.alone else None
        self.turn = step

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(network, Stepwise), "this objective is for cascades"
        found = network.objects(**{name: features[name] for name in network.inputs}, steps=self.steps)
        objects = [torch.complex(step[:, 0], step[:, 1]) for step in found]
        alike = torch.stack([likeness(batch.objects, step) for step in objects])
        judged = [objects[self.turn % len(objects)]] if torch.is_grad_enabled() else objects
        errors = [modulus_errors(step, batch.measurement) for step in judged]
        r_factor = torch.stack([r for r, _ in errors])
        figures = {
            "correlation": alike[-1].sqrt().mean(),
            "first": alike[0].sqrt().mean(),
            "R": r_factor[-1].mean(),
            "chi2": errors[-1][1].median(),
        }
        return 1 - alike.mean() + self.modulus_weight * r_factor.mean(), figures
