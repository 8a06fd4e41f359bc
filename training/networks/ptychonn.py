"""PtychoNN (Cherukara et al., Appl. Phys. Lett. 117, 044103, 2020): one encoder, decoders of amplitude and phase."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from training.networks.network import Network, in_its_precision


def convolutions(inputs: int, outputs: int) -> list[nn.Module]:
    """Two of 3 x 3, each with ReLU; torch's own beginnings would let a signal fade to nothing over eleven of them."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layer = nn.Conv2d(channels, outputs, 3, padding=1)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layers += [layer, nn.ReLU()]
    return layers


def encoder(widths: tuple[int, ...]) -> nn.Sequential:
    """(B, widths[0], N, N) -> (B, widths[-1], N / 2^k, N / 2^k), k = len(widths) - 1."""
    levels = [[*convolutions(*pair), nn.MaxPool2d(2)] for pair in pairwise(widths)]
    return nn.Sequential(*(layer for level in levels for layer in level))


def decoder(widths: tuple[int, ...], outputs: int, mode: str) -> nn.Sequential:
    """(B, widths[0], n, n) -> (B, outputs, 2^k n, 2^k n), k = len(widths) - 1. mode: of the upsampling."""
    levels = [[*convolutions(*pair), nn.Upsample(scale_factor=2, mode=mode)] for pair in pairwise(widths)]
    last = nn.Conv2d(widths[-1], outputs, 3, padding=1)
    return nn.Sequential(*(layer for level in levels for layer in level), last)


class PtychoNN(Network):
    """patterns (B, 1, N, N) -> amplitude in [0, 1], phase in [-pi, pi] rad, each (B, 1, N, N); N a multiple of 8.

    width: channels of the first level; the paper's is 32.
    """

    inputs = ("patterns",)

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.encoder = encoder((1, width, 2 * width, 4 * width))
        back = (4 * width, 4 * width, 2 * width, 2 * width)
        self.amplitude, self.phase = decoder(back, 1, "bilinear"), decoder(back, 1, "bilinear")

    @in_its_precision
    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(patterns)
        return self.amplitude(code).float().sigmoid(), math.pi * torch.tanh(self.phase(code).float())


class PhasePtychoNN(Network):
    """The variant with batch normalisation that draws a phase alone, as published weights have it: patterns
    (B, 1, N, N) -> amplitude 1, phase (B, 1, N, N) in rad; N a multiple of 16.

    mean: (N, N) of the patterns that it was trained on, which is taken off first; in the units of its input. width:
    channels of the first level.
    """

    inputs = ("patterns",)
    mean: Tensor

    def __init__(self, mean: Tensor, width: int = 16) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        down = (1, width, 2 * width, 4 * width, 8 * width)
        up = (8 * width, 8 * width, 4 * width, 2 * width, width)
        levels = [_normalised(*pair, nn.MaxPool2d(2)) for pair in pairwise(down)]
        self.encoder = nn.Sequential(*(layer for level in levels for layer in level))
        levels = [_normalised(*pair, nn.Upsample(scale_factor=2, mode="bilinear")) for pair in pairwise(up)]
        self.phase = nn.Sequential(*(layer for level in levels for layer in level), nn.Conv2d(width, 1, 3, padding=1))

    @in_its_precision
    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        phase = math.pi * torch.tanh(self.phase(self.encoder(patterns - self.mean)).float())
        return torch.ones_like(phase), phase


def _normalised(inputs: int, outputs: int, last: nn.Module) -> list[nn.Module]:
    """Two convolutions of 3 x 3, each with batch normalisation and ReLU, and the layer that ends the level."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return [*layers, last]
