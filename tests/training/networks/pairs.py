"""Complex volumes as the networks write them."""

import torch
from torch import Tensor


def pair(x: Tensor) -> Tensor:
    """Complex (B, ...) as (B, 2, ...)."""
    return torch.stack([x.real, x.imag], 1)
