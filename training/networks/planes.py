"""3^3 convolutions as convolutions of planes, which is how ONNX Runtime is quick at them.

It has blocked kernels for two axes, if the channels fill whole blocks; for three axes it copies the volume 27 times.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 16  # channels, of AVX-512; half of it elsewhere


def convolved(convolution: nn.Conv3d, x: Tensor) -> Tensor:
    """`convolution`, 3^3 with padding 1, of (B, c, n0, n1, n2):
    in an exported graph by planes, in half to three quarters of the time.
    """
    if not torch.compiler.is_exporting():
        found: Tensor = convolution(x)
        return found
    more_in = convolution.in_channels > convolution.out_channels
    return (scattered if more_in else gathered)(convolution, x)


def gathered(convolution: nn.Conv3d, x: Tensor) -> Tensor:
    """Three neighbouring planes' channels beside each other, then one convolution of them."""
    planes, channels = x.shape[2], 3 * x.shape[1]
    padded = F.pad(x, (0, 0, 0, 0, 1, 1))
    stacked = torch.cat([padded[:, :, i : i + planes] for i in range(3)], 1)
    weight = convolution.weight.permute(0, 2, 1, 3, 4).reshape(-1, channels, 3, 3)
    return _by_planes(stacked, weight, convolution.bias)[:, : convolution.out_channels]


def scattered(convolution: nn.Conv3d, x: Tensor) -> Tensor:
    """What each plane gives to its neighbours and to itself, then the sum of the three in their places."""
    planes, channels = x.shape[2], convolution.out_channels
    weight = convolution.weight.permute(2, 0, 1, 3, 4).reshape(3 * channels, -1, 3, 3)
    # once, with what a plane gives to itself
    bias = None if convolution.bias is None else F.pad(convolution.bias, (channels, channels))
    given = F.pad(_by_planes(x, weight, bias), (0, 0, 0, 0, 1, 1))
    parts = [given[:, i * channels : (i + 1) * channels, i : i + planes] for i in range(3)]
    return parts[0] + parts[1] + parts[2]


def _by_planes(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3 x 3 convolution of each plane of (B, c, n0, n1, n2), with channels of zeros up to whole blocks before and
    after it.
    """
    outer, inner = (-size % BLOCK for size in weight.shape[:2])
    planes = x.transpose(1, 2).flatten(0, 1)
    if inner:
        planes, weight = (F.pad(channels, (0, 0, 0, 0, 0, inner)) for channels in (planes, weight))
    if outer:
        weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, outer))
        bias = None if bias is None else F.pad(bias, (0, outer))
    found = F.conv2d(planes, weight, bias, padding=1)
    volumes: Tensor = found.unflatten(0, (-1, x.shape[2])).transpose(1, 2)
    return volumes
