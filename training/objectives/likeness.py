"""Likeness to the true crystal, for a network that predicts once; a cascade has `correlation`."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, polar

from training.data import Sample
from training.losses import modulus_errors
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective
from training.objectives.truth import likeness


@dataclass(frozen=True)
class Likeness(Objective[Sample]):
    """Supervised: 1 - likeness + `modulus_weight` R, whichever twin, wherever it stands, whatever its phase offset."""

    supervised: ClassVar[bool] = True

    modulus_weight: float = 0.5  # of R beside the likeness: it is what draws the weak fringes, and with them the edges

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        objects = polar(*predict(network, features))
        alike = likeness(batch.objects, objects).mean()
        r_factor, chi2 = modulus_errors(objects, batch.measurement)
        loss = 1 - alike + self.modulus_weight * r_factor.mean()
        return loss, {"likeness": alike, "R": r_factor.mean(), "chi2": chi2.median()}
