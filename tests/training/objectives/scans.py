"""Small scans, and a network that has been told the answer."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.groups import Groups, chosen
from training.networks.network import Network
from training.simulate.raster import RasterSettings, scan

WINDOW = 16


def settings(**changes: Any) -> RasterSettings:
    """Two objects of 44 pixels with a phase, under windows of 16."""
    return RasterSettings(**({"objects": 2, "side": 44, "phase": True, "step": 2, "stride": 4} | changes))


def groups_of(count: int = 3, seed: int = 0, **changes: Any) -> Groups:
    """The first groups of such scans."""
    return chosen(scan(settings(**changes), WINDOW, seed), np.arange(count), torch.device("cpu"))


class Told(Network):
    """Answers these objects, whatever it is shown."""

    inputs = ("patterns",)

    def __init__(self, objects: Tensor) -> None:
        super().__init__()
        self.objects = objects

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        return self.objects.abs(), self.objects.angle()
