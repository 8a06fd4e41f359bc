"""The measured modulus alone, and two penalties without which it finds blobs (docs/decisions/0010)."""

from dataclasses import dataclass

from torch import Tensor, polar, tensor

from training.data import Sample
from training.losses import modulus_errors, outside_extent, unevenness
from training.networks import predict
from training.networks.network import Network
from training.objectives.objective import Objective


@dataclass(frozen=True)
class ModulusError(Objective[Sample]):
    """Unsupervised: R, the intensity outside the crystal's extent, the unevenness of the density; no label is seen."""

    outside_weight: float = 1.0
    unevenness_weight: float = 0.5

    def __call__(
        self, network: Network, features: dict[str, Tensor], batch: Sample
    ) -> tuple[Tensor, dict[str, Tensor]]:
        amplitude, phase = predict(network, features)
        r_factor, chi2 = modulus_errors(polar(amplitude, phase), batch.measurement)
        frame = tensor(batch.measurement.intensity.shape[1:], device=amplitude.device)
        outside = outside_extent(amplitude, frame / batch.oversampling).mean()
        uneven = unevenness(amplitude).mean()
        loss = r_factor.mean() + self.outside_weight * outside + self.unevenness_weight * uneven
        return loss, {"R": r_factor.mean(), "chi2": chi2.median(), "outside": outside, "uneven": uneven}
