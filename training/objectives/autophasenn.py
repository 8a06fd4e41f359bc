"""The objective of AutoPhaseNN (Yao et al., npj Comput. Mater. 8:124, 2022, Methods and equation 1)."""

from dataclasses import dataclass

import torch
from torch import Tensor, polar

from inphase.pattern import MaskState
from training.data import Sample
from training.losses import modulus_errors, over_maximum
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective
from training.objectives.truth import likeness
from training.transform import far_modulus


def within_support(amplitude: Tensor, threshold: float) -> Tensor:
    """Amplitudes (B, m, m, m), zero where below this share of their maximum."""
    return amplitude * (amplitude >= threshold * amplitude.amax((1, 2, 3), keepdim=True))


@dataclass(frozen=True)
class MeanAbsoluteError(Objective[Sample]):
    """Unsupervised: mean |Fe - Fm| over the measured voxels, both moduli over their maximum;
    Fe of the object in its support.

    The support is the contour of the predicted amplitude at `threshold` of its maximum, anew for every pattern.
    """

    threshold: float = 0.1

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        amplitude, phase = predict(network, features)
        objects = polar(within_support(amplitude, self.threshold), phase)
        measured = batch.measurement
        _, n0, n1, n2 = measured.intensity.shape
        known = (measured.mask == int(MaskState.VALID)) & ~measured.hidden
        estimated = over_maximum(far_modulus(objects, (n0, n1, n2)) * known)
        loss = (estimated - over_maximum(measured.intensity.sqrt() * known)).abs().sum() / known.sum()
        r_factor, chi2 = modulus_errors(objects.detach(), measured)
        figures = {"R": r_factor.mean(), "chi2": chi2.median()}
        if len(batch.objects) and not torch.is_grad_enabled():  # the truth judges; it does not teach
            figures["likeness"] = likeness(batch.objects, objects).mean()
        return loss, figures
