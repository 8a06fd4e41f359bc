"""Network architectures, one file each, registered by name."""

from collections.abc import Callable

from torch import nn

from training.networks.unet import AutocorrelationUNet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"inphase-bcdi": AutocorrelationUNet}


def build(name: str, **options: object) -> nn.Module:
    """A freshly initialised network of this architecture; KeyError names the known ones."""
    if name not in ARCHITECTURES:
        raise KeyError(f"unknown architecture {name!r}; known: {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[name](**options)
