"""Crystals and measurements without noise, and networks that know the answer."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from training.data import Sample
from training.networks.network import Network
from training.simulate.detector import Measurement
from training.transform import embed, forward

FRAME, BOX = (32, 32, 32), (16, 16, 16)


class Oracle(Network):
    """Predicts what it was told."""

    inputs = ("modulus",)

    def __init__(self, amplitude: Tensor, phase: Tensor) -> None:
        super().__init__()
        self.amplitude, self.phase = nn.Parameter(amplitude), nn.Parameter(phase)

    def forward(self, modulus: Tensor) -> tuple[Tensor, Tensor]:
        return self.amplitude, self.phase


@dataclass
class Case:
    """Objects of even density, their exact intensity with a masked plane and hidden voxels."""

    objects: Tensor
    sample: Sample

    @property
    def oracle(self) -> Oracle:
        return Oracle(self.objects.abs(), self.objects.angle())


@pytest.fixture
def case() -> Case:
    generator = torch.Generator().manual_seed(0)
    axis = torch.arange(16) - 8.0
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    inside = torch.stack([(z.abs() < 4) & (y.abs() < 5) & (x.abs() < 3), z.square() + y.square() + x.square() < 20])
    objects = torch.polar(inside.float(), 0.1 * torch.stack([z * y / 4, x]))
    intensity = 100 * forward(embed(objects, FRAME)).abs().square()
    mask = torch.zeros(2, *FRAME, dtype=torch.uint8)
    mask[:, :, 20] = 1
    hidden = torch.rand(2, *FRAME, generator=generator) < 0.05
    hidden[:, 14:19, 14:19, 14:19] = False
    measurement = Measurement(intensity * (mask == 0), intensity, mask, hidden)
    return Case(objects, Sample(objects, measurement, torch.full((2, 3), 4.0)))
