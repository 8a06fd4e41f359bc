"""The objective of 3D-CDI-NN (Chan et al., Appl. Phys. Rev. 8, 021407 (2021)) and its four training steps."""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

from torch import Tensor, nn

from training.data import Sample
from training.features import reduce
from training.losses import calculated_modulus, modulus_errors, over_maximum
from training.networks import predict
from training.objectives.objective import Objective


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
class ShapePhaseFourier(Objective):
    """Supervised: mean absolute errors of the amplitude, of the phase in turns, and of the reduced modulus over its maximum.

    A step asks for what it trains: the shape, the phase, in the last step the sum of all three. shares: of the budget, for the
    four steps. The network has the parts `encoder`, `amplitude`, `phase`.
    """

    supervised: ClassVar[bool] = True

    shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    step: Step = field(default=Step.SHAPE, init=False)

    def prepare(self, network: nn.Module, progress: float) -> None:
        ends = [sum(self.shares[: i + 1]) / sum(self.shares) for i in range(len(Step))]
        self.step = Step(min(sum(progress >= end for end in ends), len(Step) - 1))
        for name, part in network.named_children():
            part.requires_grad_(name in LEARNING[self.step])

    def __call__(
        self, network: nn.Module, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        amplitude, phase = predict(network, features)
        n0, n1, n2 = batch.measurement.intensity.shape[1:]
        errors = {
            "shape": (amplitude - over_maximum(batch.objects.abs())).abs().mean(),
            "phase": (phase - batch.objects.angle()).abs().mean() / (2 * math.pi),
            "fourier": (reduce(calculated_modulus(amplitude, phase, (n0, n1, n2)).square()) - features["reduced"])
            .abs()
            .mean(),
        }
        match self.step:
            case Step.SHAPE:
                loss = errors["shape"]
            case Step.PHASE | Step.PHASE_AND_ENCODER:
                loss = errors["phase"]
            case Step.ALL:
                loss = sum(errors.values(), start=amplitude.new_zeros(()))
        chi2 = modulus_errors(amplitude.detach(), phase.detach(), batch.measurement)[1]
        return loss, errors | {"chi2": chi2.median()}
