"""What every architecture is, and in which precision it multiplies while it learns."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

R = TypeVar("R")
N = TypeVar("N", bound=nn.Module)


class Network(nn.Module):
    """A network whose forward takes the features that `inputs` names and returns amplitude and phase (B, *box).

    mixed: whether its convolutions and products are in bfloat16. What it is given and what it returns is in single
    precision all the same: transforms, losses and sums need more digits. A matter of training: neither a checkpoint nor
    a graph knows of it.
    """

    inputs: ClassVar[tuple[str, ...]]
    mixed: bool = False


def in_format(network: N, memory_format: torch.memory_format) -> N:
    """The network, its weights laid out in memory like this."""
    network.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch documents it and does not declare it
    return network


def channels_last(network: N) -> N:
    """The network with the channels of its weights last in memory, which training is quickest with."""
    axes = max((weights.ndim for weights in network.parameters()), default=0)
    return in_format(network, torch.channels_last_3d if axes == 5 else torch.channels_last)


def in_its_precision(method: Callable[..., R]) -> Callable[..., R]:
    """A network's method on features, in the precision that the network is told to have."""

    @wraps(method)
    def within(network: Network, *features: Tensor, **named: Tensor) -> R:
        if not network.mixed:
            return method(network, *features, **named)
        with torch.autocast(next(network.parameters()).device.type, torch.bfloat16), ShortSidesInSingle():
            return method(network, *features, **named)

    return within


class ShortSidesInSingle(TorchFunctionMode):
    """Convolutions over sides no longer than their kernel stay in single precision on processors;
    they cost next to nothing.

    The gradient of such a convolution's weights in bfloat16 takes in memory that nobody has written (oneDNN, torch
    2.13): mostly small numbers, sometimes 1e33, sometimes nan.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        convolves = func in (F.conv2d, F.conv3d) and args[0].device.type == "cpu"
        if not convolves or min(args[0].shape[2:]) > max(args[1].shape[2:]):
            return func(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            return func(args[0].float(), *args[1:], **(kwargs or {}))


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware does: elsewhere bfloat16 is slower than single precision."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))
