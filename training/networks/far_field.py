"""The far field of a box as products with small matrices: an ONNX graph needs nothing but MatMul and Transpose.

Complex volumes are (B, 2, n, n, n), real and imaginary part: an exported graph has no complex numbers. The convention is
that of inphase.fourier: centred, norm "ortho".
"""

import torch
from torch import Tensor, nn


def along_axes(matrix: Tensor, volumes: Tensor) -> Tensor:
    """A matrix (c q, c r) on each of the last three axes of (B, c, r, r, r), channels beside positions: (B, c, q, q, q).

    Each product takes the first axis and leaves it last, so that after three they are in order again. Products from the
    left keep the channels in front: the transpositions are of matrices, which ONNX Runtime does fastest.
    """
    if torch.is_autocast_enabled(volumes.device.type):  # bfloat16 has too few digits for a transform
        with torch.autocast(volumes.device.type, enabled=False):
            return along_axes(matrix, volumes.float())
    channels, r = volumes.shape[1:3]
    q = matrix.shape[0] // channels
    sides = [r, r, r]
    for _ in range(3):
        mixed = matrix @ volumes.reshape(-1, channels * sides[0], sides[1] * sides[2])
        sides = [*sides[1:], q]
        volumes = mixed.reshape(-1, channels, q, sides[0] * sides[1]).transpose(2, 3)
    return volumes.reshape(-1, channels, q, q, q)


def square(volumes: Tensor) -> Tensor:
    """|x|^2 (B, 1, n, n, n) of (B, 2, n, n, n)."""
    real, imaginary = volumes.split(1, 1)
    return real * real + imaginary * imaginary


class FarField(nn.Module):
    """The transform between a box of `box`^3 voxels and the central `kept`^3 (None: all) of the far field of its frame.

    From a box of half the frame's sides, 0.12 GFLOP at 64^3: a CPU takes about as long as for the FFT of the padded frame.
    """

    def __init__(self, box: int, frame: int, kept: int | None = None) -> None:
        super().__init__()
        kept = kept or frame
        r = torch.arange(box, dtype=torch.float64) - box // 2
        q = torch.arange(kept, dtype=torch.float64) - kept // 2
        angle = 2 * torch.pi * q[:, None] * r / frame
        c, s = angle.cos() / frame**0.5, angle.sin() / frame**0.5
        # exp(-i q r) on (re, im); two buffers, not one and its transpose: a graph would transpose it at every use
        matrix = torch.cat([torch.cat([c, s], 1), torch.cat([-s, c], 1)]).float()
        self.register_buffer("matrix", matrix, persistent=False)
        self.register_buffer("transposed", matrix.T.contiguous(), persistent=False)
        self.matrix: Tensor
        self.transposed: Tensor

    def forward(self, box: Tensor) -> Tensor:
        """(B, 2, m, m, m) -> (B, 2, k, k, k)."""
        return along_axes(self.matrix, box)

    def adjoint(self, field: Tensor) -> Tensor:
        """(B, 2, k, k, k) -> (B, 2, m, m, m): the inverse transform of the field with zeros around it, cut to the box."""
        return along_axes(self.transposed, field)
