"""The objective of PtychoNN (Cherukara et al., 2020), the supervised network that PtychoPINN is compared with."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, polar

from training.groups import Groups
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective
from training.objectives.ptychopinn import lit_errors
from training.transform import centre, far_modulus


@dataclass(frozen=True)
class LitPatches(Objective[Groups]):
    """Supervised: mean absolute errors of amplitude and phase (rad), where the probe lights the object.

    Errors are weighted by the probe's amplitude: what no light meets is in no pattern. With a flat probe that of the
    amplitude is the error of the exit wave's amplitude. Each pattern stands for itself; groups are not looked at.
    """

    supervised: ClassVar[bool] = True

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Groups
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if batch.patches is None:
            raise ValueError("nobody knows the object of a measured scan: this objective learns from simulated ones")
        amplitude, phase = predict(network, features)
        side = (amplitude.shape[-2], amplitude.shape[-1])
        truth, beam = centre(batch.patches, side), centre(batch.probe, side)
        lit = beam.abs() / beam.abs().sum()
        shape = (lit * (amplitude - truth.abs()).abs()).sum((-2, -1)).mean()
        bend = (lit * (phase - truth.angle()).abs()).sum((-2, -1)).mean()
        boxes = polar(amplitude, phase).detach()
        measured = batch.measured_amplitudes
        chi2 = (far_modulus(boxes * beam, batch.window) - measured).square().sum() / measured.square().sum()
        errors = lit_errors(boxes, batch.patches, batch.probe)
        return shape + bend, {"chi2": chi2} | errors
