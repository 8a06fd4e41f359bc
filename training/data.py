"""Simulated measurements by number: item i of a seed is the same crystals on every run of the same device kind."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from training.features import features_of
from training.groups import Groups, groups, scans
from training.measured import measured_groups, measured_scan
from training.settings import FitSettings
from training.simulate.crystals import crystals, uniform
from training.simulate.detector import Measurement, measure
from training.simulate.domains import domain_crystals
from training.simulate.frames import extents, measure_frame
from training.simulate.particles import particles

HELD_OUT_SEED = 900_000  # validation and test crystals are drawn from here on; training seeds lie below


@dataclass(frozen=True)
class Sample:
    """A batch of simulated crystals (B, *box) complex64, their measurement and their oversampling (B, axes)."""

    objects: Tensor
    measurement: Measurement
    oversampling: Tensor

    def features(self, names: Collection[str]) -> dict[str, Tensor]:
        """What a network takes of them (`training.features`)."""
        return features_of(self.measurement, names)


def batch_of(settings: FitSettings, seed: int, number: int, batch: int, device: torch.device) -> Sample | Groups:
    """Batch `number` of `seed`, of whatever the network learns from: groups of scans where there is a raster, or a
    measured scan.
    """
    held_out = None if seed == settings.seed else seed
    if settings.measured is not None:
        of = measured_scan(settings.measured, settings.frame[0])
        neighbours = settings.measured.neighbours
        return measured_groups(of, neighbours, seed, held_out is not None, number, batch, device)
    if settings.raster is None:
        return sample(settings, seed, number, batch, device)
    return groups(scans(settings.raster, settings.frame[0], settings.seed, held_out), seed, number, batch, device)


def stream(seed: int, number: int) -> int:
    """Seed of the random numbers of item `number`. torch keeps the low 32 bits of it on a CPU:
    they must depend on both.
    """
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def sample(settings: FitSettings, seed: int, number: int, batch: int, device: torch.device) -> Sample:
    """Batch `number` of `seed`, simulated on the device."""
    generator = torch.Generator(device=device).manual_seed(stream(seed, number))
    return (_frames if len(settings.frame) == 2 else _curves)(settings, batch, generator)


def _curves(settings: FitSettings, batch: int, generator: torch.Generator) -> Sample:
    """Crystals and their rocking curves."""
    (n0, n1, n2), (m0, m1, m2), device = settings.frame, settings.box, generator.device
    frame, box = (n0, n1, n2), (m0, m1, m2)
    oversampling = uniform(settings.crystals.oversampling, (batch, 3), generator, device)
    objects = crystals(batch, frame, box, settings.crystals, generator, oversampling)
    extent = torch.tensor(frame, device=device) / oversampling
    return Sample(objects, measure(objects, frame, extent, settings.detector, generator), oversampling)


def _frames(settings: FitSettings, batch: int, generator: torch.Generator) -> Sample:
    """Projections of particles, or crystals of domains, and one detector frame of each."""
    (n0, n1), (m0, m1) = settings.frame, settings.box
    frame = (n0, n1)
    if settings.domains is None:
        objects = particles(batch, frame, (m0, m1), settings.particles, generator)
    else:
        objects = domain_crystals(batch, frame, m0, settings.domains, generator)
    oversampling = torch.tensor(frame, device=generator.device) / extents(objects)
    return Sample(objects, measure_frame(objects, frame, settings.frames, generator), oversampling)


class BatchNumbers(IterableDataset[int]):
    """Batch numbers without end, from `start`: what a data loader hands out; the crystals are made on the device."""

    def __init__(self, start: int = 0) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        number = self.start
        while True:
            yield number
            number += 1
