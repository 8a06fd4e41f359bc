"""The network that is measured, and the particles that it is measured on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inphase.models.repository import ModelVersion, Repository
from inphase.models.session import Session
from training.data import HELD_OUT_SEED, Sample, sample
from training.features import features_of
from training.settings import FitSettings, from_dict
from training.simulate.frames import FrameSettings

TEST_SEED = HELD_OUT_SEED + 700
FRAME = (64, 64)
CLEAN = FrameSettings()


@dataclass(frozen=True)
class Network:
    """A model version, and what it was trained on."""

    version: ModelVersion
    session: Session
    settings: FitSettings

    @classmethod
    def of(cls, models: Path, name: str) -> "Network":
        version = Repository(models, name).resolve(None)
        return cls(version, Session(version, threads=1), from_dict(version.content["training"]["settings"]))

    def predict(self, batch: Sample) -> torch.Tensor:
        """Its images of a batch (B, m, m) complex64, as the graph gives them."""
        features = features_of(batch.measurement, self.version.card.inputs)
        found = self.session.infer({name: value.numpy() for name, value in features.items()})
        return torch.polar(*(torch.from_numpy(np.asarray(found[key])) for key in ("amplitude", "phase")))

    def crystals(self, count: int, **changes: Any) -> Sample:
        """Crystals that it has not seen, by default without noise and whole, as the paper's."""
        settings = replace(self.settings, **({"frames": CLEAN} | changes))
        return sample(settings, TEST_SEED, 0, count, torch.device("cpu"))


def training_patterns(network: Network, upto: int) -> Iterator[Sample]:
    """The crystals that it learned from, in their order, without noise."""
    settings = replace(network.settings, frames=CLEAN)
    for batch in range(upto // settings.batch):
        yield sample(settings, settings.seed, batch, settings.batch, torch.device("cpu"))


def known_object(network: Network, number_: int) -> torch.Tensor:
    """A training crystal by its place in the order."""
    batch, at = divmod(number_, network.settings.batch)
    settings = replace(network.settings, frames=CLEAN)
    return sample(settings, settings.seed, batch, settings.batch, torch.device("cpu")).objects[at]
