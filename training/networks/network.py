"""What every architecture is."""

from typing import ClassVar, TypeVar

import torch
from torch import nn


class Network(nn.Module):
    """A network whose forward takes the features that `inputs` names and returns amplitude and phase (B, *box)."""

    inputs: ClassVar[tuple[str, ...]]


N = TypeVar("N", bound=nn.Module)


def in_format(network: N, memory_format: torch.memory_format) -> N:
    """The network, its weights laid out in memory like this."""
    network.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch documents it and does not declare it
    return network
