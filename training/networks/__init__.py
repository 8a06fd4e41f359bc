"""Network architectures, one file each, registered by name.

Their forward takes the features that `inputs` names, as keywords, and returns amplitude and phase (B, *box), or
(B, C, *box) of groups of patterns.
"""

from collections.abc import Callable, Mapping

from torch import Tensor

from training.networks.autophasenn import AutoPhaseNN
from training.networks.cascade import Cascade
from training.networks.cdinn import CDINN
from training.networks.network import Network
from training.networks.outline import Outline
from training.networks.ptychonn import PtychoNN
from training.networks.ptychopinn import PtychoPINN
from training.networks.wu2d import Wu2D

ARCHITECTURES: dict[str, Callable[..., Network]] = {
    "inphase-bcdi": Cascade,
    "autophasenn": AutoPhaseNN,
    "cdinn": CDINN,
    "wu2d": Wu2D,
    "inphase-2d": Outline,
    "ptychopinn": PtychoPINN,
    "ptychonn": PtychoNN,
}


def build(name: str, **options: object) -> Network:
    """A freshly initialised network of this architecture; KeyError names the known ones."""
    if name not in ARCHITECTURES:
        raise KeyError(f"unknown architecture {name!r}; known: {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[name](**options)


def predict(network: Network, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Amplitude and phase (B, *box); the network gets its own of the features."""
    amplitude, phase = network(**{name: features[name] for name in network.inputs})
    return amplitude, phase
