"""PtychoPINN's inverse map G (Hoidn et al., Sci. Rep. 13:22789, 2023): a group's patterns in, its patches out.

The paper leaves sizes to its figure 1: levels of 32 s, 64 s and 128 s filters, s = 2, max pooling, and decoders that
end at half of the window (the N / 2 rule of oversampling). Both decoders have a channel for each pattern of the group.
"""

import math

import torch
from torch import Tensor

from training.networks.network import Network, in_its_precision
from training.networks.ptychonn import decoder, encoder


class PtychoPINN(Network):
    """patterns (B, C, N, N) -> amplitude in [0, 1], phase in [-pi, pi] rad, each (B, C, N/2, N/2); N a multiple of 8.

    neighbours: C. width: channels of the first level; the paper's is 64. whole: whether its decoders have a level more
    and draw the window (B, C, N, N), for beams that fill more than half of it.
    """

    inputs = ("patterns",)

    def __init__(self, neighbours: int = 4, width: int = 64, whole: bool = False) -> None:
        super().__init__()
        self.encoder = encoder((neighbours, width, 2 * width, 4 * width))
        back = (4 * width, 4 * width, 2 * width, *((width,) if whole else ()))
        self.amplitude, self.phase = (decoder(back, neighbours, "nearest") for _ in range(2))

    @in_its_precision
    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(patterns)
        return self.amplitude(code).float().sigmoid(), math.pi * torch.tanh(self.phase(code).float())
