"""3D-CDI-NN (Chan et al., Appl. Phys. Rev. 8, 021407 (2021)): 32^3 modulus in, 32^3 shape and phase out.

Tensors as in the paper's figure 3: 16^3 x 64, 8^3 x 128, 4^3 x 256, and back by two decoders. Each level has two
convolutions, of which the first has half the channels: 5.2 million parameters where two of full width would be 13.8.
The head of the shape ends in a sigmoid, which cannot die as the ReLU of the published graph can. That of the phase is
linear: behind a sigmoid a young network finds the flattest phase in saturation, from where no gradient leads back.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from training.networks.network import Network, in_its_precision


class Level(nn.Sequential):
    """Two convolutions of 3^3, each followed by a ReLU and dropout."""

    def __init__(self, inputs: int, middle: int, outputs: int, dropout: float) -> None:
        layers: list[nn.Module] = []
        for a, b in ((inputs, middle), (middle, outputs)):
            layers += [nn.Conv3d(a, b, 3, padding=1), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*layers)


def decoder(widths: tuple[int, ...], dropout: float) -> nn.Sequential:
    """(B, widths[-1], n, n, n) -> (B, 1, 8 n, 8 n, 8 n)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((*reversed(widths), widths[0] // 2)):
        layers += [Level(inputs, outputs, outputs, dropout), nn.Upsample(scale_factor=2)]
    return nn.Sequential(*layers, nn.Conv3d(widths[0] // 2, 1, 3, padding=1))


class CDINN(Network):
    """reduced (B, n, n, n) in [0, 1] -> amplitude in [0, 1], phase in [-pi, pi] rad, each (B, n, n, n);
    n is a multiple of 8.

    In the (2 n)^3 frame of the measurement the output is the central box: halving the pattern halves the frame, not the
    voxels.
    """

    inputs = ("reduced",)

    def __init__(self, widths: tuple[int, ...] = (64, 128, 256), dropout: float = 0.1) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        for inputs, outputs in pairwise((1, *widths)):
            layers += [Level(inputs, outputs // 2, outputs, dropout), nn.MaxPool3d(2)]
        self.encoder = nn.Sequential(*layers)
        self.amplitude = decoder(tuple(widths), dropout)
        self.phase = decoder(tuple(widths), dropout)
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):  # keeps the power through the ReLUs, which Keras' own halves at each
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    @in_its_precision
    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(reduced[:, None])
        amplitude = torch.sigmoid(self.amplitude(code).float())
        phase = self.phase(code).float()
        turns = torch.round(phase / (2 * math.pi))  # whose gradient is none
        return amplitude[:, 0], (phase - 2 * math.pi * turns)[:, 0]
