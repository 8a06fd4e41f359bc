"""The objective of 3D-CDI-NN (Chan et al., Appl. Phys. Rev. 8, 021407 (2021)) and its four training steps."""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import torch
from torch import Tensor, polar

from training.data import Sample
from training.features import reduce
from training.losses import modulus_errors, over_maximum
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective
from training.objectives.truth import nearest
from training.transform import AXES, far_intensity


class Step(IntEnum):
    """The paper's sequence, which keeps the branches from undoing each other while they are young."""

    SHAPE = 0  # encoder and shape decoder
    PHASE = 1  # phase decoder alone
    PHASE_AND_ENCODER = 2
    ALL = 3


LEARNING = {
    Step.SHAPE: ("encoder", "amplitude"),
    Step.PHASE: ("phase",),
    Step.PHASE_AND_ENCODER: ("encoder", "phase"),
    Step.ALL: ("encoder", "amplitude", "phase"),
}


@dataclass
class ShapePhaseFourier(Objective[Sample]):
    """Supervised: mean absolute errors of the amplitude, of the phase in turns,
    and of the reduced modulus over its maximum.

    A step asks for what it trains: the shape, the phase, in the last step the sum of all three. shares: of the budget,
    for the four steps. The network has the parts `encoder`, `amplitude`, `phase`.

    As in the paper where `balanced` and `either_twin` are off. Most of a box is empty, so that nothing at all is a fair
    guess of the mean error, and half and half of both twins another: a short training stays there. balanced: crystal
    and surroundings weigh the same. either_twin: the target is the twin, and the place, that the prediction comes
    nearest to; while the shape is learned, that the predicted shape comes nearest to.
    """

    supervised: ClassVar[bool] = True

    shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    balanced: bool = False
    either_twin: bool = False
    step: Step = field(default=Step.SHAPE, init=False)

    def prepare(self, network: Network, progress: float, step: int) -> None:
        ends = [sum(self.shares[: i + 1]) / sum(self.shares) for i in range(len(Step))]
        self.step = Step(min(sum(progress >= end for end in ends), len(Step) - 1))
        for name, part in network.named_children():
            part.requires_grad_(name in LEARNING[self.step])

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        amplitude, phase = predict(network, features)
        objects = polar(amplitude, phase)
        truth = nearest(batch.objects, objects.detach()) if self.either_twin else batch.objects
        shaped = self._shape(batch.objects, truth, amplitude.detach())
        n0, n1, n2 = batch.measurement.intensity.shape[1:]
        errors = {
            "shape": self._mean((amplitude - over_maximum(shaped.abs())).abs(), shaped),
            "phase": self._mean((phase - truth.angle()).abs(), truth) / (2 * math.pi),
            "fourier": (reduce(far_intensity(objects, (n0, n1, n2))) - features["reduced"]).abs().mean(),
        }
        match self.step:
            case Step.SHAPE:
                loss = errors["shape"]
            case Step.PHASE | Step.PHASE_AND_ENCODER:
                loss = errors["phase"]
            case Step.ALL:
                loss = sum(errors.values(), start=amplitude.new_zeros(()))
        chi2 = modulus_errors(objects.detach(), batch.measurement)[1]
        return loss, errors | {"chi2": chi2.median()}

    def _shape(self, crystals: Tensor, truth: Tensor, amplitude: Tensor) -> Tensor:
        if not self.either_twin or self.step is not Step.SHAPE:
            return truth
        # phases that nobody has trained say nothing of the twin and the place
        return nearest(crystals.abs() + 0j, amplitude + 0j)

    def _mean(self, error: Tensor, truth: Tensor) -> Tensor:
        if not self.balanced:
            return error.mean()
        density = truth.abs()
        inside = density >= 0.5 * density.amax(AXES, keepdim=True)
        within = [(error * where).sum(AXES) / where.sum(AXES).clamp_min(1) for where in (inside, ~inside)]
        return torch.stack(within).mean()
