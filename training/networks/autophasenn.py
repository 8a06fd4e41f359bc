"""AutoPhaseNN (Yao et al., npj Comput. Mater. 8:124, 2022):
one encoder of the modulus, decoders of amplitude and phase.

The variant of 7.0 million parameters that its authors published for PyTorch: strides where the paper's figure has max
pooling, and the zero padding that is the square support after the last convolution, so that nothing bleeds out of it.
"""

import math

from torch import Tensor, nn, sigmoid, tanh

from training.networks.network import Network, in_its_precision


class Block(nn.Sequential):
    """Convolution of 3^3, leaky ReLU, batch normalisation, in this order."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.Conv3d(inputs, outputs, 3, stride, padding=1), nn.LeakyReLU(0.01), nn.BatchNorm3d(outputs))


def decoder(width: int) -> nn.Sequential:
    """(B, 8 width, n, n, n) -> (B, 1, 8 n, 8 n, 8 n)."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((8, 4), (4, 2), (2, 1)):
        layers += [Block(inputs * width, outputs * width), Block(outputs * width, outputs * width)]
        layers.append(nn.Upsample(scale_factor=2, mode="trilinear"))
    return nn.Sequential(*layers, nn.Conv3d(width, 1, 3, padding=1))


class AutoPhaseNN(Network):
    """modulus (B, N, N, N) in [0, 1] -> amplitude in [0, 1], phase in (-pi, pi) rad, each (B, N/2, N/2, N/2).

    N is a multiple of 16. The output is the central box of the N^3 frame: the square support of half its size.
    width: channels of the first layer; 32 in the paper.
    """

    inputs = ("modulus",)

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        w = width
        self.encoder = nn.Sequential(
            Block(1, w), Block(w, 2 * w, 2),
            Block(2 * w, 2 * w), Block(2 * w, 4 * w, 2),
            Block(4 * w, 4 * w), Block(4 * w, 8 * w, 2),
            Block(8 * w, 8 * w, 2),
        )  # fmt: skip
        self.amplitude = decoder(w)
        self.phase = decoder(w)

    @in_its_precision
    def forward(self, modulus: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(modulus[:, None])
        amplitude, phase = self.amplitude(code), self.phase(code)
        return sigmoid(amplitude.float())[:, 0], math.pi * tanh(phase.float())[:, 0]
