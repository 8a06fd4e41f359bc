"""The far field of a box as products with small matrices: an ONNX graph needs nothing but MatMul and Reshape.

An exported graph has no complex numbers. Far fields are (B, 2, k, k, k), real and imaginary part; objects in their box
are lines, (B, m, m, 2, m), the two parts of each line of voxels side by side: from these to the other no product needs
a transposition. Images have one axis less. The convention is that of inphase.fourier: centred, norm "ortho".
"""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor, nn

R = TypeVar("R")


def in_single_precision(method: Callable[..., R]) -> Callable[..., R]:
    """A module's method on tensors that mixed precision stays out of: bfloat16 has too few digits for a transform."""

    @wraps(method)
    def outside(module: nn.Module, *arguments: Tensor, **named: Tensor) -> R:
        kind = (*arguments, *named.values())[0].device.type
        if not torch.is_autocast_enabled(kind):
            return method(module, *arguments, **named)
        with torch.autocast(kind, enabled=False):
            return method(module, *(x.float() for x in arguments), **{name: x.float() for name, x in named.items()})

    return outside


def lines(volumes: Tensor) -> Tensor:
    """(B, 2, n, n, n) -> (B, n, n, 2, n), and so of images."""
    return volumes.movedim(1, -2)


def parts(volumes: Tensor) -> Tensor:
    """(B, n, n, 2, n) -> (B, 2, n, n, n), and so of images."""
    return volumes.movedim(-2, 1)


def square(volumes: Tensor, axis: int = 1) -> Tensor:
    """|x|^2 of volumes whose real and imaginary parts lie along that axis, of which 1 is left."""
    real, imaginary = volumes.split(1, axis)
    squared: Tensor = real * real + imaginary * imaginary
    return squared


def transform_last_axis(right: Tensor, volumes: Tensor) -> Tensor:
    """The last axis of real volumes (B, n0, n1, r) by a matrix (r, q) from the right, or one for each (B, r, q)."""
    n0, n1, r = volumes.shape[1:]
    return (volumes.reshape(-1, n0 * n1, r) @ right).reshape(-1, n0, n1, right.shape[-1])


def transform_middle_axis(left: Tensor, volumes: Tensor) -> Tensor:
    """The middle axis of real volumes (B, n0, r, n2) by a matrix (q, r) from the left, or one for each (B, q, r)."""
    return left.unsqueeze(-3) @ volumes


def transform_first_axis(left: Tensor, volumes: Tensor) -> Tensor:
    """The first axis of real volumes (B, r, n1, n2) by a matrix (q, r) from the left, or one for each (B, q, r)."""
    r, n1, n2 = volumes.shape[1:]
    return (left @ volumes.reshape(-1, r, n1 * n2)).reshape(-1, left.shape[-2], n1, n2)


class FarField(nn.Module):
    """The transform between a box of `box`^3 voxels and the central `kept`^3 (None: all) of the far field of its frame.

    From a box of half the frame's sides, 0.12 GFLOP at 64^3: a CPU takes about as long as for the FFT of the padded
    frame. rank: how many axes they have, two or three.
    """

    def __init__(self, box: int, frame: int, kept: int | None = None, rank: int = 3) -> None:
        super().__init__()
        self.rank = rank
        self.sizes = box, kept or frame
        r = torch.arange(box, dtype=torch.float64) - box // 2
        q = torch.arange(self.sizes[1], dtype=torch.float64) - self.sizes[1] // 2
        angle = 2 * torch.pi * q[:, None] * r / frame
        c, s = angle.cos() / frame**0.5, angle.sin() / frame**0.5
        # exp(-i q r) on (re, im) from the left, (part q, r part), and from the right, (part r, part q)
        left = torch.stack([torch.stack([c, s], 2), torch.stack([-s, c], 2)]).flatten(2).flatten(0, 1).float()
        right = torch.cat([torch.cat([c, s], 1), torch.cat([-s, c], 1)]).T.float()
        # buffers for the adjoint, too: a graph would transpose at every use
        for name, matrix in (("left", left), ("right", right), ("left_adjoint", left.T), ("right_adjoint", right.T)):
            self.register_buffer(name, matrix.contiguous(), persistent=False)
        self.left: Tensor
        self.right: Tensor
        self.left_adjoint: Tensor
        self.right_adjoint: Tensor

    @in_single_precision
    def forward(self, box: Tensor) -> Tensor:
        """Lines (B, m, m, 2, m) -> (B, 2, k, k, k)."""
        m, k = self.sizes
        field = box.reshape(-1, 2 * m) @ self.right
        for done in range(1, self.rank):
            field = self.left @ field.reshape(-1, 2 * m, k**done)
        return field.reshape(-1, 2, *[k] * self.rank)

    @in_single_precision
    def adjoint(self, field: Tensor) -> Tensor:
        """(B, 2, k, k, k) -> lines (B, m, m, 2, m):
        the inverse transform of the field with zeros around it, cut to the box.
        """
        m, k = self.sizes
        box = field
        for left in reversed(range(1, self.rank)):
            box = self.left_adjoint @ box.reshape(-1, 2 * k, k**left)
        box = box.reshape(-1, 2 * k) @ self.right_adjoint
        return box.reshape(-1, *[m] * (self.rank - 1), 2, m)
