"""A trained network goes on learning from measured crystals (AutoPhaseNN 2022, Methods), judged on others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from training.data import HELD_OUT_SEED, Sample, stream
from training.experiment import Experiment
from training.features import features_of
from training.fit import train
from training.losses import modulus_errors
from training.module import PhaseRetrieval, normalisations
from training.networks import predict
from training.weights import weights_of


class FineTuning(PhaseRetrieval):
    """Training and validation on measured patterns: `patterns` augmented, `held_out` as they are.

    A few crystals are a narrow distribution: batch normalisation keeps the means of the many that it has seen before.
    """

    patterns: Sequence[Experiment] = ()
    held_out: Sequence[Experiment] = ()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        for layer in normalisations(self.network):
            layer.eval()

    def settle(self) -> None:
        """Nothing: the running means are kept."""

    def draw(self, seed: int, number: int) -> Sample:
        if seed == HELD_OUT_SEED:
            return _on(self.held_out[number].as_measured(), self.device)
        generator = torch.Generator(device=self.device).manual_seed(stream(seed, number))
        return self.patterns[number % len(self.patterns)].augmented(self.settings.batch, generator)

    def val_dataloader(self) -> DataLoader[int]:
        batches = range(len(self.held_out))
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a range has what is used of a Dataset


@dataclass(frozen=True)
class Outcome:
    """The last checkpoint, and chi2 of the network alone on each held-out measurement before and after."""

    checkpoint: Path
    before: tuple[float, ...]
    after: tuple[float, ...]


def finetune(
    checkpoint: Path,
    patterns: Sequence[Experiment],
    held_out: Sequence[Experiment],
    run: Path,
    *,
    rate: float = 1e-6,
    crystals: float = math.inf,
    seconds: float = math.inf,
) -> Outcome:
    """Train a checkpoint, or the model.onnx of a version, on augmented measurements into the folder `run`.

    No measurement comes with the truth: a network that has learned from labels goes on by the objective `modulus`.
    ValueError for a network of scans, and for a version whose weights cannot be read back.
    """
    given = weights_of(checkpoint)
    if given.settings.family == "scan":
        raise ValueError("a network of ptychographic scans learns nothing from the patterns of Bragg peaks: fit it")
    settings = replace(given.settings, learning_rate=rate, schedule="plateau")
    if given.objective.supervised:
        settings = replace(settings, objective="modulus", objective_options={})
    module = FineTuning.after(given, settings, crystals, seconds)
    module.patterns, module.held_out = patterns, held_out
    before = judged(module, held_out)
    return Outcome(train(module, run), before, judged(module.cpu(), held_out))


def judged(module: PhaseRetrieval, patterns: Sequence[Experiment]) -> tuple[float, ...]:
    """chi2 of the averaged network alone on measurements."""
    module.eval()
    network, found = module.average, []
    with torch.no_grad():
        for pattern in patterns:
            measured = pattern.as_measured().measurement
            amplitude, phase = predict(network, features_of(measured, network.inputs))
            found.append(float(modulus_errors(torch.polar(amplitude, phase), measured)[1]))
    module.train()
    return tuple(found)


def _on(batch: Sample, device: torch.device) -> Sample:
    m = batch.measurement
    moved = replace(m, **{name: getattr(m, name).to(device) for name in ("intensity", "clean", "mask", "hidden")})
    return Sample(batch.objects.to(device), moved, batch.oversampling.to(device))
