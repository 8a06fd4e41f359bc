"""Wu, Juhas, Yoo & Robinson, IUCrJ 8, 12 (2021): one encoder of a 2D modulus, decoders of amplitude and phase.

Each level has a convolution of 3 x 3 and one of 3 x 1 after 1 x 3, both with leaky ReLU and batch normalisation; the
encoded channels are divided in half, one half for each decoder (figure 1). How many levels and channels there are the
paper does not say.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from training.networks.network import Network, in_its_precision


class Level(nn.Sequential):
    """The two blocks of figure 1 at one resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.01), nn.BatchNorm2d(outputs),
            nn.Conv2d(outputs, outputs, (3, 1), padding=(1, 0)), nn.Conv2d(outputs, outputs, (1, 3), padding=(0, 1)),
            nn.LeakyReLU(0.01), nn.BatchNorm2d(outputs),
        )  # fmt: skip


def decoder(widths: tuple[int, ...]) -> nn.Sequential:
    """(B, widths[0], n, n) -> (B, 1, 2^k n, 2^k n), k = len(widths) - 1; its ReLU begins alive."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Upsample(scale_factor=2), Level(inputs, outputs)]
    last = nn.Conv2d(widths[-1], 1, 3, padding=1)
    assert last.bias is not None
    nn.init.constant_(last.bias, 0.1)
    return nn.Sequential(*layers, last, nn.ReLU())


class Wu2D(Network):
    """modulus (B, N, N) in [0, 1] -> amplitude in [0, 1], phase in [-pi, pi] rad, each (B, N/2, N/2);
    N is a multiple of 2^levels.

    widths: channels of the encoder's levels, of which the last is even. The phase is the paper's, shifted and scaled to
    (0, 1), taken back to radians; where there is no particle it is -pi. What the ReLUs leave above 1 is cut off once
    training is over: the targets end there, and a cut has no gradient.
    """

    inputs = ("modulus",)

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((1, *widths)):
            layers += [Level(inputs, outputs), nn.MaxPool2d(2)]
        self.encoder = nn.Sequential(*layers)
        back = (widths[-1] // 2, *reversed(widths[1:]))
        self.amplitude, self.phase = decoder(back[: len(widths)]), decoder(back[: len(widths)])

    @in_its_precision
    def forward(self, modulus: Tensor) -> tuple[Tensor, Tensor]:
        shape, phase = self.encoder(modulus[:, None]).chunk(2, 1)
        amplitude, turns = self.amplitude(shape).float()[:, 0], self.phase(phase).float()[:, 0]
        if not self.training:
            amplitude, turns = amplitude.clamp_max(1.0), turns.clamp_max(1.0)
        return amplitude, 2 * math.pi * (turns - 0.5)
