"""What the networks are built of."""

from torch import Tensor, nn
from torch.nn import functional as F

from training.networks.planes import convolved


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


class Residual(nn.Module):
    """x + conv(act(norm(conv(act(x))))): two 3^3 convolutions at one resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(8, channels)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + convolved(self.second, F.silu(self.norm(convolved(self.first, F.silu(x)))))
