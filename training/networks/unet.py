"""inphase-bcdi: a residual U-Net from the autocorrelation and the modulus to the object.

Real space in, real space out: the autocorrelation already lives where the object lives, so that a plain convolutional
network learns it far faster than one that must invert a Fourier transform (DESIGN 7). The 64^3 inputs are folded
2x2x2 into channels (space to depth), the object is predicted in the central 32^3 box only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, 2 n0, 2 n1, 2 n2) -> (B, 8 C, n0, n1, n2)."""
    b, c, n0, n1, n2 = x.shape
    x = x.reshape(b, c, n0 // 2, 2, n1 // 2, 2, n2 // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, 8 * c, n0 // 2, n1 // 2, n2 // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """(B, 8 C, n0, n1, n2) -> (B, C, 2 n0, 2 n1, 2 n2): the inverse of `space_to_depth`."""
    b, c, n0, n1, n2 = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, n0, n1, n2)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // 8, 2 * n0, 2 * n1, 2 * n2)


def central_half(x: Tensor) -> Tensor:
    """The middle half of the last three axes."""
    n0, n1, n2 = x.shape[-3:]
    return x[..., n0 // 4 : n0 // 4 + n0 // 2, n1 // 4 : n1 // 4 + n1 // 2, n2 // 4 : n2 // 4 + n2 // 2]


class Residual(nn.Module):
    """x + conv(act(norm(conv(act(x))))): two 3^3 convolutions at one resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, channels)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.norm(self.first(F.silu(x)))))


class AutocorrelationUNet(nn.Module):
    """modulus (B, N, N, N), valid (B, N, N, N), autocorrelation (B, 2, N, N, N) -> amplitude, phase (B, N/2, N/2, N/2).

    N is a multiple of 32. amplitude in [0, 1], phase in (-pi, pi] rad, both of the central box of the N^3 frame.
    """

    inputs = ("modulus", "valid", "autocorrelation")

    def __init__(self, widths: tuple[int, int, int] = (48, 96, 192), features: int = 8) -> None:
        super().__init__()
        w1, w2, w3 = widths
        self.down1 = nn.Conv3d(32, w1, 2, stride=2)
        self.down2 = nn.Conv3d(w1, w2, 2, stride=2)
        self.down3 = nn.Conv3d(w2, w3, 2, stride=2)
        self.encode1 = Residual(w1)
        self.encode2 = nn.Sequential(Residual(w2), Residual(w2))
        self.bottom = nn.Sequential(Residual(w3), Residual(w3))
        self.up2 = nn.ConvTranspose3d(w3, w2, 2, stride=2)
        self.up1 = nn.ConvTranspose3d(w2, w1, 2, stride=2)
        self.up0 = nn.ConvTranspose3d(w1, w1, 2, stride=2)
        self.decode2 = Residual(w2)
        self.decode1 = Residual(w1)
        self.skip0 = nn.Conv3d(32, w1, 3, padding=1)
        self.decode0 = nn.Sequential(Residual(w1), Residual(w1))
        self.unfold = nn.Conv3d(w1, 8 * features, 3, padding=1)
        self.head = nn.Conv3d(features, 3, 3, padding=1)

    def forward(self, modulus: Tensor, valid: Tensor, autocorrelation: Tensor) -> tuple[Tensor, Tensor]:
        # square roots bring the weak fringes and the edge of the autocorrelation, where the shape is, into range
        magnitude = (autocorrelation.square().sum(1, keepdim=True) + 1e-8).pow(0.25)
        folded = space_to_depth(torch.cat([modulus.sqrt()[:, None], valid[:, None], autocorrelation / magnitude], 1))
        s1 = self.encode1(self.down1(folded))
        s2 = self.encode2(self.down2(F.silu(s1)))
        x = self.bottom(self.down3(F.silu(s2)))
        x = self.decode2(self.up2(F.silu(x)) + s2)
        x = self.decode1(self.up1(F.silu(x)) + s1)
        # the object fills at most the central half of the frame: full resolution is computed there only
        x = self.decode0(self.up0(F.silu(central_half(x))) + self.skip0(central_half(folded)))
        amplitude, cosine, sine = self.head(F.silu(depth_to_space(self.unfold(F.silu(x))))).unbind(1)
        return torch.sigmoid(amplitude), torch.atan2(sine, cosine + 1e-6)
