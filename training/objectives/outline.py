"""The objective of a network that draws where the crystal is, and leaves what is in it to iterations."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, polar
from torch.nn import functional as F

from training.data import Sample
from training.losses import modulus_errors
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective
from training.objectives.truth import likeness
from training.transform import spatial

SUCCESS = 0.95  # of the correlation with the truth


@runtime_checkable
class Drawing(Protocol):
    """A network that has logits (B, m, m) of what lies within the crystal, from the autocorrelation."""

    def outline(self, autocorrelation: Tensor) -> Any: ...


@dataclass(frozen=True)
class Outline(Objective[Sample]):
    """Supervised: the cross-entropy of what lies within the crystal, or within its twin: whichever comes nearer.

    edge: of the largest amplitude; what exceeds it is within, and so are the walls between domains, where the amplitude
    may be lower. The objects that the network comes to are looked at in validation alone.
    """

    supervised: ClassVar[bool] = True

    edge: float = 0.25

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(network, Drawing), "this objective is for networks that draw an outline"
        logits = network.outline(features["autocorrelation"])
        wanted = filled(batch.objects.abs(), self.edge)
        turned = wanted.flip((1, 2)).roll((1, 1), (1, 2))  # the twin's
        losses = torch.stack(
            [F.binary_cross_entropy_with_logits(logits, w, reduction="none").mean((1, 2)) for w in (wanted, turned)]
        )
        loss, nearer = losses.min(0)
        inside = torch.where((nearer == 0).view(-1, 1, 1), wanted, turned) > 0
        figures = {"overlap": overlap(logits > 0, inside).mean()}
        if not torch.is_grad_enabled():
            objects = polar(*predict(network, features))
            alike = likeness(batch.objects, objects).sqrt()
            figures |= {
                "correlation": alike.mean(),
                "success": (alike >= SUCCESS).float().mean(),
                "chi2": modulus_errors(objects, batch.measurement)[1].median(),
            }
        return loss.mean(), figures


def filled(amplitude: Tensor, edge: float) -> Tensor:
    """Where amplitudes (B, m, m) exceed `edge` of their maximum, with cracks of up to two pixels closed: 0 and 1."""
    inside = (amplitude > edge * amplitude.amax((1, 2), keepdim=True)).to(amplitude.dtype)[:, None]
    wider = F.max_pool2d(inside, 3, 1, 1)
    closed: Tensor = 1 - F.max_pool2d(1 - wider, 3, 1, 1)
    return torch.maximum(closed, inside)[:, 0]


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of supports (B, m, m) bool: (B,)."""
    over = spatial(a)
    return (a & b).sum(over) / (a | b).sum(over).clamp_min(1)
